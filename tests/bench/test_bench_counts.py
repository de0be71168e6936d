"""Counts on the benchmark's command line."""

import argparse

import pytest

from bench.context import how_many


def test_how_many_reads_a_count() -> None:
    """Whole numbers from 1 on."""
    assert how_many("18000") == 18_000


@pytest.mark.parametrize("text", ["0", "-5", "1.5", "", "many"])
def test_how_many_refuses_what_is_no_count(text: str) -> None:
    """Nothing is measured with no clients at all, or fewer."""
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number from 1 on"):
        how_many(text)
