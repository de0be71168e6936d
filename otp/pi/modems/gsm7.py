"""The GSM 7 bit default alphabet and its extension table (3GPP TS 23.038, 6.2.1).

| text  | septets    | why                                                              |
|-------|------------|------------------------------------------------------------------|
| ``@`` | 00         | the first place of the table                                     |
| ``é`` | 05         | a letter with an accent that is in it; ``ê`` and ``ç`` are not   |
| ``€`` | 1B 65      | ESC and a place of the extension: two septets                    |
| ``á`` | none       | not in the alphabet: the whole message becomes UCS-2             |

Septets are bytes below 128 here. ``pack`` puts eight of them into seven octets, lowest bit first.
"""

from typing import Final

ESCAPE: Final = 0x1B
"""Announces a place of the extension table."""

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
_ENCODED: Final = {char: bytes([place]) for place, char in enumerate(_BASIC) if place != ESCAPE} | {
    char: bytes([ESCAPE, place]) for place, char in _EXTENSION.items()
}


def characters(text: str) -> list[bytes] | None:
    """Return each character's septets, one or two; ``None`` when one is not in the alphabet."""
    found = [_ENCODED.get(char) for char in text]
    return None if None in found else [septets for septets in found if septets is not None]


def decode(septets: bytes) -> str:
    """Return the text of septets.

    An unknown place of the extension reads as the basic character at that place, a lone escape as a blank, as
    23.038 has it.
    """
    text: list[str] = []
    escaped = False
    for septet in septets:
        if escaped:
            text.append(_EXTENSION.get(septet, " " if septet == ESCAPE else _BASIC[septet]))
            escaped = False
        elif septet == ESCAPE:
            escaped = True
        else:
            text.append(_BASIC[septet])
    return "".join(text) + (" " if escaped else "")


def pack(septets: bytes, fill: int = 0) -> bytes:
    """Return octets of septets.

    Args:
        septets: Each below 128.
        fill: Bits left empty at the start, so that text behind a header begins at a whole septet (23.040, 9.2.3.24).
    """
    bits = 0
    for place, septet in enumerate(septets):
        bits |= septet << (fill + 7 * place)
    return bits.to_bytes((fill + 7 * len(septets) + 7) // 8, "little")


def unpack(octets: bytes, count: int, fill: int = 0) -> bytes:
    """Return ``count`` septets of octets, behind ``fill`` empty bits; missing octets read as zero."""
    bits = int.from_bytes(octets, "little") >> fill
    return bytes((bits >> 7 * place) & 0x7F for place in range(count))
