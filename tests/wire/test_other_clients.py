"""Clients of other libraries and a browser talk through the broker with nothing but their defaults."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from broker import WSMessageBroker
from tests.conftest import MakeBroker, until
from tests.wire.libraries import LIBRARIES, Ended, Message, NodeWs, Refusal, Talker, prepare_node
from tests.wire.raw import PATIENCE

Open = Callable[..., AbstractAsyncContextManager[Talker]]

MESSAGES: tuple[Message, ...] = (
    "hello",
    "",
    "Grüße, κόσμε, 😀",
    "\0 \x1f \x7f",
    "x" * 125,
    "x" * 126,
    "é" * 40_000,
    b"",
    b"\x00\xff\xfe",
    bytes(range(256)) * 300,
    "the last",
)


def url_of(broker: WSMessageBroker, credentials: str = "alice:secret") -> str:
    """Build the URL that a client is given, credentials included."""
    return f"ws://{credentials}@127.0.0.1:{broker.port}/ws?topic=t"


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Open:
    """Open a client of the library that the test is parametrised with."""
    return _opener(request.param)


def _opener(name: str) -> Open:
    kind = LIBRARIES[name]
    if kind is NodeWs:
        prepare_node()
    return kind.opened


every_library = pytest.mark.parametrize("library", list(LIBRARIES), indirect=True)


@pytest.mark.parametrize(("publisher", "subscriber"), list(itertools.product(LIBRARIES, repeat=2)))
async def test_messages_cross_between_libraries(publisher: str, subscriber: str, make_broker: MakeBroker) -> None:
    """Text arrives as text, binary as binary, in order and unchanged, in both directions."""
    opened = [_opener(name) for name in (publisher, subscriber)]
    broker = await make_broker()
    async with (
        asyncio.timeout(PATIENCE),
        opened[0](url_of(broker)) as one,
        opened[1](url_of(broker, "bob:geheim")) as two,
    ):
        for sender, receiver in ((one, two), (two, one)):
            for message in MESSAGES:
                await sender.send(message)
            for message in MESSAGES:
                assert await receiver.receive() == message


@every_library
async def test_fragments_of_a_library_arrive_whole(library: Open, make_broker: MakeBroker) -> None:
    """A message that a library streams in fragments is one message for everybody else."""
    broker = await make_broker()
    async with asyncio.timeout(PATIENCE), library(url_of(broker)) as one, library(url_of(broker)) as two:
        await one.send_fragments(["first, ", "", "second, ", "third"])
        assert await two.receive() == "first, second, third"


@every_library
async def test_ping_of_a_library_is_answered(library: Open, make_broker: MakeBroker) -> None:
    """The pong carries the payload of the ping, which may be anything."""
    broker = await make_broker()
    async with asyncio.timeout(PATIENCE), library(url_of(broker)) as client:
        for payload in (b"are you there?", b"\x00\xff", b"p" * 125):
            await client.ping(payload)


@every_library
async def test_library_closes(library: Open, make_broker: MakeBroker) -> None:
    """A library's own Close comes back with its code, and the connection is gone at once on both sides."""
    broker = await make_broker()
    async with asyncio.timeout(PATIENCE), library(url_of(broker)) as client:
        assert (await client.close(4321, "done")).code == 4321
        await until(lambda: broker.core.census.open == 0)
    assert broker.core.counters.closed["other"] == 1


@every_library
async def test_broker_closes(library: Open, make_broker: MakeBroker) -> None:
    """When the broker stops, every library learns why: 1001, and the token as the reason."""
    broker = await make_broker()
    async with asyncio.timeout(PATIENCE), library(url_of(broker)) as client:
        await client.send("so that it is known as a publisher")
        await until(lambda: broker.core.topics.received == 1)
        stopping = asyncio.create_task(broker.stop())
        assert await client.end() == Ended(1001, "shutdown")
    await stopping


@every_library
async def test_library_learns_of_a_wrong_password(library: Open, make_broker: MakeBroker) -> None:
    """A refusal is an HTTP 401 for every library, never an open connection."""
    broker = await make_broker()
    with pytest.raises(Refusal) as caught:
        async with asyncio.timeout(PATIENCE), library(url_of(broker, "alice:wrong")):
            pass
    assert caught.value.status == 401
    assert broker.core.counters.opened == 0
