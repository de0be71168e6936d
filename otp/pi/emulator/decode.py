"""Read what a driver hands to the network: SMS-SUBMIT in PDU mode (3GPP TS 23.040, 9.2.2.2), strictly.

| octets        | field                                                                         |
|---------------|-------------------------------------------------------------------------------|
| 1 + n         | service centre: length in octets, type of address, half-octets; 0 is the SIM's |
| 1             | type 01, RD, VPF, SRR, UDHI, RP                                               |
| 1             | message reference                                                             |
| 2 + n         | receiver: length in digits, type of address, half-octets                      |
| 1, 1          | protocol identifier, data coding scheme                                       |
| 0, 1 or 7     | validity period                                                               |
| 1 + n         | user data: length in septets or octets, then header and text                  |
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from otp.pi.emulator.alphabet import characters, unpack

SUBMIT = 0b01
_NO_VALIDITY, _ENHANCED, _RELATIVE = 0b00, 0b01, 0b10
LARGEST_USER_DATA = 140
"""Octets of user data that one message carries."""

_DIGITS = "0123456789*#abc"
_FILL = 0xF
_INTERNATIONAL = 0x10


class DecodeError(Exception):
    """A PDU is not what the standard says; the sentence tells where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concatenation:
    """Where a part belongs in a long message; ``index`` counts from 1."""

    reference: int
    total: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """One part as the network takes it.

    Attributes:
        receiver: Digits, with ``+`` where the type of number is international.
        text: Of this part alone; 8 bit data as hexadecimal.
        alphabet: ``gsm7``, ``ucs2`` or ``8bit``.
        concatenation: ``None`` for a message of one part.
        validity: Seconds for which the network keeps trying; ``None`` where nothing was asked for.
        report: A status report was asked for.
        flash: Shown at once and not kept (class 0).
        smsc: Service centre that was asked for; empty is the one on the SIM card.
    """

    receiver: str
    text: str
    alphabet: str
    concatenation: Concatenation | None
    validity: float | None
    report: bool
    flash: bool
    smsc: str


class _Octets:
    """The octets of a PDU, taken one after the other."""

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def take(self, count: int, what: str) -> bytes:
        taken = self._data[self._place : self._place + count]
        if len(taken) < count:
            raise DecodeError(f"the PDU ends inside its {what}")
        self._place += count
        return taken

    def octet(self, what: str) -> int:
        return self.take(1, what)[0]

    def rest(self) -> bytes:
        return self._data[self._place :]


def submitted(pdu: str, length: int, *, now: float) -> Submitted:
    """Read an SMS-SUBMIT as it stands between the prompt and Ctrl-Z.

    Args:
        pdu: Hexadecimal, with the service centre in front.
        length: Octets without the service centre, as ``AT+CMGS=`` announced.
        now: Unix seconds, for a validity period that names a day.

    Raises:
        DecodeError: It is no hexadecimal, has another length, or breaks a rule of the standard.
    """
    octets = _Octets(_binary(pdu))
    smsc = _service_centre(octets)
    if len(octets.rest()) != length:
        raise DecodeError(f"{length} octets were announced, {len(octets.rest())} came")
    first = octets.octet("first octet")
    if first & 0b11 != SUBMIT:
        raise DecodeError("it is no SMS-SUBMIT")
    octets.octet("message reference")
    receiver = _receiver(octets)
    octets.octet("protocol identifier")
    alphabet, flash = _coding(octets.octet("data coding scheme"))
    validity = _validity(octets, first >> 3 & 0b11, now)
    text, concatenation = _user_data(octets, alphabet, has_header=bool(first & 0x40))
    return Submitted(
        receiver=receiver,
        text=text,
        alphabet=alphabet,
        concatenation=concatenation,
        validity=validity,
        report=bool(first & 0x20),
        flash=flash,
        smsc=smsc,
    )


def _binary(pdu: str) -> bytes:
    # bytes.fromhex would let blanks through.
    if not pdu or len(pdu) % 2 or any(character not in "0123456789abcdefABCDEF" for character in pdu):
        raise DecodeError("a PDU is an even number of hexadecimal digits")
    return bytes.fromhex(pdu)


def _service_centre(octets: _Octets) -> str:
    length = octets.octet("service centre's length")
    if length == 0:
        return ""
    address = octets.take(length, "service centre")
    # Its length counts octets, not digits: fill is found by looking.
    digits = 2 * (length - 1) - (address[-1] >> 4 == _FILL)
    return _number(address[0], address[1:], digits=digits, what="service centre")


def _receiver(octets: _Octets) -> str:
    digits = octets.octet("receiver's length")
    if not 1 <= digits <= 20:  # noqa: PLR2004  (9.1.2.5: at most 12 octets)
        raise DecodeError(f"a receiver has 1 to 20 digits, not {digits}")
    kind = octets.octet("receiver's type of address")
    address = octets.take((digits + 1) // 2, "receiver")
    if digits % 2 and address[-1] >> 4 != _FILL:
        raise DecodeError("an odd number of digits is filled up with 1111")
    return _number(kind, address, digits=digits, what="receiver")


def _number(kind: int, address: bytes, *, digits: int, what: str) -> str:
    if not kind & 0x80:
        raise DecodeError(f"bit 7 of the {what}'s type of address is always 1")
    if kind & 0x70 == 0x50:  # noqa: PLR2004  (9.1.2.5: alphanumeric)
        raise DecodeError(f"nobody can dial an alphanumeric {what}")
    nibbles = [nibble for octet in address for nibble in (octet & 0xF, octet >> 4)]
    if any(nibble >= len(_DIGITS) for nibble in nibbles[:digits]):
        raise DecodeError(f"the {what} has a digit that is none")
    return "+" * (kind & 0x70 == _INTERNATIONAL) + "".join(_DIGITS[nibble] for nibble in nibbles[:digits])


def _coding(scheme: int) -> tuple[str, bool]:
    """Tell alphabet and flash of a data coding scheme (23.038, 4)."""
    if scheme >> 6 == 0 and not scheme & 0x20:
        alphabet = ("gsm7", "8bit", "ucs2", "")[scheme >> 2 & 0b11]
        flash = bool(scheme & 0x10) and scheme & 0b11 == 0
    elif scheme >> 4 == 0xF:  # noqa: PLR2004  (data coding and message class)
        alphabet, flash = ("8bit" if scheme & 0b100 else "gsm7"), scheme & 0b11 == 0
    else:
        alphabet, flash = "", False
    if not alphabet:
        raise DecodeError(f"data coding scheme {scheme:#04x} is compressed, reserved or not for sending")
    return alphabet, flash


def _validity(octets: _Octets, form: int, now: float) -> float | None:
    if form == _NO_VALIDITY:
        return None
    if form == _RELATIVE:
        return relative_validity(octets.octet("validity period"))
    if form == _ENHANCED:
        raise DecodeError("the enhanced validity period is not known to this network")
    return _timestamp(octets.take(7, "validity period")) - now


def relative_validity(value: int) -> float:
    """Return the seconds of a relative validity period (23.040, 9.2.3.12.1)."""
    if value <= 143:  # noqa: PLR2004  (steps of 5 minutes up to 12 hours)
        return (value + 1) * 300.0
    if value <= 167:  # noqa: PLR2004  (of half an hour up to a day)
        return 12 * 3600.0 + (value - 143) * 1800.0
    if value <= 196:  # noqa: PLR2004  (of a day up to 30)
        return (value - 166) * 86_400.0
    return (value - 192) * 7 * 86_400.0


def _timestamp(field: bytes) -> float:
    year, month, day, hour, minute, second = (_swapped(octet) for octet in field[:6])
    quarters = _swapped(field[6] & 0xF7) * (-1 if field[6] & 0x08 else 1)
    try:
        zone = timezone(timedelta(minutes=15 * quarters)) if quarters else UTC
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=zone).timestamp()
    except ValueError as error:
        raise DecodeError("the validity period names no day that exists") from error


def _swapped(octet: int) -> int:
    tens, ones = octet & 0xF, octet >> 4
    if tens > 9 or ones > 9:  # noqa: PLR2004  (a decimal digit)
        raise DecodeError("the validity period has a digit that is none")
    return tens * 10 + ones


def _user_data(octets: _Octets, alphabet: str, *, has_header: bool) -> tuple[str, Concatenation | None]:
    length = octets.octet("user data's length")
    data = octets.rest()
    expected = (length * 7 + 7) // 8 if alphabet == "gsm7" else length
    if len(data) != expected:
        raise DecodeError(f"user data of {expected} octets were announced, {len(data)} came")
    if len(data) > LARGEST_USER_DATA:
        raise DecodeError(f"user data of {len(data)} octets do not fit, {LARGEST_USER_DATA} do")
    header = _header(data) if has_header else b""
    return _text(data, length, alphabet, len(header)), _concatenation(header[1:])


def _header(data: bytes) -> bytes:
    """Return the user data header with its length octet."""
    if not data or data[0] + 1 > len(data):
        raise DecodeError("the user data header is longer than the user data")
    return data[: data[0] + 1]


def _concatenation(elements: bytes) -> Concatenation | None:
    """Find the concatenation element, with a reference of 8 or 16 bits (9.2.3.24.1 and .8)."""
    octets = _Octets(elements)
    found = None
    while octets.rest():
        kind = octets.octet("information element")
        value = octets.take(octets.octet("information element's length"), "information element")
        if (kind, len(value)) in ((0x00, 3), (0x08, 4)):
            *reference, total, index = value
            found = Concatenation(reference=int.from_bytes(reference, "big"), total=total, index=index)
            if not 1 <= index <= total:
                raise DecodeError(f"part {index} of {total} cannot be")
    return found


def _text(data: bytes, length: int, alphabet: str, header: int) -> str:
    """Read the text behind a header of ``header`` octets."""
    if alphabet == "gsm7":
        skip = (header * 8 + 6) // 7  # septets that the header and its fill bits take
        if skip > length:
            raise DecodeError("the user data header is longer than the user data")
        return characters(unpack(data, length - skip, skip_bits=skip * 7))
    if alphabet == "8bit":
        return data[header:].hex()
    if (len(data) - header) % 2:
        raise DecodeError("UCS-2 has two octets a character")
    # Halves of a pair that a sender cut in two stay halves, so that tests see them.
    return data[header:].decode("utf-16-be", "surrogatepass")
