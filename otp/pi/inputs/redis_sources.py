"""Take commands from Redis in three ways; each function goes on until the connection breaks.

- ``channel``: ``SUBSCRIBE``. Redis asks for no acknowledgement and keeps nothing.
- ``stream``: a consumer group. ``XADD key * data JSON`` (or ``payload``, or a single field of any name) brings a
  command, ``XACK`` follows when it is stored. At each start our own pending entries come first; those of consumers
  that have not moved for ``IDLE`` are taken over.
- ``queue``: a list. ``LPUSH key JSON`` brings a command; it is moved to a list of our own, ``key:NAME``, and removed
  from there when it is stored (https://redis.io/docs/latest/commands/lmove/, "reliable queue").
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis import exceptions

from otp.roads.closing import quietly
from otp.roads.errors import RoadError

BLOCK = 5.0
"""Seconds that a read waits for news; a quiet channel is sent a ping as often."""

PATIENCE = 5.0
"""Seconds beyond that after which a silent server is given up."""

IDLE = 60.0
"""Seconds after which an entry that another consumer has not acknowledged is taken over."""

_BATCH = 10
"""Entries of a stream that are read at once: as many may be stuck when we are."""

_FIELDS = (b"data", b"payload")

Up = Callable[[], None]
Hold = Callable[[bytes], Awaitable[None]]
Hand = Callable[[bytes], Awaitable[bool]]
Entry = tuple[bytes, dict[bytes, bytes] | None]


async def channel(client: Any, topic: str, *, up: Up, hold: Hold) -> None:
    """Take what is published on a channel.

    Args:
        client: Of ``redis.asyncio``.
        topic: The channel.
        up: Called when the subscription stands.
        hold: Stores a message, however long that takes.

    Raises:
        RoadError: The server answers no ping.
        RedisError, OSError: The connection broke, or the account may not.
    """
    subscriber = client.pubsub()
    try:
        await subscriber.subscribe(topic)
        asked = False
        while True:
            message = await subscriber.get_message(timeout=PATIENCE if asked else BLOCK)
            asked = message is None and await _ask(subscriber, asked)
            if message and message["type"] == "subscribe":
                up()
            elif message and message["type"] == "message":
                await hold(bytes(message["data"]))
    finally:
        await quietly(subscriber.aclose())


async def _ask(subscriber: Any, asked: bool) -> bool:
    """Send a ping into the silence; give up where the one before was not answered either."""
    if asked:
        raise RoadError("connection_lost", f"Redis has not answered a ping for {PATIENCE:g} s.")
    await subscriber.ping()
    return True


async def stream(client: Any, topic: str, group: str, us: str, *, up: Up, hand: Hand) -> None:
    """Take the entries of a stream, as a consumer of a group that is made where it is missing.

    Args:
        client: Of ``redis.asyncio``.
        topic: Key of the stream.
        group: Name of the group; a new one begins with the oldest entry.
        us: Name of the consumer.
        up: Called when the group is there.
        hand: Stores a message; returns whether it was taken, and not refused for good.

    Raises:
        RedisError, OSError: The connection broke, the key is no stream, or the account may not.
        UnstoredError: A command could not be stored.
    """
    with suppress(exceptions.ResponseError):  # it is there; what else may be wrong, the first read says
        await _answered(client.xgroup_create(topic, group, id="0", mkstream=True))

    async def settle(entries: list[Entry]) -> None:
        for number, fields in entries:
            if fields:  # else it was deleted in the meantime
                await hand(_payload(fields))
            await _answered(client.xack(topic, group, number))

    async def read(start: str, block: int | None) -> list[Entry]:
        found = await _answered(client.xreadgroup(group, us, {topic: start}, count=_BATCH, block=block))
        return found[0][1] if found else []

    loop = asyncio.get_running_loop()
    while entries := await read("0", None):
        await settle(entries)
    up()
    look = loop.time()
    while True:
        if loop.time() >= look:
            await settle(await _of_the_dead(client, topic, group, us))
            look = loop.time() + IDLE
        await settle(await read(">", int(BLOCK * 1000)))


async def queue(client: Any, topic: str, us: str, *, up: Up, hand: Hand) -> None:
    """Take the elements of a list, the ones that a former run has left in our own first.

    Args:
        client: Of ``redis.asyncio``.
        topic: Key of the list.
        us: Ends the key of our own list.
        up: Called when the first read was answered.
        hand: Stores a message; returns whether it was taken, and not refused for good.

    Raises:
        RedisError, OSError: The connection broke, the key is no list, or the account may not.
        UnstoredError: A command could not be stored.
    """
    own = f"{topic}:{us}"
    left = await _answered(client.lindex(own, -1))
    up()
    while True:
        if left is not None:
            await hand(bytes(left))
            await _answered(client.lrem(own, -1, left))
            left = await _answered(client.lindex(own, -1))
        else:
            left = await _answered(client.blmove(topic, own, BLOCK, "RIGHT", "LEFT"))


async def _answered(call: Awaitable[Any]) -> Any:
    """Wait for the server's answer, though not for ever: a ``TimeoutError`` is an ``OSError``."""
    async with asyncio.timeout(BLOCK + PATIENCE):
        return await call


async def _of_the_dead(client: Any, topic: str, group: str, us: str) -> list[Entry]:
    """Take over what other consumers have not acknowledged for long, a batch at most."""
    _next, entries, *_deleted = await _answered(
        client.xautoclaim(topic, group, us, min_idle_time=int(IDLE * 1000), start_id="0-0", count=_BATCH)
    )
    found: list[Entry] = entries
    return found


def _payload(fields: dict[bytes, bytes]) -> bytes:
    """Return the command of an entry; an empty one, which is refused, where nothing tells which field it is."""
    for name in _FIELDS:
        if name in fields:
            return fields[name]
    return next(iter(fields.values())) if len(fields) == 1 else b""
