"""Medians, percentiles and spread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import distribution, grouped, median, percentile, spread, tail

numbers = st.lists(st.floats(min_value=0.001, max_value=1e9), min_size=1)


def test_median_of_odd_and_even_counts() -> None:
    """The middle one, or the mean of the two middle ones."""
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5


@pytest.mark.parametrize(("percent", "wanted"), [(0, 15), (5, 15), (30, 20), (40, 20), (50, 35), (100, 50)])
def test_percentile_nearest_rank(percent: float, wanted: float) -> None:
    """The textbook example of the nearest-rank method, in any order."""
    assert percentile([35, 20, 15, 50, 40], percent) == wanted


def test_percentile_99_of_a_hundred_is_the_second_largest() -> None:
    """One outlier in a hundred is not the p99, and is the maximum."""
    values = [*range(99), 1000]
    assert percentile(values, 99) == 98
    assert percentile(values, 100) == 1000


def test_percentile_of_nothing_is_refused() -> None:
    """There is no percentile of no values."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(("percent", "needed"), [(99, 100), (99.9, 1000)])
def test_tail_needs_values_beyond_it(percent: float, needed: int) -> None:
    """The 99th needs 100 values and the 99.9th 1,000; with fewer there is none."""
    assert tail(range(needed - 1), percent) is None
    assert tail(range(needed), percent) == needed - 2


def test_tail_of_the_middle_and_the_end() -> None:
    """The median and the largest need but one value."""
    assert (tail([5], 50), tail([5], 100)) == (5, 5)
    assert distribution([5])["99"] is None


def test_grouped_keeps_the_order() -> None:
    """Keys and items stand in the order in which they came."""
    assert list(grouped([3, 2, 5, 4], lambda value: value % 2).items()) == [(1, [3, 5]), (0, [2, 4])]


@given(numbers, st.floats(min_value=0, max_value=100))
def test_percentile_is_always_a_measured_value(values: list[float], percent: float) -> None:
    """Whatever is asked for, the answer was measured."""
    assert percentile(values, percent) in values


def test_spread_is_the_distance_between_the_quartiles_over_the_median() -> None:
    """Of three values it is the range, of many the middle half; one value has no spread, which is not the same as 0."""
    assert spread([10, 8, 12]) == pytest.approx(0.4)
    assert spread([8, 12]) == pytest.approx(0.4)
    assert spread([1, 9, 9, 10, 10, 10, 11, 11, 99]) == pytest.approx(0.2)
    assert spread([7]) is None
    assert spread([7, 7]) == 0
    assert spread([0, 0]) == 0
