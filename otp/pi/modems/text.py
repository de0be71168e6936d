"""Divide a text into the parts of an SMS (3GPP TS 23.040, 9.2.3.24.1).

| alphabet | when                               | one part        | each of several |
|----------|------------------------------------|-----------------|-----------------|
| GSM-7    | every character is in its alphabet | 160 septets     | 153 septets     |
| UCS-2    | else                               | 70 code units   | 67 code units   |

Two septets of an extension character stay together, and so do the two code units of an emoji: a part that ends within
one shows garbage on telephones that display parts as they come.
"""

from dataclasses import dataclass
from typing import Final

from otp.pi.modems import gsm7

_GSM7_ALONE: Final = 160
_GSM7_EACH: Final = 153
_UCS2_ALONE: Final = 140
_UCS2_EACH: Final = 134


@dataclass(frozen=True, slots=True)
class Parts:
    """A text, encoded and divided.

    Attributes:
        gsm7: The units are septets; else octets of UTF-16, high byte first.
        units: What each part carries.
    """

    gsm7: bool
    units: tuple[bytes, ...]


def divide(text: str) -> Parts:
    """Return the parts of a text; an empty one has one empty part.

    Raises:
        ValueError: It holds half a surrogate pair, which has no UTF-16.
    """
    septets = gsm7.characters(text)
    if septets is not None:
        return Parts(True, _join(septets, _GSM7_ALONE, _GSM7_EACH))
    return Parts(False, _join([char.encode("utf-16-be") for char in text], _UCS2_ALONE, _UCS2_EACH))


def _join(characters: list[bytes], alone: int, each: int) -> tuple[bytes, ...]:
    """Put characters together to parts of at most ``each`` units; to one when ``alone`` units hold them all."""
    whole = b"".join(characters)
    if len(whole) <= alone:
        return (whole,)
    parts = [bytearray()]
    for character in characters:
        if len(parts[-1]) + len(character) > each:
            parts.append(bytearray())
        parts[-1] += character
    return tuple(bytes(part) for part in parts)
