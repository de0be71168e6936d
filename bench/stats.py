"""The few statistics the tables need (pure)."""

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

LEVELS = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)
"""Which percentiles of a distribution are kept."""

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Put items with the same key together, keys in the order in which they first appear."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two middle ones."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` % of the values do not exceed (nearest rank).

    Nearest rank never invents a value between two that were measured.
    """
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    rank = math.ceil(round(percent * len(ordered) / 100, 6))  # rounded: 99.9 % of 1,000 is a hair above 999 in binary
    return ordered[max(rank, 1) - 1]


def tail(values: Sequence[float], percent: float) -> float | None:
    """Return a percentile, or None where there are too few values for it to be more than the largest of them.

    Above the median at least one value must lie beyond it: 100 values for the 99th, 1,000 for the 99.9th.
    """
    beyond = round(1 / (1 - percent / 100)) if 50 < percent < 100 else 1
    return percentile(values, percent) if len(values) >= beyond else None


def distribution(values: Sequence[float]) -> dict[str, float | None]:
    """Return the percentiles of `LEVELS`, None where there are too few values for one."""
    return {str(level): tail(values, level) for level in LEVELS}


def spread(values: Sequence[float]) -> float | None:
    """Return the distance between the quartiles (nearest rank) as a fraction of the median.

    Of two or three values that is the distance between the smallest and the largest; of many, single ones that a
    disturbance hit do not count. A single value has no spread: None, which is not the same as values that agree.
    """
    if len(values) < 2:
        return None
    middle = median(values)
    return (percentile(values, 75) - percentile(values, 25)) / middle if middle else 0.0
