"""The few statistics the tables need (pure)."""

import math
import statistics
from collections.abc import Sequence


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
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


def spread(values: Sequence[float]) -> float:
    """Return the distance between the largest and the smallest value, as a fraction of the median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0
