"""Fixtures of the publisher's tests: servers once per session, a rig per road, publishers that are closed again."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from otp.publisher import AsyncPublisher
from tests.publisher import certificates as certificate_files
from tests.publisher.certificates import Certificates
from tests.publisher.rigs import RIGS, RestStandIn, Rig
from tests.publisher.servers import HOST, BrokerServer, MosquittoServer, RabbitServer, RedisServer

SAMPLE_TIME = 1629685778
"""Unix seconds of the requirement's samples."""

MakePublisher = Callable[..., AsyncPublisher]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificate_files.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RabbitServer]:
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"), certificates)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), certificates)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[MosquittoServer]:
    server = MosquittoServer(tmp_path_factory.mktemp("mosquitto"), certificates)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[BrokerServer]:
    server = BrokerServer(tmp_path_factory.mktemp("broker"), certificates)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def rest(certificates: Certificates) -> AsyncIterator[RestStandIn]:
    server = RestStandIn(certificates)
    await server.start()
    yield server
    await server.stop()


_SERVERS = {"ws": "broker", "rest": "rest", "amqp": "rabbit", "redis": "redis_server", "mqtt": "mosquitto"}


# paho leaves the socket of a failed TLS handshake to the garbage collector, which warns.
_PARAMS = [
    pytest.param(name, marks=pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket") if name == "mqtt" else ())
    for name in RIGS
]


@pytest.fixture(params=_PARAMS)
def rig(request: pytest.FixtureRequest, certificates: Certificates) -> Rig:
    """Each road in turn."""
    return RIGS[request.param](request.getfixturevalue(_SERVERS[request.param]), certificates)


@pytest.fixture(params=[name for name in RIGS if name != "rest"])
def broker_rig(request: pytest.FixtureRequest, certificates: Certificates) -> Rig:
    """Each road through a broker in turn."""
    return RIGS[request.param](request.getfixturevalue(_SERVERS[request.param]), certificates)


@pytest.fixture
async def make_publisher(tmp_path: Path) -> AsyncIterator[MakePublisher]:
    """Make publishers with a store of their own; all are closed with the test."""
    async with AsyncExitStack() as stack:

        def make(keywords: dict[str, Any], *, clock: Callable[[], float] = time.time, **more: Any) -> AsyncPublisher:
            wanted = {"manage_otp": True, "cache_dir": tmp_path / "cache", **keywords, **more}
            publisher = AsyncPublisher(clock=clock, **wanted)
            stack.push_async_callback(publisher.close)
            return publisher

        yield make


@pytest.fixture
async def other_name(certificates: Certificates) -> AsyncIterator[int]:
    """The port of a TLS server whose certificate is for another name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.other, certificates.key)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), HOST, 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def demanding(certificates: Certificates) -> AsyncIterator[tuple[int, list[Any]]]:
    """The port of a TLS server that demands a client's certificate, and the names it was shown."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority))
    context.load_cert_chain(certificates.certificate, certificates.key)
    context.verify_mode = ssl.CERT_REQUIRED
    shown: list[Any] = []

    def meet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("peercert"))
        writer.close()

    server = await asyncio.start_server(meet, HOST, 0, ssl=context)
    yield server.sockets[0].getsockname()[1], shown
    server.close()


NONSENSE = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"\x00\xff" * 500,
    b"-ERR what?\r\n",
    b"\x20\x02\x00\x00",
    b"",
]
"""What a port may say that belongs to another service, or to none that still works."""


@pytest.fixture(params=range(len(NONSENSE)))
async def nonsense(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """The port of a server that answers nonsense to whatever it is sent, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(NONSENSE[request.param])
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """The port of a server that accepts connections and never says a word."""
    held: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: held.append(writer), HOST, 0)
    yield server.sockets[0].getsockname()[1]
    for writer in held:
        writer.close()
    server.close()


async def arrived(inbox: "asyncio.Queue[bytes]") -> bytes:
    """Return the next message, or fail."""
    return await asyncio.wait_for(inbox.get(), 10)
