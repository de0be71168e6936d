"""Write messages to be submitted, and read what comes in, in PDU mode (3GPP TS 23.040, 9.2; 27.005, 4).

A submitted part, "hello" to +62 812 345 with a validity of five minutes and a report asked for:

| octets         | field    | here                                                                   |
|----------------|----------|------------------------------------------------------------------------|
| 00             | SCA      | no service centre: the one on the SIM card                             |
| 31             | first    | SUBMIT (01), relative validity (10), status report (20), header (40)   |
| 00             | TP-MR    | the modem fills in the reference                                       |
| 08 91 26183254 | TP-DA    | digits, type, digits in swapped pairs                                  |
| 00             | TP-PID   | an ordinary short message                                              |
| 00             | TP-DCS   | GSM-7 (08: UCS-2), no message class                                    |
| 00             | TP-VP    | (0 + 1) x 5 minutes                                                    |
| 05 E8329BFD06  | TP-UD    | its length in septets (octets for UCS-2), then the text                |
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from otp.pi.modems import addresses, gsm7, text, timestamps

_DELIVER, _SUBMIT, _STATUS_REPORT = 0, 1, 2
_RELATIVE_VALIDITY: Final = 0x10
_REPORT: Final = 0x20
_HEADER: Final = 0x40
_UCS2: Final = 0x08
_CONCAT_8, _CONCAT_16 = 0x00, 0x08
_CONCAT_HEADER: Final = 6
"""Octets of a header that says reference, total and index, its length included."""
_SEPTETS_OF_HEADER: Final = 7
_FILL_OF_HEADER: Final = 1
_ALPHABET: Final = 0x0C
_UNCONFIRMED: Final = 0x01
_LAST_OF_RETRYING: Final = 0x20, 0x3F


class SmsTextError(Exception):
    """A message that no modem can send.

    Attributes:
        reason: ``too_long``, ``not_dialable`` or ``not_text``.
    """

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class PduError(ValueError):
    """What came in cannot be read; the text does not quote it."""


@dataclass(frozen=True, slots=True)
class Submit:
    """A part, ready for ``AT+CMGS``.

    Attributes:
        hex: All of it, service centre included.
        length: Octets without the service centre: what ``AT+CMGS=`` is told.
    """

    hex: str = field(repr=False)
    length: int


@dataclass(frozen=True, slots=True)
class Concat:
    """Where a part belongs: parts of one reference and sender, counted from 1."""

    reference: int
    total: int
    index: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message, or a part of one, that came in."""

    sender: str = field(repr=False)
    text: str = field(repr=False)
    sent_at: float
    concat: Concat | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What became of a part.

    Attributes:
        reference: TP-MR, 0 to 255.
        receiver: Whom it went to.
        status: TP-Status.
        outcome: In a word; ``pending``: the network goes on trying.
        at: When it was decided, Unix seconds; 0 where the network does not say.
    """

    reference: int
    receiver: str = field(repr=False)
    status: int
    outcome: Literal["delivered", "pending", "failed"]
    at: float


def parts_needed(message: str) -> int:
    """Return how many parts a text takes."""
    return len(text.divide(message).units)


def submits(
    receiver: str,
    message: str,
    *,
    reference: int,
    validity: float | None,
    report: bool,
    smsc: str = "",
    max_parts: int = 255,
) -> list[Submit]:
    """Return the parts of a message.

    Args:
        receiver: Number to dial.
        message: The text.
        reference: What the parts of a long message are told by, 0 to 255.
        validity: Seconds the network may go on trying, rounded down; ``None`` leaves it to the network.
        report: Ask what became of it.
        smsc: Service centre; empty is the one on the SIM card.
        max_parts: Parts at most.

    Raises:
        SmsTextError: It is too long or no text, or the receiver or service centre cannot be dialled.
    """
    divided = _divide(message)
    total = len(divided.units)
    if total > min(max_parts, 255):
        raise SmsTextError("too_long", f"The message takes {total} parts of an SMS; {max_parts} are allowed.")
    centre, (digits, address) = _centre(smsc), _dial(receiver)
    first = _SUBMIT | (_REPORT if report else 0) | (_HEADER if total > 1 else 0)
    period = b""
    if validity is not None:
        first |= _RELATIVE_VALIDITY
        period = bytes([timestamps.validity(validity)])
    coding = 0 if divided.gsm7 else _UCS2
    head = bytes([first, 0, digits]) + address + bytes([0, coding]) + period
    bodies = [
        head + _user_data(units, divided.gsm7, _header(reference, total, index))
        for index, units in enumerate(divided.units, 1)
    ]
    return [Submit((centre + body).hex().upper(), len(body)) for body in bodies]


def _divide(message: str) -> text.Parts:
    try:
        return text.divide(message)
    except ValueError:  # its own words would quote the message
        raise SmsTextError("not_text", "The message holds half a surrogate pair, which is no character.") from None


def _dial(number: str) -> tuple[int, bytes]:
    try:
        return addresses.encode(number)
    except addresses.AddressError as error:
        raise SmsTextError("not_dialable", str(error)) from None


def _centre(number: str) -> bytes:
    """Return the service centre: its length counts octets here, not digits."""
    if not number:
        return b"\x00"
    address = _dial(number)[1]
    return bytes([len(address)]) + address


def _header(reference: int, total: int, index: int) -> bytes:
    if total == 1:
        return b""
    return bytes([_CONCAT_HEADER - 1, _CONCAT_8, 3, reference & 0xFF, total, index])


def _user_data(units: bytes, is_gsm7: bool, header: bytes) -> bytes:
    if not is_gsm7:
        return bytes([len(header) + len(units)]) + header + units
    if not header:
        return bytes([len(units)]) + gsm7.pack(units)
    return bytes([_SEPTETS_OF_HEADER + len(units)]) + header + gsm7.pack(units, _FILL_OF_HEADER)


def read(hexadecimal: str) -> Deliver | StatusReport:
    """Return what a modem brought.

    Raises:
        PduError: It is neither a message nor a report, or broken.
    """
    try:
        octets = _Octets(bytes.fromhex(hexadecimal.strip()))
        octets.take(octets.one())  # the service centre
        first = octets.one()
        if first & 3 == _DELIVER:
            return _deliver(first, octets)
        if first & 3 == _STATUS_REPORT:
            return _status_report(octets)
    except (ValueError, IndexError):
        raise PduError("broken") from None
    raise PduError("neither a message nor a report")


class _Octets:
    """Octets that are read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def one(self) -> int:
        """Return the next octet; raises ``ValueError`` when there is none."""
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        """Return the next octets; raises ``ValueError`` when there are not so many."""
        found = self._data[self._place : self._place + count]
        if len(found) != count:
            raise ValueError("too short")
        self._place += count
        return found

    def rest(self) -> bytes:
        """Return all that is left."""
        return self._data[self._place :]

    def address(self) -> str:
        """Return the next address."""
        count, kind = self.one(), self.one()
        return addresses.decode(kind, count, self.take((count + 1) // 2))


def _deliver(first: int, octets: _Octets) -> Deliver:
    sender = octets.address()
    octets.one()  # protocol identifier
    coding = octets.one()
    sent_at = timestamps.read(octets.take(7))
    length = octets.one()
    header, fill, body = _split(octets.rest(), has_header=bool(first & _HEADER))
    if _alphabet(coding) == "gsm7":
        sent = length - (len(header) * 8 + fill) // 7
        count = min(sent, (len(body) * 8 - fill) // 7)  # of a message that was cut off, what is there
        found = gsm7.decode(gsm7.unpack(body, count, fill))
    else:
        body = body[: length - len(header)]
        wide = _alphabet(coding) == "ucs2"
        found = body.decode("utf-16-be" if wide else "latin-1", errors="replace")
    return Deliver(sender, found, sent_at, _concat(header))


def _split(data: bytes, *, has_header: bool) -> tuple[bytes, int, bytes]:
    """Return the header with its length octet, the fill bits behind it for GSM-7, and the rest."""
    if not has_header:
        return b"", 0, data
    size = data[0] + 1
    if size > len(data):
        raise ValueError("header too long")
    return data[:size], -size * 8 % 7, data[size:]


def _alphabet(coding: int) -> str:
    """Return what TP-DCS says the text is in (23.038, 4): ``gsm7``, ``octets`` or ``ucs2``."""
    group = coding >> 4
    if group == 0xE:  # noqa: PLR2004 - message waiting, UCS-2
        return "ucs2"
    if group == 0xF:  # noqa: PLR2004 - message class, bit 2 alone says which
        return "octets" if coding & 4 else "gsm7"
    if group < 8:  # noqa: PLR2004 - general groups
        return {0: "gsm7", 4: "octets", 8: "ucs2"}.get(coding & _ALPHABET, "gsm7")
    return "gsm7"


def _concat(header: bytes) -> Concat | None:
    """Return what a header says of a long message, ``None`` when it says nothing that makes sense."""
    place = 1
    while place + 1 < len(header):
        name, size = header[place], header[place + 1]
        value = header[place + 2 : place + 2 + size]
        place += 2 + size
        if name == _CONCAT_8 and len(value) == 3:  # noqa: PLR2004 - reference, total, index
            found = Concat(value[0], value[1], value[2])
        elif name == _CONCAT_16 and len(value) == 4:  # noqa: PLR2004 - the reference has two octets
            found = Concat(value[0] << 8 | value[1], value[2], value[3])
        else:
            continue
        return found if 1 <= found.index <= found.total else None
    return None


def _status_report(octets: _Octets) -> StatusReport:
    reference = octets.one()
    receiver = octets.address()
    octets.take(7)  # when the service centre got it
    at = _decided_at(octets.take(7))
    status = octets.one()
    return StatusReport(reference, receiver, status, _outcome(status), at)


def _decided_at(octets: bytes) -> float:
    """Return the discharge time; some networks leave it empty, and the report counts all the same."""
    try:
        return timestamps.read(octets)
    except ValueError:
        return 0.0


def _outcome(status: int) -> Literal["delivered", "pending", "failed"]:
    """Return TP-Status in a word (23.040, 9.2.3.15).

    00 and 02 to 1F are done; 01 is handed on to somebody who confirms nothing, 20 to 3F still tried; the rest given up.
    """
    if status < _LAST_OF_RETRYING[0]:
        return "pending" if status == _UNCONFIRMED else "delivered"
    return "pending" if status <= _LAST_OF_RETRYING[1] else "failed"
