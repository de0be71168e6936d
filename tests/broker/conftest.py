"""Fixtures of the broker's tests: both event loops, raw clients, the admin listener, doubles."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

import pytest

from broker import WSMessageBroker
from broker import auth as auth_module
from broker.run import new_event_loop
from tests.broker.door import Door, Verifications
from tests.broker.doubles import House
from tests.wire.raw import Response, Wire, closing, parse_response, upgrade_request


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker that this directory adds."""
    config.addinivalue_line("markers", "both_loops: run on uvloop and on asyncio's own loop")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what is marked on both loops, the rest on the loop that the broker takes here."""
    if item.get_closest_marker("both_loops") is None:
        return {"default": new_event_loop}
    return {"uvloop": new_event_loop, "asyncio": asyncio.SelectorEventLoop}


class Dial(Protocol):
    """Open a WebSocket; closed with the test."""

    def __call__(
        self,
        broker: WSMessageBroker,
        topic: str = ...,
        user: str = ...,
        *headers: str,
        receive_buffer: int = ...,
    ) -> Coroutine[Any, Any, Wire]: ...


class Ask(Protocol):
    """Send a request that is to be refused, and read the refusal."""

    def __call__(self, broker: WSMessageBroker, request: bytes) -> Coroutine[Any, Any, Response]: ...


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    """Sockets that are closed with the test."""
    with closing([]) as opened:
        yield opened


@pytest.fixture
def dial(wires: list[Wire]) -> Dial:
    """Connect and upgrade."""

    async def connect(
        broker: WSMessageBroker,
        topic: str = "t",
        user: str = "alice:secret",
        *headers: str,
        receive_buffer: int = 0,
    ) -> Wire:
        wire = await Wire.connect(broker.port, receive_buffer=receive_buffer)
        wires.append(wire)
        await wire.upgrade(upgrade_request(f"/ws?topic={topic}", user, *headers))
        return wire

    return connect


@pytest.fixture
def ask() -> Ask:
    """Connect, send bytes, read the answer to its end, and hang up."""

    async def request(broker: WSMessageBroker, request: bytes) -> Response:
        wire = await Wire.connect(broker.port)
        with closing([wire]):
            await wire.send(request)
            return await wire.response()

    return request


@pytest.fixture
def house() -> Iterator[Callable[..., House]]:
    """Make cores without sockets, ended with the test."""
    made: list[House] = []

    def make(**settings: Any) -> House:
        made.append(House(**settings))
        return made[-1]

    yield make
    for each in made:
        each.dispose()


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> Verifications:
    """Verify by comparing text, so that each call can be counted and held up."""
    double = Verifications()
    monkeypatch.setattr(auth_module, "verify", double)
    return double


@pytest.fixture
def doors() -> Iterator[list[Door]]:
    made: list[Door] = []
    yield made
    for door in made:
        door.auth.close()


async def http(
    broker: WSMessageBroker,
    target: str,
    *headers: str,
    method: str = "GET",
    user: str = "alice:secret",
    body: bytes | None = None,
) -> Response:
    """Send one request to the admin listener; an empty `user` sends no credentials."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    if user:
        lines.append(f"Authorization: Basic {base64.b64encode(user.encode()).decode()}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    wire = await Wire.connect(broker.admin_port)
    with closing([wire]):
        await wire.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return parse_response(await wire.to_end())


def answer(response: Response) -> Any:
    """Read a JSON body."""
    return json.loads(response.body)
