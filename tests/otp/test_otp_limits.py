"""How often a receiver may be sent a code, compared with counting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otp import limits
from otp.limits import DAY, DEFAULT_WINDOWS, HOUR, Window


def test_default_windows() -> None:
    """Five an hour, ten a day."""
    assert (Window(HOUR, 5), Window(DAY, 10)) == DEFAULT_WINDOWS
    assert limits.horizon(DEFAULT_WINDOWS) == DAY


def test_no_windows() -> None:
    """Without windows there is nothing to wait for and nothing to remember."""
    assert limits.wait((), [1, 2, 3], 3) == 0
    assert limits.horizon(()) == 0


def test_longest_wait_counts() -> None:
    """When two windows are full the later one to have room decides."""
    windows = (Window(10, 1), Window(100, 2))
    assert limits.wait(windows, [0, 95], 95) == 10
    assert limits.wait(windows, [0, 99], 99) == 10
    assert limits.wait(windows, [50, 99], 99.5) == 51


windows = st.builds(Window, seconds=st.integers(1, 50), codes=st.integers(1, 4))
stamps = st.lists(st.integers(0, 100), max_size=12).map(sorted)


@given(st.lists(windows, min_size=1, max_size=3), stamps, st.floats(0, 50))
def test_wait_is_exact(several: list[Window], made: list[int], later: float) -> None:
    """After the wait there is room in every window; a second before there is not."""
    now = (made[-1] if made else 0) + later
    wait = limits.wait(several, made, now)

    def room(moment: float) -> bool:
        return all(
            sum(moment - window.seconds < stamp <= moment for stamp in made) < window.codes for window in several
        )

    assert wait >= 0
    assert room(now + wait)
    assert wait == 0 or not room(now + wait - 1)
