"""One open WebSocket: bytes in, messages to its topic, batches out. The only owner of its transport.

    OPEN ----- Close from the client, a broken rule, too slow, too fast, revoked -----> GONE  (`Linger` has the socket)
     |
     +-- drain: Close sent, its messages still count --> LEAVING --> GONE

No task, no queue and no coroutine: what arrives is scanned (`frames.scan`) and published in the same call; what is odd
goes to the judge. An idle connection holds this object and its transport, nothing else.
"""

import asyncio
import math
import random
import socket
import sys
from enum import IntEnum
from typing import Final, Literal

from broker.backlog import Lag, Settling
from broker.core import Core
from broker.errors import (
    ABNORMAL,
    BROKER_ERROR,
    CLIENT_RATE_LIMITED,
    PING_TIMEOUT,
    SLOW_CONSUMER,
    Closure,
    close_reason,
)
from broker.frames import PING, as_text, close_frame, scan, server_frame, span
from broker.judge import Goodbye, Judge, Message, Reply
from broker.kernel import read_rest, unacknowledged
from broker.linger import Linger
from broker.logs import describe, short_topic
from broker.metrics import code_label
from broker.rates import Rates
from broker.topics import Topic, withheld

TURN: Final = 64 * 1024
"""Bytes one connection may have handled in one turn of the loop; then the others come first."""
TURN_FRAMES: Final = 1024
"""Frames it may have handled in one turn: 0.6 ms."""
TURN_ODD_FRAMES: Final = 128
"""The same for what goes to the judge, which costs 5 us a frame. Without these bounds one client with tiny frames makes
a stranger's round trip 1.1 s, with pings 20 s (`python -m bench latency`)."""
QUIET_START: Final = 20.0
"""Seconds without a ping after the handshake: a PHP publisher that waits up to 10 s for its answer fails on one."""
PING_FRAME: Final = server_frame(PING, b"wsbroker")
"""Never empty: PHP's fread fails on an empty frame."""


RESTING: Final = sys.maxsize
"""More bytes than ever come: what a connection needs whose reading is paused."""


class State(IntEnum):
    """What a connection may still do."""

    OPEN = 0
    LEAVING = 1
    """Our Close is out; its messages are relayed until its own Close, its FIN or `close_timeout`."""
    GONE = 2
    """Counted out; what it still sends is discarded, or is read to the end if it hung up on us."""


class Connection(asyncio.Protocol):
    """One client after its handshake.

    Args:
        core: what all connections share.
        transport: the client's.
        user: its account.
        address: what limits count its address as.
        origin: the web page's origin, None for other clients.
        line: the socket below the transport, which owns it; None where bytes go through the transport, as with TLS.
    """

    __slots__ = (
        "address",
        "backlog",
        "core",
        "due",
        "judge",
        "line",
        "lost",
        "needed",
        "number",
        "origin",
        "pending",
        "rates",
        "received",
        "silent_since",
        "state",
        "topic",
        "transport",
        "user",
    )

    topic: Topic
    """Set by the handshake once the topic took it."""

    def __init__(
        self,
        core: Core,
        transport: asyncio.Transport,
        user: str,
        address: str,
        origin: str | None,
        line: socket.socket | None = None,
    ) -> None:
        self.core = core
        self.transport = transport
        self.user = user
        self.address = address
        self.origin = origin
        self.number = core.next_serial()
        self.state = State.OPEN
        self.line = line
        self.lost = False
        """The transport is gone; nothing may be written."""
        self.backlog: Settling | Lag | None = Settling()
        """What waits for it: until the end of `settle_time`, and while the transport's buffer is above its mark."""
        self.pending: bytearray | None = None
        """Bytes of a frame that is not complete, or what the next turn will handle."""
        self.needed = 0
        """How long `pending` must be before another look pays; `RESTING` until the next turn, or for readers."""
        self.judge: Judge | None = None
        """There while a fragmented message is open."""
        self.received = 0
        """Messages it has published."""
        self.silent_since: float | None = None
        """When `expired` first looked after the latest byte; None when one came since the last look."""
        self.due = math.inf
        self.rates: Rates | None = None
        """There once it has published under a rate: 200 bytes that most connections never need."""

    @property
    def gone(self) -> bool:
        """Whether it is counted out."""
        return self.state is State.GONE

    @property
    def resting(self) -> bool:
        """Whether reading is paused: until the next turn, this one's share being used up, or until readers catch up."""
        return self.needed == RESTING

    @property
    def lag(self) -> Lag | None:
        """How far it is behind."""
        return self.backlog if isinstance(self.backlog, Lag) else None

    # -- beginning

    def begin(self, early: bytes) -> None:
        """Start after the 101 is written.

        Args:
            early: what the client sent in the same segment as its request.
        """
        core, settings = self.core, self.core.settings
        core.census.admit(self.address, self.user)
        core.counters.opened += 1
        core.log.info("open", id=self.number, user=self.user, address=self.address, topic=short_topic(self.topic.name))
        if settings.ping_interval:
            quiet = max(QUIET_START, settings.ping_interval)
            # Clients that came together are not pinged together.
            core.deadlines.set(self, core.clock() + random.uniform(QUIET_START, quiet))  # noqa: S311
        if settings.settle_time:
            core.loop.call_later(settings.settle_time, self._settle)
        else:
            self._settle()
        if early:
            self.data_received(early)

    def _settle(self) -> None:
        """Send what was published since the 101, and from now on directly."""
        settling = self.backlog
        if not isinstance(settling, Settling):
            return
        self.backlog = None
        if self.state is not State.OPEN or self.lost:
            return
        if settling.batches:
            self.transport.writelines(settling.batches)
        if self.line is not None:
            # Told at the first byte that the kernel does not take: whatever is not behind has an empty transport. Not
            # before now: uvloop below 0.23 has not even written the 101 when the connection begins.
            self.transport.set_write_buffer_limits(0)

    def _write(self, data: bytes) -> int:
        """Stand in for the socket's `send` where bytes must go through the transport."""
        self.transport.write(data)
        return len(data)

    # -- bytes in

    def data_received(self, data: bytes) -> None:
        """Take what the socket gave: what is common here, from the first odd byte on in `_consume`."""
        core = self.core
        now = core.clock()
        self.silent_since = None
        core.counters.received_bytes += len(data)
        if self.pending is not None or self.judge is not None or self.topic.behind:
            self._take_slowly(data)
            return
        try:
            frames: list[bytes] = []
            pos = scan(data, 0, TURN, TURN_FRAMES, frames, core.unmask, core.max_message_size)
            if frames:
                self._publish(frames, now)
            if pos < len(data):
                self._consume(data, pos, len(frames))
        except Exception as error:  # noqa: BLE001 - a fault of ours ends this connection and no other
            self.fault(error)

    def _take_slowly(self, data: bytes) -> None:
        """Take bytes while a frame is incomplete, a message is open, a turn is used up, or readers are behind."""
        pending = self.pending
        if pending is not None:
            pending += data
            if len(pending) < self.needed:
                return
            data = bytes(pending)
            self.pending = None
        self._take(data)

    def _take(self, data: bytes) -> None:
        if self.topic.behind and not self.lost and self.topic.nobody_keeps_up(self.lag is not None, self.core.clock()):
            self._wait_for_readers(data)
        else:
            self._work(data)

    def _work(self, data: bytes) -> None:
        """Handle one turn's share of `data`."""
        try:
            self._consume(data, 0, 0)
        except Exception as error:  # noqa: BLE001 - as in data_received
            self.fault(error)

    def _consume(self, data: bytes, pos: int, taken: int) -> None:
        """Take frames of every kind from `pos` on until the turn's share is used up; keep the rest.

        Args:
            data: as the socket gave it.
            pos: where a frame begins.
            taken: frames of this turn before it.

        What `data_received` leaves is scanned once more, in vain: 0.5 us, and one loop instead of two.
        """
        core, max_size = self.core, self.core.max_message_size
        size, odd = len(data), 0
        replies: list[bytes] = []  # they leave in one write
        while pos < size and self.state is not State.GONE:
            if self.judge is None:
                frames: list[bytes] = []
                pos = scan(data, pos, TURN, TURN_FRAMES - taken, frames, core.unmask, max_size)
                if frames:
                    taken += len(frames)
                    self._publish(frames, core.clock())
                    continue
            if pos >= TURN or taken >= TURN_FRAMES or odd >= TURN_ODD_FRAMES:
                self._rest(data, pos)
                break
            length = span(data, pos, max_size if self.judge is None else max_size - self.judge.size)
            if length == 0 or length > size - pos:
                self._await_frame(data, pos, length)
                break
            stop = pos + length if length > 0 else size
            self._judge(data[pos:stop], replies)
            odd += 1
            pos = stop
        self._answer(replies)

    def _answer(self, replies: list[bytes]) -> None:
        if replies and self.state is State.OPEN:
            self.core.topics.answer(self._send, b"".join(replies))
        replies.clear()

    def _await_frame(self, data: bytes, pos: int, length: int) -> None:
        """Keep an incomplete frame; look again when its declared length is there (0: when its header is)."""
        self.pending = bytearray(data[pos:])
        self.needed = length or len(self.pending) + 1

    def _rest(self, data: bytes, pos: int) -> None:
        """Leave the rest to the next turn, and the kernel's buffer to slow the sender down."""
        self.pending = bytearray(memoryview(data)[pos:])
        self.needed = RESTING
        if not self.lost:
            self.transport.pause_reading()
        self.core.loop.call_soon(self._resume)

    def _wait_for_readers(self, data: bytes) -> None:
        """Let TCP slow this sender down while every reader of its topic is behind."""
        self.pending = bytearray(data)
        self.needed = RESTING
        self.transport.pause_reading()
        self.core.topics.wait_for_readers(self.topic, lambda: self.core.loop.call_soon(self._resume))

    def _resume(self) -> None:
        """Go on with what was left: the next turn, a turn after a reader caught up, or when waiting is over."""
        if self.resting:
            self._take(self._next_share())
            self._after_share()

    def _after_share(self) -> None:
        if self.resting:
            return
        if self.lost:
            self._depart(ABNORMAL)
        else:
            self.transport.resume_reading()

    def _next_share(self) -> bytes:
        data = bytes(self.pending or b"")
        self.pending, self.needed = None, 0
        return data

    def _publish(self, frames: list[bytes], now: float) -> None:
        """Publish messages that arrived at `now`, as far as its rates allow."""
        core = self.core
        count = len(frames)
        if core.rated:
            count = (self.rates or self._begin_rates(now)).allow(frames, now)
        if core.binary_as_text:
            frames = [as_text(frame) for frame in frames]
        if count:
            self.received += count
            data = frames[0] if count == 1 else b"".join(frames[:count])
            core.topics.publish(self.topic, self, data, count, now)
        if count < len(frames):
            core.counters.dropped[CLIENT_RATE_LIMITED.token] += len(frames) - count
            self.close(CLIENT_RATE_LIMITED, "message_rate or byte_rate is exceeded")

    def _begin_rates(self, now: float) -> Rates:
        settings = self.core.settings
        self.rates = Rates(settings.message_rate, settings.byte_rate, now)
        return self.rates

    def _judge(self, frame: bytes, replies: list[bytes]) -> None:
        judge, settings = self.judge, self.core.settings
        if judge is None:
            judge = Judge(settings.max_message_size, settings.max_fragments)
        verdict = judge.decide(frame)
        self.judge = None if judge.between_messages else judge
        match verdict:
            case Message(opcode, payload):
                if payload or not settings.drop_empty_messages:
                    self._publish([server_frame(opcode, payload)], self.core.clock())
                else:
                    self.core.counters.dropped["empty"] += 1
            case Reply(answer):
                replies.append(answer)
            case Goodbye(closure, code, detail):
                self._answer(replies)
                if closure is None:
                    self._part(code, close_frame(code))
                else:
                    self.close(closure, detail)

    def eof_received(self) -> None:
        """Handle all that came before the FIN; the transport then closes."""
        while self.resting:
            self._work(self._next_share())

    def connection_lost(self, exc: Exception | None) -> None:
        """Read to the end what the client sent before it hung up, then forget it.

        A reset connection keeps what it received in the kernel, and a failed write tells us before we read it: 3 to 4 %
        of publish-and-reset messages are lost without this, 0 of 6,000 with it. Over TLS the rest stays unreadable.
        """
        self.lost = True
        self.line = None
        self.topic.connect(self, withheld)
        self.core.census.open -= 1
        self.core.on_change()
        if self.state is State.GONE:
            return
        if self.transport.get_extra_info("sslcontext") is None:
            rest = read_rest(self.transport)
            if rest:
                self.data_received(rest)
        if not self.resting:
            self._depart(ABNORMAL)

    # -- bytes out

    def hold(self, data: bytes, messages: int) -> int:
        """Take a batch that the topic cannot send itself: the first one, settling, behind, or on the way out."""
        if self.state is not State.OPEN or self.lost:
            return 0
        backlog = self.backlog
        if backlog is None:
            # From the next one on: the socket's `send` costs 0.5 us less than the transport's `write`. Not before the
            # first, since most connections that wait for hours never get one.
            self.topic.connect(self, self._write if self.line is None else self.line.send)
            self.transport.write(data)
            return messages
        waiting = backlog.size if isinstance(backlog, Settling) else self.transport.get_write_buffer_size()
        if waiting + len(data) > self.core.settings.max_queued_bytes:
            return self._overflow(messages, waiting)
        backlog.add(data)
        if isinstance(backlog, Lag):
            self.transport.write(data)
        return messages

    def spill(self, rest: bytes) -> None:
        """Keep what the kernel did not take of a batch; the transport then says that the client is behind."""
        self.transport.write(rest)

    def _overflow(self, messages: int, waiting: int) -> Literal[0]:
        core = self.core
        core.counters.dropped[SLOW_CONSUMER.token] += messages
        if core.settings.slow_consumer == "close":
            self._too_slow(f"{waiting} bytes wait (max_queued_bytes {core.settings.max_queued_bytes})")
        elif self not in core.losing:  # once until it has caught up
            core.losing.add(self)
            core.counters.slow_consumers += 1
            core.log.warning("dropping", id=self.number, user=self.user, reason=SLOW_CONSUMER.token, queued=waiting)
        return 0

    def _too_slow(self, detail: str) -> None:
        self.core.counters.slow_consumers += 1
        self.close(SLOW_CONSUMER, detail)

    def pause_writing(self) -> None:
        """Notice that the client reads more slowly than its topic sends: from here on sizes are looked at."""
        self._settle()
        self.topic.connect(self, withheld)
        self.backlog = Lag(self.queued_bytes() + unacknowledged(self.transport), self.core.clock())
        if self.state is not State.GONE:
            self.core.behind.add(self)
            self.topic.fell_behind()

    def resume_writing(self) -> None:
        """Notice that the client has caught up."""
        self.backlog = None
        self._catch_up()

    def _catch_up(self) -> None:
        if self in self.core.behind:
            self.core.behind.discard(self)
            self.core.losing.discard(self)
            self.topic.caught_up()

    def queued_bytes(self) -> int:
        """Bytes that wait in the transport."""
        return 0 if self.lost else self.transport.get_write_buffer_size()

    def check_progress(self, now: float) -> None:
        """Close the connection when it took no byte for `write_timeout`, acknowledgements in the kernel included."""
        lag = self.lag
        if self.lost or lag is None:  # it waits for its turn to be forgotten; its descriptor may be another's already
            return
        limit = self.core.settings.write_timeout
        stuck = lag.look(self.queued_bytes() + unacknowledged(self.transport), now)
        if limit and stuck >= limit:
            self._too_slow(f"no byte taken for {limit:g} s (write_timeout)")

    def _send(self, frame: bytes) -> None:
        """Send an answer to the client's own frame; answers count against `max_queued_bytes` like messages."""
        if self.state is State.LEAVING or self.lost:  # GONE: an answer that waits for the flush precedes our Close
            return
        lag = self.lag
        waiting = 0 if lag is None else self.transport.get_write_buffer_size()
        if waiting + len(frame) > self.core.settings.max_queued_bytes:
            self._too_slow(f"{waiting} bytes of answers wait (max_queued_bytes)")
            return
        if lag is not None:
            lag.add(frame)
        self.transport.write(frame)

    # -- deadlines

    def expired(self, now: float) -> None:
        """Ping an open connection, give up a silent one, cut one that does not answer our Close."""
        settings = self.core.settings
        if self.state is State.LEAVING:
            self.transport.abort()
            return
        if self.silent_since is None:
            self.silent_since = now
        elif settings.ping_timeout and now - self.silent_since >= settings.ping_timeout:
            self.close(PING_TIMEOUT, f"nothing was heard for {now - self.silent_since:.0f} s")
            return
        if settings.ping_interval:
            if self.lag is None:
                self._send(PING_FRAME)
            wait = min(settings.ping_interval, settings.ping_timeout or math.inf)
            self.core.deadlines.set(self, now + wait)

    # -- ending

    def close(self, closure: Closure, detail: str = "") -> None:
        """End the connection: Close frame, half-close, a moment to read it."""
        if self.state is State.GONE:
            return
        self.core.log.info(
            "close",
            id=self.number,
            user=self.user,
            address=self.address,
            reason=closure.token,
            detail=detail or None,
        )
        self._part(closure.code, close_frame(closure.code, close_reason(closure, detail)))

    def leave(self, closure: Closure) -> None:
        """Ask the client to go, behind everything that arrived before; its messages count until it does or is cut."""
        if self.state is State.OPEN:
            self.core.topics.answer(self._leave, close_frame(closure.code, closure.token))

    def _leave(self, frame: bytes) -> None:
        if self.state is not State.OPEN:
            return
        self._settle()
        self._send(frame)
        if self.gone:  # even this was too much for a slow one
            return
        self.state = State.LEAVING
        self.topic.connect(self, withheld)
        self.core.deadlines.set(self, self.core.clock() + self.core.settings.close_timeout)

    def fault(self, error: Exception) -> None:
        """End the connection over a fault of ours."""
        self.core.log.error("internal_error", id=self.number, user=self.user, error=describe(error))
        self.close(BROKER_ERROR)

    def _part(self, code: int, frame: bytes) -> None:
        """Depart, and say the last word behind everything that arrived before it."""
        already_said = self.state is State.LEAVING
        self._settle()
        self._depart(code)
        if not self.lost:
            self.transport.pause_reading()  # what comes behind a Close is discarded, and `Linger` reads again
            self.core.topics.answer(self._last_word, b"" if already_said else frame)

    def _last_word(self, frame: bytes) -> None:
        if self.lost or self.transport.is_closing():
            return
        if frame:
            self.transport.write(frame)
        self.lost = True
        Linger(self.core, self.transport, self.core.settings.close_timeout)

    def _depart(self, code: int) -> None:
        """Count the connection out, once."""
        core = self.core
        if self.state is not State.GONE:
            self.state = State.GONE
            self.line = None
            self._catch_up()
            core.deadlines.set(self, math.inf)
            core.topics.leave(self.topic, self)
            core.census.dismiss(self.address, self.user)
            core.counters.closed[code_label(code)] += 1
            core.log.info(
                "closed", id=self.number, user=self.user, address=self.address, code=code, received=self.received
            )
        self.pending, self.judge, self.backlog = None, None, None
