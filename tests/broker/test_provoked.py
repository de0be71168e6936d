"""Every refusal and every Close of the two tables, provoked on a real broker, on both event loops.

The tables below are complete: a row of `broker.errors` without a way to provoke it fails a test.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from broker import WSMessageBroker, errors
from broker import handshake as handshake_module
from broker.config import load_settings
from broker.connection import QUIET_START
from broker.errors import CLOSURES, REFUSALS, Closure, Refusal
from broker.frames import CLOSE, PING, TEXT
from broker.listener import bind_hosts
from tests.broker.conftest import Ask, Dial, http
from tests.broker.doubles import Clock
from tests.conftest import MakeBroker, until
from tests.wire.raw import Frame, Response, Wire, client_frame, close_payload, upgrade_request


class Stage:
    """What a scene needs: brokers, clients, a password file, and something to patch."""

    def __init__(
        self,
        make_broker: MakeBroker,
        dial: Dial,
        ask: Ask,
        port: int,
        accounts: Path,
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.make_broker = make_broker
        self.dial = dial
        self.ask = ask
        self.port = port
        self.accounts = accounts
        self.patch = patch
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self, job: Coroutine[Any, Any, None]) -> None:
        """Do something while the scene goes on."""
        self.tasks.append(asyncio.create_task(job))

    async def refuse(self, *arguments: str, **settings: Any) -> Response:
        """Be refused by a broker with such settings; the arguments are those of `upgrade_request`."""
        return await self.ask(await self.make_broker(**settings), upgrade_request(*arguments))

    async def admin(self, **settings: Any) -> WSMessageBroker:
        """Start a broker with its admin listener."""
        return await self.make_broker(admin_port=self.port, **settings)


@pytest.fixture
def stage(
    make_broker: MakeBroker, dial: Dial, ask: Ask, free_port: int, accounts: Path, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    return Stage(make_broker, dial, ask, free_port, accounts, monkeypatch)


def broken(*_: object) -> Any:
    """Stand in for anything of ours, and fail."""
    raise RuntimeError("broken")


# -- refusals


async def bad_request(stage: Stage) -> Response:
    return await stage.ask(await stage.make_broker(), upgrade_request().replace(b"Host: 127.0.0.1\r\n", b""))


async def invalid_topic(stage: Stage) -> Response:
    return await stage.refuse("/ws?topic=%ff")


async def unsupported_parameter(stage: Stage) -> Response:
    return await stage.refuse("/ws?topic=t&group=g")


async def unauthorized(stage: Stage) -> Response:
    return await stage.refuse("/ws", "alice:wrong")


async def forbidden_origin(stage: Stage) -> Response:
    return await stage.refuse("/ws", "alice:secret", "Origin: https://evil.example")


async def forbidden(stage: Stage) -> Response:
    return await http(await stage.admin(admin_users="bob"), "/topics")


async def not_found(stage: Stage) -> Response:
    return await stage.refuse("/nowhere")


async def method_not_allowed(stage: Stage) -> Response:
    return await stage.ask(await stage.make_broker(), upgrade_request().replace(b"GET", b"POST"))


async def handshake_timeout(stage: Stage) -> Response:
    return await stage.ask(await stage.make_broker(handshake_timeout="100ms"), b"GET /ws HTTP/1.1\r\n")


async def message_too_big(stage: Stage) -> Response:
    broker = await stage.admin(max_message_size=10)
    return await http(broker, "/publish?topic=t", method="POST", body=b"x" * 11)


async def upgrade_required(stage: Stage) -> Response:
    return await stage.ask(await stage.make_broker(), upgrade_request().replace(b"Upgrade: websocket\r\n", b""))


async def rate_limited(stage: Stage) -> Response:
    broker = await stage.make_broker(connection_rate=1)
    broker.core.clock = Clock()
    for _ in range(2):
        await stage.dial(broker)
    return await stage.ask(broker, upgrade_request())


async def too_many_connections(stage: Stage) -> Response:
    broker = await stage.make_broker(max_connections_per_user=1)
    await stage.dial(broker)
    return await stage.ask(broker, upgrade_request())


async def header_too_large(stage: Stage) -> Response:
    return await stage.refuse("/ws", "alice:secret", "X: " + "x" * 2000, max_header_size=1024)


async def internal_error(stage: Stage) -> Response:
    stage.patch.setattr(handshake_module, "check_path", broken)
    return await stage.refuse()


async def full(stage: Stage) -> Response:
    broker = await stage.make_broker(max_connections=1)
    await stage.dial(broker)
    return await stage.ask(broker, upgrade_request())


async def draining(stage: Stage) -> Response:
    broker = await stage.make_broker()
    broker.core.draining = True
    return await stage.ask(broker, upgrade_request())


async def http_version(stage: Stage) -> Response:
    return await stage.ask(await stage.make_broker(), upgrade_request().replace(b"HTTP/1.1", b"HTTP/1.0"))


REFUSED_BY: dict[Refusal, Callable[[Stage], Awaitable[Response]]] = {
    errors.BAD_REQUEST: bad_request,
    errors.INVALID_TOPIC: invalid_topic,
    errors.UNSUPPORTED_PARAMETER: unsupported_parameter,
    errors.UNAUTHORIZED: unauthorized,
    errors.FORBIDDEN_ORIGIN: forbidden_origin,
    errors.FORBIDDEN: forbidden,
    errors.NOT_FOUND: not_found,
    errors.METHOD_NOT_ALLOWED: method_not_allowed,
    errors.REQUEST_TIMEOUT: handshake_timeout,
    errors.MESSAGE_TOO_BIG: message_too_big,
    errors.UPGRADE_REQUIRED: upgrade_required,
    errors.RATE_LIMITED: rate_limited,
    errors.TOO_MANY_CONNECTIONS: too_many_connections,
    errors.HEADER_TOO_LARGE: header_too_large,
    errors.INTERNAL_ERROR: internal_error,
    errors.FULL: full,
    errors.DRAINING: draining,
    errors.HTTP_VERSION: http_version,
}


def test_every_refusal_is_provoked() -> None:
    """No row of the table without a scene."""
    assert set(REFUSED_BY) == set(REFUSALS)


@pytest.mark.both_loops
@pytest.mark.parametrize("refusal", REFUSALS, ids=[each.token for each in REFUSALS])
async def test_refusal_reaches_the_client_as_the_table_says(stage: Stage, refusal: Refusal) -> None:
    """Status, token and advice, in one answer that can be read whole."""
    response = await REFUSED_BY[refusal](stage)
    assert (response.status, response.token) == (refusal.status, refusal.token)
    assert response.json()["message"].endswith(f"What to do: {refusal.advice}.")
    assert response.headers["content-length"] == str(len(response.body))


# -- closes


class Scene(NamedTuple):
    """A broker, and the client that it will close."""

    broker: WSMessageBroker
    client: Wire


async def closed_after(stage: Stage, data: bytes, **settings: Any) -> Scene:
    """Send something that is answered with a Close."""
    broker = await stage.make_broker(**settings)
    client = await stage.dial(broker)
    await client.send(data)
    return Scene(broker, client)


async def normal(stage: Stage) -> Scene:
    return await closed_after(stage, client_frame(CLOSE, close_payload(1000)))


async def shutdown(stage: Stage) -> Scene:
    broker = await stage.make_broker()
    scene = Scene(broker, await stage.dial(broker))
    stage.begin(broker.drain())
    return scene


async def protocol_error(stage: Stage) -> Scene:
    return await closed_after(stage, client_frame(TEXT, b"x", mask=None))


async def invalid_text(stage: Stage) -> Scene:
    return await closed_after(stage, client_frame(TEXT, b"\xff"))


async def client_rate_limited(stage: Stage) -> Scene:
    return await closed_after(stage, client_frame(TEXT, b"x") * 3, message_rate=1)


async def client_message_too_big(stage: Stage) -> Scene:
    return await closed_after(stage, client_frame(TEXT, b"x" * 11), max_message_size=10)


async def broker_error(stage: Stage) -> Scene:
    broker = await stage.make_broker()
    client = await stage.dial(broker)
    broker.core.unmask = broken
    await client.send_text("x")
    return Scene(broker, client)


async def restart(stage: Stage) -> Scene:
    broker = await stage.make_broker(inherited=bind_hosts(["127.0.0.1"], 0))
    scene = Scene(broker, await stage.dial(broker))
    stage.begin(broker.drain())
    return scene


async def slow_consumer(stage: Stage) -> Scene:
    broker = await stage.make_broker(max_message_size="64KiB", max_queued_bytes="256KiB")
    slow = await stage.dial(broker, "t", "alice:secret", receive_buffer=4096)
    reader, sender = await stage.dial(broker), await stage.dial(broker)
    while not broker.core.counters.slow_consumers:
        await sender.send_text("x" * 60_000)
        await reader.frame()
    return Scene(broker, slow)


async def credentials_revoked(stage: Stage) -> Scene:
    broker = await stage.make_broker()
    scene = Scene(broker, await stage.dial(broker))
    await asyncio.to_thread(stage.accounts.write_text, "# nobody\n")
    await broker.reload()
    return scene


async def origin_revoked(stage: Stage) -> Scene:
    broker = await stage.make_broker(allowed_origins="*")
    scene = Scene(broker, await stage.dial(broker, "t", "alice:secret", "Origin: https://app.example"))
    wanted = broker.settings.model_dump() | {"allowed_origins": []}
    broker.reload_settings = lambda: load_settings(wanted)
    await broker.reload()
    return scene


async def ping_timeout(stage: Stage) -> Scene:
    broker = await stage.make_broker(ping_interval="1s", ping_timeout="1s")
    broker.core.clock = clock = Clock(broker.core.clock())
    client = await stage.dial(broker)
    clock.turn(QUIET_START + 1)
    assert (await client.frame()).first == PING
    clock.turn(2)
    return Scene(broker, client)


CLOSED_BY: dict[Closure, Callable[[Stage], Awaitable[Scene]]] = {
    errors.NORMAL: normal,
    errors.SHUTDOWN: shutdown,
    errors.PROTOCOL_ERROR: protocol_error,
    errors.INVALID_TEXT: invalid_text,
    errors.CLIENT_RATE_LIMITED: client_rate_limited,
    errors.CLIENT_MESSAGE_TOO_BIG: client_message_too_big,
    errors.BROKER_ERROR: broker_error,
    errors.RESTART: restart,
    errors.SLOW_CONSUMER: slow_consumer,
    errors.CREDENTIALS_REVOKED: credentials_revoked,
    errors.ORIGIN_REVOKED: origin_revoked,
    errors.PING_TIMEOUT: ping_timeout,
}


def test_every_closure_is_provoked() -> None:
    """No row of the table without a scene."""
    assert set(CLOSED_BY) == set(CLOSURES)


async def last_frame(wire: Wire) -> Frame:
    """Read up to the Close."""
    while (frame := await wire.frame()).first != CLOSE:
        pass
    return frame


@pytest.mark.both_loops
@pytest.mark.parametrize("closure", CLOSURES, ids=[f"{each.code} {each.token}" for each in CLOSURES])
async def test_close_reaches_the_client_as_the_table_says(stage: Stage, closure: Closure) -> None:
    """The code, and a reason that begins with the token; then the line is closed, and the count shows it."""
    broker, client = await CLOSED_BY[closure](stage)
    frame = await last_frame(client)
    assert frame.code == closure.code
    # A client's own Close is answered with its code alone.
    assert frame.reason.split(":")[0] == ("" if closure is errors.NORMAL else closure.token)
    await client.send(client_frame(CLOSE, frame.payload[:2]))
    assert await client.to_end() == b""
    await until(lambda: broker.core.counters.closed[str(closure.code)] == 1)
    await asyncio.gather(*stage.tasks)
