"""Sockets in their TLS handshake are counted and bounded, on both event loops."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from broker import WSMessageBroker
from tests.broker.certificates import make_pair
from tests.conftest import MakeBroker, until

pytestmark = pytest.mark.both_loops


async def start(make_broker: MakeBroker, folder: Path, **settings: object) -> WSMessageBroker:
    pair = make_pair(folder, "gate")
    return await make_broker(tls_certificate=str(pair.certificate), tls_key=str(pair.key), **settings)


async def connect(broker: WSMessageBroker) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect by TCP and say nothing."""
    return await asyncio.open_connection("127.0.0.1", broker.port)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_gate_counts_a_socket_before_its_tls_handshake(make_broker: MakeBroker, tmp_path: Path) -> None:
    """A silent socket holds a place from the moment it is accepted, and gives it back."""
    broker = await start(make_broker, tmp_path)
    census = broker.core.census
    _, writer = await connect(broker)
    await until(lambda: (census.open, census.unauthenticated) == (1, 1))
    await hang_up(writer)
    await until(lambda: (census.open, census.unauthenticated) == (0, 0))
    assert broker.core.counters.rejected["tls"] == 1


async def test_gate_closes_a_silent_socket_after_handshake_timeout(make_broker: MakeBroker, tmp_path: Path) -> None:
    """TLS has no more time to begin than a request has to arrive."""
    broker = await start(make_broker, tmp_path, handshake_timeout="200ms")
    reader, writer = await connect(broker)
    with contextlib.suppress(ConnectionResetError):  # the same end, told more rudely
        assert await asyncio.wait_for(reader.read(), 10) == b""
    await until(lambda: broker.core.census.open == 0)
    writer.close()


async def test_gate_turns_away_more_handshakes_than_it_may_hold(make_broker: MakeBroker, tmp_path: Path) -> None:
    """Above `max_unauthenticated` a socket is closed at once and counted."""
    broker = await start(make_broker, tmp_path, max_unauthenticated=2)
    held = [await connect(broker) for _ in range(2)]
    await until(lambda: broker.core.census.unauthenticated == 2)
    reader, writer = await connect(broker)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    assert broker.core.counters.rejected["max_unauthenticated"] == 1
    for _, each in [*held, (reader, writer)]:
        await hang_up(each)


async def test_gate_survives_a_client_that_does_not_speak_tls(make_broker: MakeBroker, tmp_path: Path) -> None:
    """Plain HTTP on the TLS port is the client's own mistake."""
    broker = await start(make_broker, tmp_path)
    _, writer = await connect(broker)
    writer.write(b"GET /ws HTTP/1.1\r\n\r\n")
    await until(lambda: broker.core.counters.rejected["tls"] == 1)
    assert broker.core.census.open == 0
    writer.close()
