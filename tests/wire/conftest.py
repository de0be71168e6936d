"""Fixtures of the wire tests: raw connections that end with their test, and both event loops."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.util import find_spec
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from broker import WSMessageBroker
from tests.wire.raw import Wire, closing, upgrade_request

# A busy machine is no failure: no deadline per example, on top of the profile that is in force (CI's is deterministic).
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=5000)  # --hypothesis-profile
settings.load_profile("patient")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Advance = Callable[[WSMessageBroker, float], None]


BROKERS_LOOP = "asyncio" if find_spec("uvloop") is None else "uvloop"
"""The loop that the command `wsbroker` takes here, for what is too slow to run twice."""


class Dial(Protocol):
    """Open a WebSocket to a broker; closed with the test."""

    def __call__(
        self, broker: WSMessageBroker, target: str = ..., credentials: str = ..., *, receive_buffer: int = ...
    ) -> Awaitable[Wire]: ...


class Knock(Protocol):
    """Open a TCP connection to a broker without saying anything; closed with the test."""

    def __call__(self, broker: WSMessageBroker, *, receive_buffer: int = ...) -> Awaitable[Wire]: ...


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, LoopFactory]:
    """Run every test here on both event loops, unless its marker names one."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.SelectorEventLoop}
    if find_spec("uvloop") is not None:  # there is no wheel of it for every platform
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
def wires() -> Iterator[list[Wire]]:
    """Sockets that are closed with the test."""
    with closing([]) as opened:
        yield opened


@pytest.fixture
def knock(wires: list[Wire]) -> Knock:
    """Connect and say nothing."""

    async def connect(broker: WSMessageBroker, *, receive_buffer: int = 0) -> Wire:
        wire = await Wire.connect(broker.port, receive_buffer=receive_buffer)
        wires.append(wire)
        return wire

    return connect


@pytest.fixture
def dial(knock: Knock) -> Dial:
    """Connect and upgrade."""

    async def connect(
        broker: WSMessageBroker,
        target: str = "/ws?topic=t",
        credentials: str = "alice:secret",
        *,
        receive_buffer: int = 0,
    ) -> Wire:
        wire = await knock(broker, receive_buffer=receive_buffer)
        await wire.upgrade(upgrade_request(target, credentials))
        return wire

    return connect


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Advance:
    """Move a broker's clock forward by so many seconds; what is due then happens with its next tick."""
    ahead = 0.0

    def advance(broker: WSMessageBroker, seconds: float) -> None:
        nonlocal ahead
        ahead += seconds
        monkeypatch.setattr(broker.core, "clock", lambda: time.monotonic() + ahead)
        broker.core.auth.clock = broker.core.clock

    return advance
