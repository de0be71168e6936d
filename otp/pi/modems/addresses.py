"""Write and read telephone numbers as SMS have them (3GPP TS 23.040, 9.1.2.5): type, and digits in swapped pairs.

| number         | type | digits             |
|----------------|------|--------------------|
| ``+628121234`` | 91   | 26 18 12 32 F4     |
| ``08121234``   | 81   | 80 21 21 43        |
| ``123``        | 81   | 21 F3              |
| ``*123#``      | 81   | 1A 32 FB           |
| ``INFO``       | D0   | packed GSM-7       |
"""

import re
from typing import Final

from otp.pi.modems import gsm7

_INTERNATIONAL: Final = 0x91
_UNKNOWN: Final = 0x81
_ALPHANUMERIC: Final = 0x50
_TYPE_MASK: Final = 0x70
_INTERNATIONAL_TYPE: Final = 0x10

_SIGNS: Final = "0123456789*#abc"
_DIALABLE: Final = re.compile(r"\+[0-9]{3,20}|[0-9]{1,20}|[*#][0-9*#]{1,19}")
"""20 digits is what the address field holds.

Signs stand in short codes only: a centre may ignore what follows a whole number, which would then have a second
spelling that no budget and no block list knows.
"""


class AddressError(ValueError):
    """A number that no network can be given; the text does not hold it."""


def encode(number: str) -> tuple[int, bytes]:
    """Return the count of digits, and type and digits as octets.

    Raises:
        AddressError: It is no dialable number.
    """
    if not _DIALABLE.fullmatch(number):
        raise AddressError("The receiver is not a number that can be dialled: a plus and 3 to 20 digits, or digits.")
    digits = number.removeprefix("+")
    kind = _INTERNATIONAL if number.startswith("+") else _UNKNOWN
    return len(digits), bytes([kind]) + swapped(digits)


def swapped(digits: str) -> bytes:
    """Return digits two to an octet, the first in the low half; an odd one is filled up with F."""
    places = [_SIGNS.index(sign) for sign in digits] + [0xF] * (len(digits) % 2)
    return bytes(low | high << 4 for low, high in zip(places[::2], places[1::2], strict=True))


def decode(kind: int, count: int, octets: bytes) -> str:
    """Return the number, or the name, of an address field.

    Args:
        kind: The type octet.
        count: How many semi-octets the field says it has.
        octets: What follows the type.
    """
    if kind & _TYPE_MASK == _ALPHANUMERIC:
        return gsm7.decode(gsm7.unpack(octets, count * 4 // 7)).rstrip("\r\0")
    digits = "".join(half(octet & 0xF) + half(octet >> 4) for octet in octets)[:count]
    return ("+" if kind & _TYPE_MASK == _INTERNATIONAL_TYPE else "") + digits


def half(value: int) -> str:
    """Return the sign of a semi-octet; F is filling."""
    return _SIGNS[value] if value < len(_SIGNS) else ""
