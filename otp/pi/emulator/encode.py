"""Write what the network brings: SMS-DELIVER and SMS-STATUS-REPORT (3GPP TS 23.040, 9.2.2.1 and 9.2.2.3)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TypeVar

from otp.pi.emulator.alphabet import pack, septets_of

_SINGLE_SEPTETS = 160
_PART_SEPTETS = 153
_SINGLE_UNITS = 70
_PART_UNITS = 67
_HEADER_BITS = 49
"""Six octets of header and one fill bit: seven septets."""

_Unit = TypeVar("_Unit")

_NIBBLES = {digit: value for value, digit in enumerate("0123456789*#")}


def delivers(sender: str, text: str, *, at: float, reference: int, smsc: str) -> list[tuple[str, int]]:
    """Encode a message that arrives, in as many parts as it takes.

    Args:
        sender: Number, or a name of up to 11 characters of the GSM alphabet.
        text: GSM 7 bit where the alphabet has all of it, else UCS-2.
        at: Unix seconds of the centre's time stamp.
        reference: Of the concatenation, 0 to 255.
        smsc: The centre's number.

    Returns:
        Hexadecimal with the service centre, and octets without it, a part.
    """
    parts = list(_parts(text))
    scheme = 0x00 if all(septets_of(character) for character in text) else 0x08
    encoded = []
    for index, (units, data) in enumerate(parts, 1):
        long = len(parts) > 1
        header = bytes((5, 0, 3, reference, len(parts), index)) if long else b""
        # MMS is set: there are no more messages waiting.
        first = 0x04 | 0x40 * long
        body = bytes((first,)) + _address(sender) + bytes((0, scheme)) + _timestamp(at)
        if scheme:
            body += bytes((len(header) + len(data),)) + header + data
        else:
            joined = int.from_bytes(header, "little") | int.from_bytes(data, "little")
            body += bytes((units + 7 * long,)) + joined.to_bytes(len(data), "little")
        encoded.append(_with_centre(smsc, body))
    return encoded


def status_report(
    receiver: str, *, reference: int, status: int, sent_at: float, at: float, smsc: str
) -> tuple[str, int]:
    """Encode the report on a message that was sent.

    Args:
        receiver: Who it was sent to.
        reference: What the modem answered to ``+CMGS``.
        status: TP-Status: 0 delivered, 32 to 63 still trying, 64 and above given up.
        sent_at: Unix seconds when the centre took it.
        at: Unix seconds of what the status says.
        smsc: The centre's number.
    """
    body = bytes((0x06, reference)) + _address(receiver) + _timestamp(sent_at) + _timestamp(at) + bytes((status,))
    return _with_centre(smsc, body)


def _with_centre(smsc: str, body: bytes) -> tuple[str, int]:
    address = _number(smsc)
    return (bytes((len(address),)) + address + body).hex().upper(), len(body)


def _parts(text: str) -> Iterator[tuple[int, bytes]]:
    """Cut a text into (length as the user data has it, octets), room for a header left where there are several."""
    if all(septets_of(character) for character in text):
        pieces = _cut([septets_of(character) or () for character in text], _SINGLE_SEPTETS, _PART_SEPTETS)
        skip = _HEADER_BITS if len(pieces) > 1 else 0
        yield from ((len(piece), pack(piece, skip_bits=skip)) for piece in pieces)
    else:
        symbols = [character.encode("utf-16-be", "surrogatepass") for character in text]
        units = [tuple(zip(symbol[::2], symbol[1::2], strict=True)) for symbol in symbols]
        for piece in _cut(units, _SINGLE_UNITS, _PART_UNITS):
            octets = bytes(octet for unit in piece for octet in unit)
            yield len(octets), octets


def _cut(symbols: list[tuple[_Unit, ...]], single: int, part: int) -> list[list[_Unit]]:
    """Cut symbols into pieces, never inside one: an escape or a surrogate stays with its other half."""
    if sum(map(len, symbols)) <= single:
        return [[unit for symbol in symbols for unit in symbol]]
    pieces: list[list[_Unit]] = [[]]
    for symbol in symbols:
        if len(pieces[-1]) + len(symbol) > part:
            pieces.append([])
        pieces[-1].extend(symbol)
    return pieces


def _address(number: str) -> bytes:
    """Return length, type of address and value, of a number or of a name (9.1.2.5)."""
    if set(number.lstrip("+")) <= _NIBBLES.keys():
        return bytes((len(number.lstrip("+")),)) + (_number(number) or b"\x81")
    septets = [septet for character in number for septet in septets_of(character) or ()]
    return bytes(((len(septets) * 7 + 3) // 4, 0xD0)) + pack(septets)


def _number(number: str) -> bytes:
    """Return type of address and half-octets; nothing for an empty number."""
    if not number:
        return b""
    nibbles = [_NIBBLES[digit] for digit in number.lstrip("+")]
    nibbles += [0xF] * (len(nibbles) % 2)
    pairs = zip(nibbles[::2], nibbles[1::2], strict=True)
    return bytes((0x91 if number.startswith("+") else 0x81, *(low | high << 4 for low, high in pairs)))


def _timestamp(at: float) -> bytes:
    moment = datetime.fromtimestamp(at, UTC)
    fields = (moment.year % 100, moment.month, moment.day, moment.hour, moment.minute, moment.second, 0)
    return bytes(field // 10 | field % 10 << 4 for field in fields)
