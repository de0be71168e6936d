r"""Read JSON as leniently as existing senders need it, and no more.

Accepted beyond RFC 8259: a comma before ``}`` or ``]`` (documented samples of the family have it) and a byte
order mark. Refused although ``json`` reads it: duplicate keys (two receivers must not depend on who reads),
NaN, Infinity and numbers that would become it, anything but an object at the top. No input, however nested or
long, ends in another exception than ``InvalidMessage``.
"""

import json
import math
import re
from typing import Any, Never

from otp.errors import InvalidMessage

# A string is taken in one piece, closed or not: commas inside are left alone, and time stays linear.
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+"?)|,(?=[ \t\r\n]*+[}\]])', re.DOTALL)


def read_object(payload: bytes | bytearray | str) -> dict[str, Any]:
    """Return the object a payload holds.

    Raises:
        InvalidMessage: It is not UTF-8, not JSON, or not an object; the text says where, never what.
    """
    text = _text(payload)
    try:
        found = _parse(text)
    except json.JSONDecodeError as strict:
        found = _parse_leniently(text, strict)
    if not isinstance(found, dict):
        raise InvalidMessage("The message is JSON but not an object.")
    return found


def _text(payload: bytes | bytearray | str) -> str:
    if isinstance(payload, str):
        return payload.removeprefix("\ufeff")
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidMessage(f"The message is not UTF-8 (byte {error.start}).") from None


def _parse_leniently(text: str, strict: json.JSONDecodeError) -> Any:
    """Parse without trailing commas; report what was wrong with the text as it came."""
    try:
        return _parse(_TRAILING_COMMA.sub(r"\1", text))
    except json.JSONDecodeError:
        raise InvalidMessage(f"The message is not JSON: {strict.msg}, character {strict.pos}.") from None


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise InvalidMessage("The message is nested too deeply.") from None
    except ValueError as error:
        if isinstance(error, InvalidMessage):
            raise
        raise InvalidMessage("The message holds a number that is too long.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidMessage("The message has a key twice.")
    return found


def _constant(_name: str) -> Never:
    raise InvalidMessage("The message holds NaN or Infinity, which JSON does not have.")


def _fraction(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidMessage("The message holds a number that is too large.")
    return number
