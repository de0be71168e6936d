"""Decide how often a receiver may be sent a code: pure functions of time stamps and ``now``.

With a fresh code every 30 seconds and five tries each, guessing six digits succeeds with 1.4 % odds a day.
With ten codes a day it is 0.005 %. The limit on codes matters as much as the limit on tries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

HOUR = 3_600
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``codes`` new codes in any ``seconds``."""

    seconds: int
    codes: int

    def wait(self, stamps: Sequence[int], now: float) -> int:
        """Return the seconds until one more fits; 0 when it fits now.

        Args:
            stamps: When codes were made, Unix seconds, oldest first.
            now: The present, Unix seconds.
        """
        recent = [stamp for stamp in stamps if stamp > now - self.seconds]
        if len(recent) < self.codes:
            return 0
        leaves = recent[-self.codes] + self.seconds
        return ceil(leaves - now)


DEFAULT_WINDOWS = (Window(HOUR, 5), Window(DAY, 10))
"""Five codes an hour and ten a day for one receiver; Twilio Verify allows five in ten minutes."""


def wait(windows: Sequence[Window], stamps: Sequence[int], now: float) -> int:
    """Return the seconds until every window has room; 0 when all have."""
    return max((window.wait(stamps, now) for window in windows), default=0)


def horizon(windows: Sequence[Window]) -> int:
    """Return how many seconds a stamp has to be remembered."""
    return max((window.seconds for window in windows), default=0)
