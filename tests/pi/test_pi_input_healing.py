"""What is the same for all ways in, shown on one without a server."""

import asyncio
import logging

import pytest

from otp.pi.inputs import healing
from otp.pi.inputs.base import RoadLostError
from otp.pi.inputs.healing import HealingInput
from otp.pi.settings import Broker
from otp.roads.errors import RoadError
from tests.conftest import until
from tests.pi.input_rigs import Taker, running


class Way(HealingInput):
    """A way in that fails as told.

    Attributes:
        failures: Raised by one connection after the other; ``None`` stays connected for ever.
        connects: Whether a connection comes about before it fails.
        refusal: Raised by publishing.
        attempts: Connections that were tried.
        deaf: Whether it makes an ordinary error of being cancelled, as some libraries do.
    """

    def __init__(self, taker: Taker) -> None:
        super().__init__("way", Broker(reconnect_longest=0.001), "example.test:1", taker)
        self.failures: list[Exception | None] = []
        self.connects = False
        self.refusal: RoadError | None = None
        self.attempts = 0
        self.deaf = False

    async def _serve(self) -> None:
        self.attempts += 1
        failure = self.failures.pop(0) if len(self.failures) > 1 else self.failures[0]
        if self.connects or failure is None:
            self._up()
        if failure is not None:
            raise failure
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.deaf:
                raise RoadError("connection_lost", "gone.") from None
            raise

    async def _publish(self, topic: str, payload: bytes) -> None:
        if self.refusal is not None:
            raise self.refusal


@pytest.fixture
def way(caplog: pytest.LogCaptureFixture) -> Way:
    caplog.set_level(logging.INFO, "otp.pi")
    return Way(Taker())


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(record, "event", "") for record in caplog.records if record.name == "otp.pi"]


async def test_server_that_stays_away_is_said_once_a_minute(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """However often it is tried, the log has one line at first and another after a minute."""
    way.failures = [RoadError("unreachable", "nobody there.")]
    async with running(way, wait=False):
        await until(lambda: way.attempts > 5)
        assert events(caplog) == ["input_not_connected"]
        way._said_at -= healing.SAY_AGAIN
        await until(lambda: len(events(caplog)) > 1)
    assert events(caplog) == ["input_not_connected", "input_not_connected"]
    assert way.status.received == 0


async def test_each_loss_is_said(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that was there and broke is news every time."""
    way.connects = True
    way.failures = [RoadError("connection_lost", "gone."), RoadError("connection_lost", "gone."), None]
    async with running(way):
        await until(lambda: way.attempts == 3)
    assert events(caplog) == [
        *("input_connected", "input_lost", "input_connected", "input_lost"),
        "input_connected",
    ]


async def test_mistake_of_a_library_does_not_end_a_way_in(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is logged without its text, and the connection is tried again."""
    way.failures = [KeyError("secret body"), None]
    async with running(way):
        assert way.attempts == 2
    assert events(caplog)[0] == "input_failed"
    assert "secret body" not in caplog.text


async def test_refused_answer_keeps_the_reason(way: Way) -> None:
    """What the server says about an answer is passed on."""
    way.failures = [None]
    way.refusal = RoadError("forbidden", "example.test does not allow that.")
    async with running(way):
        with pytest.raises(RoadLostError, match="does not allow that"):
            await way.publish("topic", b"body")


async def test_library_that_swallows_cancellation(way: Way) -> None:
    """A way in ends when it is cancelled, even where a library makes another error of that."""
    way.failures, way.deaf = [None], True
    async with running(way):
        pass
    assert way.attempts == 1
