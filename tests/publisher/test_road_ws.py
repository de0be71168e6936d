"""WebSocket: the URL, the one kept connection, and servers that refuse or hang up."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from otp.publisher.transports import kept
from otp.roads.http import with_topic
from tests.conftest import until
from tests.publisher.certificates import Certificates
from tests.publisher.conftest import MakePublisher, arrived
from tests.publisher.rigs import WsRig
from tests.publisher.servers import HOST, BrokerServer

NUMBER = "08126666666"


@pytest.fixture
def ws(broker: BrokerServer, certificates: Certificates) -> WsRig:
    return WsRig(broker, certificates)


@pytest.mark.parametrize(
    ("path", "topic", "expected"),
    [
        ("/ws", "sms", "/ws?topic=sms"),
        ("ws/", "sms", "/ws/?topic=sms"),
        ("", "sms", "/?topic=sms"),
        ("/ws/?a=1", "sms", "/ws/?a=1&topic=sms"),
        ("/ws?topic=old&a=1", "sms", "/ws?topic=sms&a=1"),
        ("/my \u00e9?a=\u00e9%20/b", "sms", "/my%20%C3%A9?a=%C3%A9%20/b&topic=sms"),
        ("/ws?a=1&topic=x&b=2&topic=y", "sms", "/ws?a=1&topic=sms&b=2"),
        ("/ws?flag", "sms", "/ws?flag&topic=sms"),
        ("/ws?", "sms", "/ws?topic=sms"),
        ("/ws", "m-1 x/é", "/ws?topic=m-1%20x%2F%C3%A9"),
        ("/ws", "a&b=c#d+e", "/ws?topic=a%26b%3Dc%23d%2Be"),
    ],
)
def test_topic_in_the_query(path: str, topic: str, expected: str) -> None:
    """The topic replaces an old one in its place or comes last; everything else stays as configured."""
    assert with_topic(path, topic) == expected


async def test_odd_topic_reaches_its_subscribers(ws: WsRig, make_publisher: MakePublisher) -> None:
    """A topic with blanks, slashes and accents is the same topic at both ends."""
    ws.topic = "m-1 x/é"
    publisher = make_publisher(ws.keywords())
    ws.topic = "m-1+x%2F%C3%A9"
    async with ws.receiving() as inbox:
        assert (await publisher.send_sms(receiver=NUMBER, message="hello")).ok
        await arrived(inbox)


async def test_messages_of_others_do_no_harm(ws: WsRig, make_publisher: MakePublisher) -> None:
    """What others send to the topic in between is passed over, however much it is."""
    publisher = make_publisher(ws.keywords())
    assert (await publisher.send_sms(receiver=NUMBER, message="one")).ok
    for n in range(20):
        await ws.publish(ws.topic, json.dumps({"n": n, "pad": "x" * 50_000}).encode())
    assert (await publisher.send_sms(receiver=NUMBER, message="two")).ok


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def stand_in(handler: Handler, **options: Any) -> AsyncIterator[Server]:
    """Run a WebSocket server that does what a test wants."""
    async with serve(handler, HOST, 0, **options) as server:
        yield server


def port_of(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


async def read_all(connection: ServerConnection) -> None:
    """Read and drop, as a broker with nobody else on the topic."""
    async for _ in connection:
        pass


async def test_one_connection_is_kept(ws: WsRig, make_publisher: MakePublisher) -> None:
    """A hundred commands, one after the other and at once, share one connection."""
    connections: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        connections.append(connection)
        await read_all(connection)

    async with stand_in(handler) as server:
        publisher = make_publisher(ws.keywords(port=port_of(server)))
        for n in range(50):
            assert (await publisher.send_sms(receiver=NUMBER, message=str(n))).ok
        await asyncio.gather(*(publisher.send_sms(receiver=NUMBER, message=str(n)) for n in range(50)))
        assert len(connections) == 1
        await publisher.close()


async def test_idle_connection_that_died_unnoticed(
    ws: WsRig, make_publisher: MakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a quiet time the connection is probed; one that does not answer is replaced, and nothing is lost."""
    monkeypatch.setattr(kept, "IDLE", 0.0)
    monkeypatch.setattr(kept, "PROBE", 0.2)
    received: list[str | bytes] = []
    asleep: list[ServerConnection] = []

    async def handler(connection: ServerConnection) -> None:
        async for message in connection:
            received.append(message)
            if len(received) == 1:
                connection.transport.pause_reading()  # from now on as a router that has forgotten the connection
                asleep.append(connection)

    async with stand_in(handler) as server:
        publisher = make_publisher(ws.keywords(port=port_of(server), timeout="1s"))
        first = await publisher.send_sms(receiver=NUMBER, message="one")
        await until(lambda: asleep)
        second = await publisher.send_sms(receiver=NUMBER, message="two")
        assert (first.ok, second.ok) == (True, True)
        assert [json.loads(message)["data"]["message"] for message in received] == ["one", "two"]
        asleep[0].transport.abort()
        await publisher.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, "connection_lost"),
        (1008, "rejected"),
        (1012, "connection_lost"),
        (3000, "unauthorized"),
        (3003, "forbidden"),
    ],
)
async def test_closed_instead_of_confirmed(code: int, reason: str, ws: WsRig, make_publisher: MakePublisher) -> None:
    """A broker that lets us in and then closes did not take the message: its code says why."""

    async def handler(connection: ServerConnection) -> None:
        await connection.close(code, "rate_limited: SECRET TEXT")

    async with stand_in(handler) as server:
        publisher = make_publisher(ws.keywords(port=port_of(server)))
        result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", reason)
    assert "SECRET" not in result.message


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "unauthorized"), (403, "forbidden"), (404, "rejected"), (503, "rejected")]
)
async def test_refused_before_the_upgrade(status: int, reason: str, ws: WsRig, make_publisher: MakePublisher) -> None:
    """An HTTP refusal is told by its status; a wrong password gets a hint at how the PHP publisher did it."""

    def refuse(connection: ServerConnection, _request: Request) -> Response:
        return connection.respond(HTTPStatus(status), "no")

    async with stand_in(read_all, process_request=refuse) as server:
        publisher = make_publisher(ws.keywords(port=port_of(server)))
        result = await publisher.send_sms(receiver=NUMBER, message="hello")
    assert (result.reason, str(status) in result.message) == (reason, True)
    assert ("user name as the password" in result.message) == (status == 401)


async def test_pong_of_a_later_ping_confirms_earlier_ones(ws: WsRig, make_publisher: MakePublisher) -> None:
    """A server that answers only the newest ping (RFC 6455, 5.5.3) has confirmed the messages before it."""

    async def raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _accept(reader, writer)
        pings: list[bytes] = []
        while len(pings) < 3:
            opcode, payload = await _frame(reader)
            if opcode == 9:
                pings.append(payload)
        writer.write(bytes([0x8A, len(pings[-1])]) + pings[-1])
        await _frame(reader)
        writer.close()

    server = await asyncio.start_server(raw, HOST, 0)
    publisher = make_publisher(ws.keywords(port=server.sockets[0].getsockname()[1]))
    results = await asyncio.gather(*(publisher.send_sms(receiver=NUMBER, message=str(n)) for n in range(3)))
    assert [result.response_code.value for result in results] == ["0000"] * 3
    await publisher.close()
    server.close()


async def _accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    from websockets.utils import accept_key

    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in request.splitlines() if line.lower().startswith("sec-websocket-key"))
    answer = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    writer.write("\r\n".join((*answer, f"Sec-WebSocket-Accept: {accept_key(key)}", "", "")).encode())


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    length = second & 127
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(length)
    return first & 15, bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


async def test_pings_of_the_server_are_answered(ws: WsRig, make_publisher: MakePublisher) -> None:
    """A server that pings gets its pong, so that a kept connection stays."""
    ponged = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        await (await connection.ping(b"alive?"))
        ponged.set()
        await read_all(connection)

    async with stand_in(handler) as server:
        publisher = make_publisher(ws.keywords(port=port_of(server)))
        assert (await publisher.send_sms(receiver=NUMBER, message="hello")).ok
        await until(ponged.is_set)
        await publisher.close()
