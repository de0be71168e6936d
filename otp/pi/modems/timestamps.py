"""Write validity periods and read time stamps of SMS (3GPP TS 23.040, 9.2.3.11 and 9.2.3.12).

| TP-VP    | means                     | from       | to       |
|----------|---------------------------|------------|----------|
| 0-143    | (VP + 1) x 5 minutes      | 5 minutes  | 12 hours |
| 144-167  | 12 h + (VP - 143) x 30 min| 12.5 hours | 24 hours |
| 168-196  | (VP - 166) days           | 2 days     | 30 days  |
| 197-255  | (VP - 192) weeks          | 5 weeks    | 63 weeks |

A validity is rounded down: a code that outlives its deadline in the network is worse than one that is dropped early.
Five minutes is the least a network knows.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_MINUTE, _HOUR, _DAY, _WEEK = 60, 3600, 86_400, 604_800
_STAMP_LENGTH: Final = 7
_CENTURY: Final = 70


def validity(seconds: float) -> int:
    """Return the relative TP-VP of a validity, rounded down."""
    if seconds >= 5 * _WEEK:
        return min(int(seconds // _WEEK) + 192, 255)
    if seconds >= 2 * _DAY:
        return min(int(seconds // _DAY) + 166, 196)
    if seconds >= 12 * _HOUR + 30 * _MINUTE:
        return min(int((seconds - 12 * _HOUR) // (30 * _MINUTE)) + 143, 167)
    return max(min(int(seconds // (5 * _MINUTE)) - 1, 143), 0)


def read(octets: bytes) -> float:
    """Return the Unix seconds of a service centre's time stamp.

    Raises:
        ValueError: It is no date, or too short.
    """
    if len(octets) != _STAMP_LENGTH:
        raise ValueError("time stamp too short")
    year, month, day, hour, minute, second = (_pair(octet) for octet in octets[:6])
    century = 1900 if year >= _CENTURY else 2000
    zone = octets[6]
    quarters = (zone & 0x07) * 10 + (zone >> 4)
    offset = timedelta(minutes=15 * quarters) * (-1 if zone & 0x08 else 1)
    local = datetime(century + year, month, day, hour, minute, second, tzinfo=timezone(offset))
    return local.astimezone(UTC).timestamp()


def _pair(octet: int) -> int:
    """Return the two digits of an octet whose halves are swapped."""
    low, high = octet & 0xF, octet >> 4
    if low > 9 or high > 9:  # noqa: PLR2004 - decimal digits
        raise ValueError("time stamp is not decimal")
    return low * 10 + high
