"""How long a way in waits before it tries again."""

from hypothesis import given
from hypothesis import strategies as st

from otp.pi.inputs.backoff import STABLE, Backoff


def test_backoff_doubles_to_the_longest() -> None:
    """Without chance the times are 1, 2, 4 and so on, and never more than the longest."""
    backoff = Backoff(30.0, lambda: 0.0)
    assert [backoff.after(0.0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_backoff_begins_anew_after_a_stable_minute() -> None:
    """A connection that stood a minute makes the next wait short again; one that broke sooner does not."""
    backoff = Backoff(30.0, lambda: 0.0)
    assert [backoff.after(each) for each in (0.0, STABLE - 1, STABLE, 0.0)] == [1, 2, 1, 2]


@given(st.floats(0.01, 3600.0), st.floats(0, 1, exclude_max=True), st.integers(1, 200))
def test_backoff_stays_in_bounds(longest: float, chance: float, failures: int) -> None:
    """However often it fails and however chance falls, a wait is at least half of what it would be without chance."""
    backoff = Backoff(longest, lambda: chance)
    waits = [backoff.after(0.0) for _ in range(failures)]
    assert all(min(1.0, longest) / 2 <= wait <= longest for wait in waits)
