"""The Lua scripts of the Redis backend: each is one atomic step, and says what ``otp.store.rules`` says.

KEYS[1] is a record (hash), KEYS[2] its owner's budget (sorted set: nonce by the second it was added). Lua
turns numbers into integers on their way out, so every answer is text.
"""

_STATE = """
local function state(key, now)
    local r = redis.call('HMGET', key, 'tries', 'used', 'expires_at', 'keep_until')
    if not r[1] or now >= tonumber(r[4]) then return 'unknown' end
    if r[2] == '1' or tonumber(r[1]) <= 0 then return 'void' end
    if now >= tonumber(r[3]) then return 'expired' end
    return 'open'
end
"""

ADD = """
-- ARGV: now, seconds to keep the record and the budget, number of windows, seconds and codes of each,
-- nonce, then the record's fields and values.
local now, keep, horizon, windows = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local expires_at = redis.call('HGET', KEYS[1], 'expires_at')
if expires_at and now < tonumber(expires_at) then return {'taken'} end
local wait = 0
for i = 0, windows - 1 do
    local seconds, codes = tonumber(ARGV[5 + 2 * i]), tonumber(ARGV[6 + 2 * i])
    local nth = redis.call('ZREVRANGE', KEYS[2], codes - 1, codes - 1, 'WITHSCORES')
    if nth[2] and tonumber(nth[2]) > now - seconds then
        wait = math.max(wait, math.ceil(tonumber(nth[2]) + seconds - now))
    end
end
if wait > 0 then return {'wait', tostring(wait)} end
local first = 5 + 2 * windows
local nonce = ARGV[first]
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, first + 1))
redis.call('EXPIRE', KEYS[1], keep)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - horizon)
redis.call('ZADD', KEYS[2], math.floor(now), nonce)
redis.call('EXPIRE', KEYS[2], horizon)
return {'added'}
"""

CHARGE = (
    _STATE
    + """
-- ARGV: now
local found = state(KEYS[1], tonumber(ARGV[1]))
if found ~= 'open' then return {found} end
redis.call('HINCRBY', KEYS[1], 'tries', -1)
return {'open', redis.call('HGETALL', KEYS[1])}
"""
)

CONSUME = """
-- ARGV: nonce
local r = redis.call('HMGET', KEYS[1], 'nonce', 'used')
if r[1] ~= ARGV[1] or r[2] == '1' then return {'no'} end
redis.call('HSET', KEYS[1], 'used', '1')
return {'yes'}
"""

RESEND = (
    _STATE
    + """
-- ARGV: now, owner, cooldown 1, cooldown 2 ...
local now = tonumber(ARGV[1])
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return {'unknown'} end
local found = state(KEYS[1], now)
if found ~= 'open' then return {found} end
local r = redis.call('HMGET', KEYS[1], 'resends', 'resend_at', 'expires_at')
if r[2] == '' then return {'wait', ''} end
if now < tonumber(r[2]) then return {'wait', tostring(math.ceil(tonumber(r[2]) - now))} end
local count = tonumber(r[1]) + 1
local cooldown, next_at = ARGV[3 + count], ''
if cooldown and math.floor(now) + tonumber(cooldown) < tonumber(r[3]) then
    next_at = string.format('%d', math.floor(now) + tonumber(cooldown))
end
redis.call('HSET', KEYS[1], 'resends', count, 'resend_at', next_at)
return {'open', redis.call('HGETALL', KEYS[1])}
"""
)

UNDO_RESEND = """
-- ARGV: now in whole seconds, nonce, the count the resend made
local r = redis.call('HMGET', KEYS[1], 'nonce', 'resends')
if r[1] ~= ARGV[2] or r[2] ~= ARGV[3] then return {'no'} end
redis.call('HSET', KEYS[1], 'resends', tonumber(ARGV[3]) - 1, 'resend_at', ARGV[1])
return {'yes'}
"""

UNDO_ADD = """
-- ARGV: nonce, tries as they were
local r = redis.call('HMGET', KEYS[1], 'nonce', 'tries')
if r[1] ~= ARGV[1] then return {'no'} end
redis.call('DEL', KEYS[1])
if r[2] == ARGV[2] then redis.call('ZREM', KEYS[2], ARGV[1]) end
return {'yes'}
"""

REMOVE = """
-- ARGV: owner
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return {'no'} end
redis.call('DEL', KEYS[1])
return {'yes'}
"""
