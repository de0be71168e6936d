"""Counts and seconds on the benchmark's command line."""

import argparse

import pytest

from bench.context import how_long, how_many


def test_how_many_reads_a_count() -> None:
    """Whole numbers from 1 on."""
    assert how_many("18000") == 18_000


@pytest.mark.parametrize("text", ["0", "-5", "1.5", "", "many"])
def test_how_many_refuses_what_is_no_count(text: str) -> None:
    """Nothing is measured with no clients at all, or fewer."""
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number from 1 on"):
        how_many(text)


def test_how_long_reads_seconds() -> None:
    """Fractions too."""
    assert how_long("0.25") == 0.25


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e9", "", "soon"])
def test_how_long_refuses_what_is_no_time(text: str) -> None:
    """Nothing is measured for no time, nor for ever."""
    with pytest.raises(argparse.ArgumentTypeError, match="no number of seconds above 0, up to 3600"):
        how_long(text)
