"""The wheel of deadlines, with the clock in the test's hand."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.deadlines import RESOLUTION, Deadlines


class Item:
    """Notes when it was called, and may want to be called again."""

    def __init__(self, wheel: Deadlines, again: float | None = None) -> None:
        self.wheel = wheel
        self.again = again
        self.due = math.inf
        self.called: list[float] = []

    def expired(self, now: float) -> None:
        self.called.append(now)
        if self.again is not None:
            self.wheel.set(self, now + self.again)


def test_deadline_is_called_once_and_not_before_its_time() -> None:
    """An item is called at the first tick behind its deadline, once."""
    wheel = Deadlines(100.0)
    item = Item(wheel)
    wheel.set(item, 101.0)
    for now in (100.5, 100.99, 101.04, 101.2, 102.0):
        wheel.tick(now)
    assert item.called == [101.04]
    assert item.due == math.inf


def test_deadline_moved_later_is_called_at_the_later_time() -> None:
    """The entry of the older deadline calls nobody."""
    wheel = Deadlines(100.0)
    item = Item(wheel)
    wheel.set(item, 101.0)
    wheel.set(item, 105.0)
    wheel.tick(104.0)
    assert item.called == []
    wheel.tick(105.1)
    assert item.called == [105.1]


def test_deadline_moved_earlier_is_called_at_the_earlier_time_only() -> None:
    """The entry of the later deadline calls nobody."""
    wheel = Deadlines(100.0)
    item = Item(wheel)
    wheel.set(item, 105.0)
    wheel.set(item, 101.0)
    wheel.tick(101.1)
    wheel.tick(106.0)
    assert item.called == [101.1]


def test_deadline_set_to_inf_is_taken_off() -> None:
    """`inf` is never."""
    wheel = Deadlines(100.0)
    item = Item(wheel)
    wheel.set(item, 101.0)
    wheel.set(item, math.inf)
    wheel.tick(200.0)
    assert item.called == []


def test_deadline_in_the_past_is_called_at_the_next_tick() -> None:
    """A deadline that is over already is not lost."""
    wheel = Deadlines(100.0)
    item = Item(wheel)
    wheel.set(item, 50.0)
    wheel.tick(100.0 + 2 * RESOLUTION)
    assert len(item.called) == 1


def test_deadline_set_by_the_call_itself_comes_again() -> None:
    """A ping sets the next ping."""
    wheel = Deadlines(100.0)
    item = Item(wheel, again=1.0)
    wheel.set(item, 101.0)
    for step in range(1, 101):
        wheel.tick(100.0 + step * 0.1)
    pauses = [after - before for before, after in pairwise(item.called)]
    assert len(pauses) >= 7
    assert all(1.0 <= pause < 1.0 + 0.1 + RESOLUTION for pause in pauses)


def test_deadlines_after_a_long_gap_are_all_called_in_order() -> None:
    """A loop that stood still catches up, the earliest first."""
    wheel = Deadlines(0.0)
    calls: list[float] = []

    class Named(Item):
        def expired(self, now: float) -> None:
            calls.append(self.wanted)

        wanted = 0.0

    for wanted in (3.0, 1.0, 2.0):
        item = Named(wheel)
        item.wanted = wanted
        wheel.set(item, wanted)
    wheel.tick(60.0)
    assert calls == [1.0, 2.0, 3.0]


def test_deadlines_that_are_over_take_no_memory() -> None:
    """Slots are dropped once they are handled."""
    wheel = Deadlines(0.0)
    for number in range(100):
        wheel.set(Item(wheel), number / 10)
    wheel.tick(11.0)
    assert wheel.slots == {}


def test_deadline_that_is_forgotten_is_let_go_of_at_once() -> None:
    """The wheel keeps nothing of an item that went before its time, and calls the others of its slot."""
    wheel = Deadlines(100.0)
    gone, over, other = Item(wheel), Item(wheel), Item(wheel)
    for item, at in ((gone, 110.0), (over, 99.0), (other, 110.0)):
        wheel.set(item, at)
    for item in (gone, over, gone):
        wheel.forget(item)
        assert item.due == math.inf
    assert gone not in [item for _, waiting in wheel.slots.values() for item in waiting]
    wheel.tick(111.0)
    assert (gone.called, over.called, other.called) == ([], [], [111.0])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.integers(0, 4), st.floats(-1, 5)),
            st.tuples(st.just("tick"), st.just(0), st.floats(0, 3)),
        ),
        max_size=60,
    )
)
def test_deadlines_in_any_order_are_never_early_and_at_most_one_tick_late(
    steps: list[tuple[str, int, float]],
) -> None:
    """A dict of deadlines is the model: what is due at a tick is called, what is not is left alone."""
    now = 1000.0
    wheel = Deadlines(now)
    items = [Item(wheel) for _ in range(5)]
    model: dict[int, tuple[float, float]] = {}  # when it is due, and when that was said
    for kind, which, value in steps:
        if kind == "set":
            wheel.set(items[which], now + value)
            model[which] = (now + value, now)
            continue
        now += value
        wheel.tick(now)
        for index, item in enumerate(items):
            called, item.called = len(item.called), []
            assert called <= 1
            if called:
                assert model.pop(index)[0] <= now
        assert all(max(entry) > now - 2 * RESOLUTION for entry in model.values())
