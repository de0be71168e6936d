"""Hold the GSM 7 bit default alphabet and its extension, and pack septets (3GPP TS 23.038, 6.1.2.1 and 6.2.1).

The emulator has tables of its own: what checks an encoder must not share the encoder's mistakes.
"""

from collections.abc import Iterable

ESCAPE = 0x1B
"""Septet that says: look up the next one in the extension table."""

_ROWS = (
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
)
DEFAULT = "".join(_ROWS)
"""Character of each septet, 0 to 127, as the eight rows of 16 that the standard prints as columns."""

EXTENSION = {
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
"""Characters that take two septets: escape, then this one."""

_SEPTETS: dict[str, tuple[int, ...]] = {
    character: (septet,) for septet, character in enumerate(DEFAULT) if septet != ESCAPE
}
_SEPTETS |= {character: (ESCAPE, septet) for septet, character in EXTENSION.items()}


def characters(septets: Iterable[int]) -> str:
    """Read septets as a telephone does: an escape that leads nowhere is shown as a blank."""
    text: list[str] = []
    escaped = False
    for septet in septets:
        if escaped:
            text.append(EXTENSION.get(septet, DEFAULT[septet]))
            escaped = False
        elif septet == ESCAPE:
            escaped = True
        else:
            text.append(DEFAULT[septet])
    return "".join(text) + " " * escaped


def septets_of(character: str) -> tuple[int, ...] | None:
    """Return the one or two septets of a character, or ``None`` where the alphabet lacks it."""
    return _SEPTETS.get(character)


def unpack(octets: bytes, count: int, *, skip_bits: int = 0) -> list[int]:
    """Take ``count`` septets out of octets, least significant bit first.

    Args:
        octets: The packed user data.
        count: Septets that are wanted.
        skip_bits: Bits before the first one: the header and its fill bits.
    """
    stream = int.from_bytes(octets, "little") >> skip_bits
    return [stream >> 7 * place & 0x7F for place in range(count)]


def pack(septets: Iterable[int], *, skip_bits: int = 0) -> bytes:
    """Pack septets into octets after ``skip_bits`` zero bits, least significant bit first."""
    stream, width = 0, skip_bits
    for septet in septets:
        stream |= septet << width
        width += 7
    return stream.to_bytes((width + 7) // 8, "little")
