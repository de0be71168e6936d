"""Wait longer after every failure, and not all at the same moment as the others."""

import random
from collections.abc import Callable

STABLE = 60.0
"""Seconds that a connection has to last for the waiting to begin anew with ``_FIRST``."""

_FIRST = 1.0
"""Seconds before the first new attempt, at most."""

_MOST_DOUBLINGS = 30
"""Enough for any longest time; keeps the power of two small."""


class Backoff:
    """Times to wait: from a second on doubling to the longest, each shortened by up to a half.

    Args:
        longest: Seconds.
        chance: Returns a number from 0 to below 1.
    """

    __slots__ = ("_chance", "_doublings", "_longest")

    def __init__(self, longest: float, chance: Callable[[], float] = random.random) -> None:
        self._longest = longest
        self._chance = chance
        self._doublings = 0

    def after(self, lasted: float) -> float:
        """Return how long to wait now.

        Args:
            lasted: Seconds that the connection stood which has just ended; 0 where none came about.
        """
        if lasted >= STABLE:
            self._doublings = 0
        wait = min(self._longest, _FIRST * (1 << self._doublings))
        self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
        return wait * (1 - self._chance() / 2)
