"""WebSocket: pings that wait for the journal, what servers say when they close, answers over a line of their own."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from otp.pi.inputs import Input, open_input
from otp.pi.inputs.base import RoadLostError
from otp.pi.settings import WebSocket
from tests.conftest import until
from tests.pi.input_rigs import Taker, WsInputRig, running
from tests.publisher.certificates import Certificates
from tests.publisher.servers import HOST, BrokerServer

Handler = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture
def taker() -> Taker:
    return Taker()


@asynccontextmanager
async def serving(handler: Handler, *, status: int = 0) -> AsyncIterator[int]:
    """Serve WebSocket with the given handler, or refuse every request."""

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(HTTPStatus(status), "") if status else None

    async with serve(handler, HOST, 0, process_request=refuse, ping_interval=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def opened(port: int, taker: Taker, **more: object) -> Input:
    """Return a way in to a server of this file."""
    values = {"port": port, "reconnect_longest": 0.1, "ping_interval": 0.2, "username": "u", "password": "p:w\u00e9"}
    return open_input("ws", WebSocket.model_validate(values | more), taker, data_dir=Path("unused"))


async def test_request_is_what_brokers_expect(taker: Taker) -> None:
    """The topic stands encoded in the configured query, and the credentials are Basic in UTF-8."""
    seen: list[Request] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request)
        await connection.wait_closed()

    async with serving(handler) as port, running(opened(port, taker, topic="m-1 x/\u00e9&", path="/ws/?a=1&topic=old")):
        pass
    assert seen[0].path == "/ws/?a=1&topic=m-1%20x%2F%C3%A9%26"
    assert parse_qs(urlsplit(seen[0].path).query)["topic"] == ["m-1 x/\u00e9&"]
    assert seen[0].headers["Authorization"] == "Basic " + base64.b64encode("u:p:w\u00e9".encode()).decode()


async def test_ping_is_answered_after_storing(taker: Taker) -> None:
    """A ping's pong says that every message before it is stored, so it waits as long as that takes."""
    taker.open.clear()
    ponged: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    stored_at_pong: list[bytes] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.send("one")
        await connection.send(b"two")
        pong = await connection.ping()
        await until(lambda: taker.waiting == 1)
        finished, _ = await asyncio.wait([asyncio.ensure_future(pong)], timeout=0.2)
        assert not finished
        taker.open.set()
        await pong
        stored_at_pong.extend(taker.stored)
        ponged.set_result(0.0)
        await connection.wait_closed()

    async with serving(handler) as port, running(opened(port, taker), wait=False):
        await asyncio.wait_for(ponged, 10)
    assert stored_at_pong == [b"one", b"two"]


async def test_broker_that_goes_while_a_command_is_stored(taker: Taker) -> None:
    """A pong that finds nobody any more is the end of that connection, not of the command."""
    lost = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        if lost.is_set():
            await connection.send("two")
            await connection.wait_closed()
            return
        await connection.send("one")
        await connection.ping()
        await until(lambda: taker.waiting == 1)
        connection.transport.abort()
        lost.set()

    taker.open.clear()
    async with serving(handler) as port, running(opened(port, taker), wait=False):
        await asyncio.wait_for(lost.wait(), 10)
        taker.open.set()
        await taker.holds(b"one", b"two")


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "did not accept username and password"), (403, "does not allow"), (503, "HTTP status 503")],
)
async def test_refused_upgrade(taker: Taker, status: int, said: str) -> None:
    """A refusal over HTTP is told in words, and the attempts go on."""
    refusing = serving(lambda each: each.wait_closed(), status=status)
    async with refusing as port, running(opened(port, taker), wait=False) as way:
        await until(lambda: said in way.status.detail)
        assert not way.status.connected


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1000, "check accounts late"),
        (1001, "is being stopped"),
        (1008, "by its policy"),
        (1013, "come back later"),
        (3000, "did not accept username and password"),
        (3003, "does not allow this account"),
        (4321, "ended the connection (code 4321)"),
    ],
)
async def test_server_that_closes_says_why(taker: Taker, code: int, said: str) -> None:
    """A Close right after the upgrade never counts as connected, and its code is told in words."""

    async def handler(connection: ServerConnection) -> None:
        await connection.close(code)

    async with serving(handler) as port, running(opened(port, taker), wait=False) as way:
        await until(lambda: said in way.status.detail)
        assert not way.status.connected
        assert "127.0.0.1" in way.status.detail


async def test_message_beyond_all_bounds_ends_the_connection(taker: Taker) -> None:
    """A message of more than 16 MiB is not even read; the connection is made anew."""
    sent = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        if not sent.is_set():
            sent.set()
            try:
                await connection.send("x" * (16 * 2**20 + 1))
            except ConnectionClosed:
                return
        else:
            await connection.send("after")
        await connection.wait_closed()

    async with serving(handler) as port, running(opened(port, taker), wait=False):
        await taker.holds(b"after")


async def test_answer_is_one_frame_over_a_line_of_its_own(taker: Taker) -> None:
    """An answer comes as one text frame on its topic, and the line is closed properly; pings are answered there."""
    frames: list[str | bytes] = []
    codes: list[int | None] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        if "topic=answers" in connection.request.path:
            await connection.send("of somebody else")
            await connection.ping()
            frames.extend([frame async for frame in connection])
            codes.append(connection.close_code)
        else:
            await connection.wait_closed()

    async with serving(handler) as port, running(opened(port, taker)) as way:
        await way.publish("answers", "{\u00e9}".encode())
        await until(lambda: codes)
    assert (frames, codes) == (["{\u00e9}"], [1000])
    assert taker.stored == []


async def test_answer_that_is_not_confirmed(taker: Taker) -> None:
    """A server that closes before the pong has not taken the answer."""

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        if "topic=answers" in connection.request.path:
            connection.transport.abort()
        await connection.wait_closed()

    async with serving(handler) as port, running(opened(port, taker)) as way:
        with pytest.raises(RoadLostError, match=r"127\.0\.0\.1"):
            await way.publish("answers", b"body")


async def test_quiet_connection_stays(
    taker: Taker, broker: BrokerServer, certificates: Certificates, tmp_path: Path
) -> None:
    """Quiet minutes do not end a connection: our pings and the broker's keep it."""
    rig = WsInputRig(broker, certificates, tmp_path)
    async with running(rig.open(taker, ping_interval=0.05)) as way:
        since = way.status.since
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.6))])
        assert (way.status.connected, way.status.since) == (True, since)
