"""Whatever a client sends, in whatever segments: the broker relays and answers what a `websockets` server would.

The reference gets the frames one at a time and handles each before the next comes, so that the first fault decides.
(Its sans-I/O class alone lets bad UTF-8 pass; its asyncio server does not.) The broker gets the same bytes cut at will.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from broker import WSMessageBroker
from broker.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.conftest import MakeBroker
from tests.strategies import MAX_PAYLOAD, chops, streams
from tests.wire.conftest import Dial
from tests.wire.raw import (
    CONTINUATION,
    Frame,
    Wire,
    binary,
    client_frame,
    close_payload,
    closing,
    cut,
    text,
    upgrade_request,
)

END = text("the example is over")
TICKS = 12
"""Rounds of the loop in which a `websockets` server reads a frame, wakes its handler and answers: six, and a margin."""


@dataclass
class Outcome:
    """What a stream came to."""

    relayed: list[Frame] = field(default_factory=list)
    """The messages that are true."""
    pongs: list[bytes] = field(default_factory=list)
    """Payloads of the pongs, in order."""
    close: int = 0
    """Code of the server's Close; 0 when it sent none."""

    def hear(self, frames: list[Frame]) -> None:
        """Note what the client got back; a Close is the last of it."""
        self.pongs = [frame.payload for frame in frames if frame.first == PONG]
        rest = [frame for frame in frames if frame.first != PONG]
        assert [frame.first for frame in rest] in ([], [CLOSE])
        assert not rest or frames[-1] is rest[0]
        # The library echoes an empty Close as it came; ours carries 1000, since PHP's fread fails on an empty frame.
        self.close = (rest[0].code or 1000) if rest else 0


class Reference:
    """A plain `websockets` server, asked one stream at a time."""

    def __init__(self) -> None:
        self.port = 0
        self.relayed: list[Frame] = []

    async def handle(self, connection: ServerConnection) -> None:
        """Note what arrives as messages."""
        try:
            async for message in connection:
                self.relayed.append(text(message) if isinstance(message, str) else binary(message))
        except ConnectionClosed:
            pass

    async def ask(self, data: bytes) -> Outcome:
        """Send the frames one by one and hang up."""
        outcome = Outcome()
        self.relayed = outcome.relayed
        with closing([await Wire.connect(self.port)]) as (wire,):
            await wire.upgrade(upgrade_request())
            for frame in cut(data):
                await wire.send(frame)
                for _ in range(TICKS):
                    await asyncio.sleep(0)
            wire.fin()
            outcome.hear(await wire.frames_to_end())
        return outcome


@asynccontextmanager
async def reference() -> AsyncIterator[Reference]:
    """Run the reference server."""
    server = Reference()
    async with serve(
        server.handle, "127.0.0.1", 0, compression=None, max_size=MAX_PAYLOAD, ping_interval=None
    ) as listening:
        server.port = next(iter(listening.sockets)).getsockname()[1]
        yield server


@dataclass
class Pair:
    """A broker with a listener on the topic, and the reference."""

    broker: WSMessageBroker
    listener: Wire
    reference: Reference

    async def ask(self, data: bytes, chop: int) -> Outcome:
        """Send the bytes in the given chops and hang up; what the listener hears is what was relayed."""
        outcome = Outcome()
        with closing([await Wire.connect(self.broker.port)]) as (wire,):
            await wire.upgrade(upgrade_request())
            await wire.send(data, chop)
            wire.fin()
            outcome.hear(await wire.frames_to_end())
        with closing([await Wire.connect(self.broker.port)]) as (last,):
            await last.upgrade(upgrade_request())
            await last.send(client_frame(*END))
            while (frame := await self.listener.frame()) != END:
                outcome.relayed.append(frame)
        return outcome


@pytest.fixture
async def pair(make_broker: MakeBroker, dial: Dial) -> AsyncIterator[Pair]:
    """Run both, for all examples of a test."""
    broker = await make_broker(max_message_size=MAX_PAYLOAD, connection_rate=0, ping_interval=0)
    async with reference() as server:
        yield Pair(broker, await dial(broker), server)


# The servers are shared by all examples on purpose: a stream must leave nothing behind.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(frames=streams, chop=chops)
@example(frames=[client_frame(TEXT, b"\xed\xa0\x80"), client_frame(TEXT, b"never")], chop=0)
@example(frames=[client_frame(TEXT, b"\xc3", fin=False), client_frame(PING), client_frame(0x80, b"\xa9")], chop=1)
@example(frames=[client_frame(TEXT, b"a", fin=False), client_frame(CLOSE, close_payload(1000))], chop=0)
@example(frames=[client_frame(CLOSE), client_frame(TEXT, b"never")], chop=0)
@example(frames=[client_frame(BINARY, b"x" * 999, fin=False), client_frame(CONTINUATION, b"xx")], chop=0)
@example(frames=[client_frame(TEXT, b"z"), client_frame(PING, b"before"), client_frame(CLOSE)], chop=0)
@example(frames=[client_frame(TEXT, b"z"), client_frame(PING, b"before"), client_frame(0x83)], chop=0)
@example(frames=[b"\x81\x83", client_frame(TEXT, fin=False), client_frame(CONTINUATION)], chop=0)
@example(frames=[client_frame(BINARY, b"y"), client_frame(TEXT, b"no mask", mask=None)], chop=1)
async def test_inbound_is_what_websockets_makes_of_it(pair: Pair, frames: list[bytes], chop: int) -> None:
    """For any stream in any segments: the same messages relayed, the same pongs, the same Close code."""
    data = b"".join(frames)
    assert await pair.ask(data, chop) == await pair.reference.ask(data)
