"""Durations and sizes as people write them: `25s`, `2m`, `64KiB`. Pure."""

import re
from typing import Final

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES: Final = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", re.ASCII)


def parse_duration(value: object) -> float:
    """Read seconds from a number or from text such as `25s`, `1.5m`, `500ms`.

    Raises:
        ValueError: it is neither; the text says what is accepted.
    """
    return _parse(value, SECONDS, "s", "a duration such as 25s, 2m or 500ms")


def parse_size(value: object) -> int:
    """Read bytes from a number or from text such as `64KiB`, `1MB`.

    Raises:
        ValueError: it is neither; the text says what is accepted.
    """
    size = _parse(value, BYTES, "b", "a size such as 64KiB, 1MiB or 500kB")
    if size != int(size):
        raise ValueError("must be a whole number of bytes")
    return int(size)


def _parse(value: object, units: dict[str, float] | dict[str, int], plain: str, wanted: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        number, unit = float(value), plain
    else:
        match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"must be {wanted}")
        number, unit = float(match[1]), match[2].lower() or plain
    if unit not in units:
        raise ValueError(f"unknown unit {unit!r}: must be {wanted}")
    if not 0 <= number < float("inf"):
        raise ValueError("must not be negative")
    return number * units[unit]


def format_duration(seconds: float) -> str:
    """Write seconds the way the settings show them."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit, factor in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:g}{unit}"
    return f"{seconds:g}s"


def format_size(size: int) -> str:
    """Write bytes the way the settings show them."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
