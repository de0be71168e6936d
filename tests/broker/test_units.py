"""Durations and sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("25s", 25.0),
        ("2m", 120.0),
        ("1.5m", 90.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("2d", 172800.0),
        ("7", 7.0),
        (" 3 S ", 3.0),
        (0, 0.0),
        (2.5, 2.5),
    ],
)
def test_parse_duration_of_every_form_gives_seconds(written: object, seconds: float) -> None:
    """A number is seconds; text carries its unit, in any case and with blanks."""
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("64KiB", 65536),
        ("1MiB", 2**20),
        ("2gib", 2**31),
        ("500kB", 500_000),
        ("1.5KB", 1500),
        ("12", 12),
        ("3b", 3),
        (9, 9),
    ],
)
def test_parse_size_of_every_form_gives_bytes(written: object, size: int) -> None:
    """KiB is 1024 bytes, kB is 1000; a number is bytes."""
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "fast", "-1s", "1 2s", "1s2", "1e3s", True, None, [1], "٣s"])
def test_parse_duration_of_anything_else_says_what_is_accepted(written: object) -> None:
    """What is no duration is refused with an example."""
    with pytest.raises(ValueError, match="must be a duration such as 25s, 2m or 500ms"):
        parse_duration(written)


def test_parse_duration_with_a_unit_of_size_names_the_unit() -> None:
    """A wrong unit is named."""
    with pytest.raises(ValueError, match="unknown unit 'kib': must be a duration"):
        parse_duration("5KiB")


def test_parse_size_with_an_unknown_unit_names_it() -> None:
    """A wrong unit is named, with what is accepted."""
    with pytest.raises(ValueError, match="unknown unit 'm': must be a size such as 64KiB"):
        parse_size("5m")


@pytest.mark.parametrize("written", [0.5, "1.5", "0.1KiB"])
def test_parse_size_of_part_of_a_byte_is_refused(written: object) -> None:
    """There is no half byte."""
    with pytest.raises(ValueError, match="must be a whole number of bytes"):
        parse_size(written)


@pytest.mark.parametrize("number", [-1, -0.5, float("inf"), float("nan")])
def test_parse_duration_of_a_number_that_is_no_duration_is_refused(number: float) -> None:
    """Negative and endless durations are refused."""
    with pytest.raises(ValueError, match="must not be negative"):
        parse_duration(number)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (0.1, "100ms"), (5, "5s"), (90, "90s"), (300, "5m"), (7200, "2h"), (86400, "1d")],
)
def test_format_duration_takes_the_largest_unit_that_fits(seconds: float, written: str) -> None:
    """Settings are shown the way a person would write them."""
    assert format_duration(seconds) == written


@pytest.mark.parametrize(("size", "written"), [(0, "0"), (8192, "8KiB"), (2**20, "1MiB"), (2**30, "1GiB")])
def test_format_size_takes_the_largest_unit_that_fits(size: int, written: str) -> None:
    """Settings are shown the way a person would write them."""
    assert format_size(size) == written


@given(st.one_of(st.integers(0, 999_999), st.integers(1, 999).map(lambda ms: ms / 1000)))
def test_format_duration_is_read_back_as_the_same(seconds: float) -> None:
    """What is shown can be typed."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@given(st.integers(0, 2**40))
def test_format_size_is_read_back_as_the_same(size: int) -> None:
    """What is shown can be typed."""
    assert parse_size(format_size(size)) == size
