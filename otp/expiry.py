"""Decide until when a command may still be carried out.

Senders write ``expiration`` in seconds, some in milliseconds, some as text, some not at all:

| ``expiration``                      | the limit                                                   |
|-------------------------------------|-------------------------------------------------------------|
| a number below 10^11, or such text  | that many Unix seconds                                      |
| a number from 10^11 on              | that many milliseconds (10^11 s is the year 5138)           |
| absent, 0, negative, unreadable     | ``date_time`` + offset                                      |
| and ``date_time`` is absent as well | arrival + offset                                            |

A command is dropped if and only if ``now`` is past its limit.
"""

import math
from collections.abc import Mapping
from typing import Any

from otp.errors import InvalidMessage
from otp.json_reader import read_object

DEFAULT_OFFSET = 300.0
"""Seconds a command without ``expiration`` stays good: the default lifetime of a code."""

_MILLISECONDS_FROM = 1e11
_LONGEST_NUMBER = 32
"""Characters of a time as text; longer ones are no time."""


def moment(value: object) -> float | None:
    """Return a time as Unix seconds; ``None`` when it is absent, zero, negative or unreadable."""
    number = _number(value)
    if number is None or not math.isfinite(number) or number <= 0:
        return None
    return number / 1000 if number >= _MILLISECONDS_FROM else number


def limit(data: Mapping[str, Any], arrived: float, offset: float = DEFAULT_OFFSET) -> float:
    """Return until when a command is good, Unix seconds.

    Args:
        data: The command's ``data``.
        arrived: When it arrived, Unix seconds.
        offset: Seconds it is good for when it does not say.
    """
    expiration = moment(data.get("expiration"))
    if expiration is not None:
        return expiration
    return (moment(data.get("date_time")) or arrived) + offset


def lifetime(data: Mapping[str, Any], arrived: float) -> int | None:
    """Return how many seconds a code asked for shall live; ``None`` when the command does not say.

    With both times given it is their difference, whatever the sender's clock says. It may be zero or
    negative.
    """
    expiration = moment(data.get("expiration"))
    if expiration is None:
        return None
    return round(expiration - (moment(data.get("date_time")) or arrived))


def deadline(payload: bytes | str, arrived: float) -> float | None:
    """Return until when a message off the wire is good; ``None`` when it does not say or is no command.

    For queues that know nothing of commands.
    """
    try:
        data = read_object(payload).get("data")
    except InvalidMessage:
        return None
    if not isinstance(data, Mapping) or moment(data.get("expiration")) is None:
        return None
    return limit(data, arrived)


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and len(value) > _LONGEST_NUMBER:
        return None
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
