"""The end in ordered steps, with the clock in the test's hand: nothing here waits."""

from collections.abc import Callable

import pytest

from broker import drain as drain_module
from broker.drain import GRACE, cut, drain
from broker.errors import SHUTDOWN
from broker.frames import CLOSE, TEXT, close_frame
from tests.broker.doubles import Guest, House
from tests.wire.raw import client_frame, close_payload

MakeHouse = Callable[..., House]
ANSWER = client_frame(CLOSE, close_payload(1001))


class Ending:
    """Lets a drain's pauses pass at once, and notes when each client was told."""

    def __init__(self, house: House, answers: Callable[[Guest], bool] = lambda _guest: True) -> None:
        self.house = house
        self.answers = answers
        self.guests: list[Guest] = []
        self.told: dict[Guest, float] = {}
        self.begun = house.clock()

    async def sleep(self, seconds: float) -> None:
        """Stand in for `asyncio.sleep`."""
        self.look()
        self.house.pass_time(seconds)
        self.house.loop.run()

    def look(self) -> None:
        self.house.loop.run()
        for guest in self.guests:
            if guest not in self.told and close_frame(1001, "shutdown") in guest.pipe.sent:
                self.told[guest] = round(self.house.clock() - self.begun, 3)
                if self.answers(guest):
                    guest.send(ANSWER)

    @property
    def duration(self) -> float:
        """Seconds since it began."""
        return self.house.clock() - self.begun


@pytest.fixture
def ending(house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ending]:
    """Make a house whose drains pass at once."""

    def make(answers: Callable[[Guest], bool] = lambda _guest: True) -> Ending:
        made = Ending(house(close_timeout="100s", ping_interval=0), answers)
        monkeypatch.setattr(drain_module.asyncio, "sleep", made.sleep)  # type: ignore[attr-defined] # its own import
        return made

    return make


async def test_drain_spreads_the_closes_evenly_over_its_time(ending: Callable[..., Ending]) -> None:
    """A restart storm is spread out before it begins, however many there are."""
    end = ending()
    end.guests = [end.house.connect() for _ in range(500)]
    await drain(end.house.core, SHUTDOWN, 5.0)
    times = sorted(end.told.values())
    assert len(times) == 500
    for index in (0, 100, 250, 499):
        assert times[index] == pytest.approx(5.0 * index / 500, abs=0.05)
    assert end.duration < 5.5


async def test_drain_ends_early_when_everybody_hangs_up(ending: Callable[..., Ending]) -> None:
    """Nobody waits for clients that are gone."""

    def hang_up(_: Guest) -> bool:
        for guest in end.guests:
            if not guest.gone():
                guest.pipe.lose()
        return False

    end = ending(answers=hang_up)
    end.guests = [end.house.connect() for _ in range(100)]
    await drain(end.house.core, SHUTDOWN, 100.0)
    assert end.duration < 1.0


async def test_drain_without_any_time_tells_everyone_at_once(ending: Callable[..., Ending]) -> None:
    """`drain_time = 0` closes in one step."""
    end = ending()
    end.guests = [end.house.connect() for _ in range(100)]
    await drain(end.house.core, SHUTDOWN, 0)
    assert set(end.told.values()) == {0.0}


async def test_drain_tells_publishers_in_the_first_half_and_receivers_in_the_second(
    ending: Callable[..., Ending],
) -> None:
    """What the publishers still say reaches every receiver."""
    end = ending()
    publishers = [end.house.connect() for _ in range(10)]
    receivers = [end.house.connect() for _ in range(10)]
    for guest in publishers:
        guest.send(client_frame(TEXT, b"x"))
    end.house.loop.run()
    end.guests = publishers + receivers
    await drain(end.house.core, SHUTDOWN, 10.0)
    assert max(end.told[guest] for guest in publishers) < 5.0
    assert min(end.told[guest] for guest in receivers) >= 5.0
    assert end.duration < 10.5


async def test_drain_waits_no_longer_for_stragglers_than_their_grace(ending: Callable[..., Ending]) -> None:
    """Who never answers holds the receivers up until half time, and the end until `drain_time` and the grace."""
    end = ending(answers=lambda _guest: False)
    publisher, receiver = end.house.connect(), end.house.connect()
    publisher.send(client_frame(TEXT, b"x"))
    end.house.loop.run()
    end.guests = [publisher, receiver]
    await drain(end.house.core, SHUTDOWN, 10.0)
    assert end.told[publisher] == 0
    assert 5.0 <= end.told[receiver] < 10.0
    assert end.duration == pytest.approx(10.0 + GRACE, abs=0.05)


async def test_cut_waits_no_longer_than_its_patience(ending: Callable[..., Ending]) -> None:
    """A transport that does not report its end does not keep the process."""
    end = ending()
    guest = end.house.connect()
    await cut(end.house.core, patience=1.0)
    assert guest.pipe.was_aborted()
    assert end.duration == pytest.approx(1.0, abs=0.05)
