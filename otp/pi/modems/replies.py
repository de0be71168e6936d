"""Read the lines of a modem: 3GPP TS 27.005 (SMS) and TS 27.007 (the rest). Pure; what cannot be read is ``None``."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_FIELD: Final = re.compile(r'\s*(?:"([^"]*)"|([^,]*))\s*(?:,|$)')
_ERROR: Final = re.compile(r"\+(CMS|CME) ERROR:\s*(\d+)?.*", re.DOTALL)
_CUSD: Final = re.compile(r'\+CUSD:\s*(\d+)\s*(?:,\s*"(.*)"\s*(?:,\s*(\d+)?\s*)?|,.*)?', re.DOTALL)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_ERRORS: Final = ("ERROR", "COMMAND NOT SUPPORT", "TOO MANY PARAMETERS", "NO CARRIER")
_REGISTERED: Final = frozenset({1, 5, 6, 7})
"""Home, roaming, and for SMS only at home and roaming: TS 27.007, 7.2."""
_UNKNOWN_SIGNAL: Final = 99
_STRONGEST: Final = 31
_WORST_BER: Final = 7


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended.

    Attributes:
        ok: It was carried out.
        kind: ``cms``, ``cme`` or ``error``; empty when it was.
        code: Number of the error; ``None`` where the modem gave none.
    """

    ok: bool
    kind: str = ""
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Ussd:
    """A line ``+CUSD: m,"text",dcs`` (TS 27.007, 7.15).

    Attributes:
        mode: 0 no more to do, 1 the network waits for an answer, 2 ended by it, 4 not supported, 5 time out.
        text: As it stands between the quotes, not decoded; ``None`` where there is none.
        dcs: Coding; ``None`` where the modem gave none.
    """

    mode: int
    text: str | None
    dcs: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """An SMS in the modem's store.

    Attributes:
        index: Where.
        status: 0 and 1 came in (unread, read); 2 and 3 were written here.
        pdu: Hexadecimal, with the address of the service centre before it.
    """

    index: int
    status: int
    pdu: str


def fields(line: str) -> list[str]:
    """Return what stands behind the colon, separated by commas, quotes taken off."""
    _, _, rest = line.partition(":")
    found: list[str] = []
    for match in _FIELD.finditer(rest):
        quoted, plain = match.groups()
        if match.start() < len(rest):
            found.append(quoted if quoted is not None else plain.strip())
    return found


def number(text: str) -> int | None:
    """Return a decimal number without a sign, or ``None``."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - no counter here is longer


def _numbers(line: str) -> list[int | None]:
    return [number(field) for field in fields(line)]


def _pair(values: list[int | None]) -> tuple[int | None, int | None]:
    return (values[0] if values else None), (values[1] if len(values) > 1 else None)


def result(line: str) -> Result | None:
    """Return how a command ended, when the line says so."""
    if line == "OK":
        return Result(ok=True)
    if match := _ERROR.fullmatch(line):
        code = match.group(2)
        return Result(ok=False, kind=match.group(1).lower(), code=number(code) if code else None)
    return Result(ok=False, kind="error") if line in _ERRORS else None


def is_hex(line: str) -> bool:
    """Tell whether a line can be a PDU."""
    return _HEX.fullmatch(line) is not None


def registered(line: str) -> bool | None:
    """Read an answer to ``AT+CREG?`` or ``AT+CEREG?``, or the unsolicited line of the same name.

    The answer is ``+CREG: <n>,<stat>[,"lac","ci",...]``, the unsolicited line lacks ``<n>``.
    """
    _, _, rest = line.partition(":")
    parts = [part.strip() for part in rest.split(",")]
    unsolicited = len(parts) == 1 or not parts[1].isdigit()
    stat = number(parts[0] if unsolicited else parts[1])
    return None if stat is None else stat in _REGISTERED


def signal(line: str) -> tuple[int | None, int | None]:
    """Read ``+CSQ: <rssi>,<ber>``; each is ``None`` while not known."""
    rssi, ber = _pair(_numbers(line))
    return (
        rssi if rssi is not None and rssi <= _STRONGEST else None,
        ber if ber is not None and ber <= _WORST_BER else None,
    )


def operator(line: str) -> str:
    """Read ``+COPS: <mode>[,<format>,"name"[,<act>]]``; empty while there is none."""
    found = fields(line)
    return found[2] if len(found) > 2 else ""  # noqa: PLR2004 - the name is the third


def reference(line: str) -> int | None:
    """Read ``+CMGS: <mr>``."""
    return next(iter(_numbers(line)), None)


def stored_at(line: str) -> tuple[str, int] | None:
    """Read ``+CMTI: "SM",3`` or ``+CDSI: "SM",3``: store and index."""
    found = fields(line)
    index = number(found[1]) if len(found) > 1 else None
    return (found[0], index) if index is not None and re.fullmatch("[A-Z]{2}", found[0]) else None


def stored(lines: list[str], index: int | None = None) -> list[Stored]:
    """Read the answer to ``AT+CMGL=4``, or to ``AT+CMGR=<index>``, in PDU mode.

    Args:
        lines: Each head line followed by its PDU.
        index: The one asked for with ``AT+CMGR``, whose head line lacks it.
    """
    found: list[Stored] = []
    for head, pdu in pairwise(lines):
        if not head.startswith(("+CMGL:", "+CMGR:")) or not is_hex(pdu):
            continue
        given: list[int | None] = [] if index is None else [index]
        place, status = _pair(given + _numbers(head))
        if place is not None and status is not None:
            found.append(Stored(place, status, pdu))
    return found


def ussd(line: str) -> Ussd | None:
    """Read ``+CUSD: m[,"text"[,dcs]]``; the text may hold commas, quotes and ends of lines."""
    match = _CUSD.fullmatch(line)
    if match is None:
        return None
    mode, text, dcs = match.groups()
    return Ussd(int(mode), text, number(dcs) if dcs else None)


def tries_left(line: str) -> int | None:
    """Read how often the SIM's PIN may still be tried.

    ``+CPINR: SIM PIN,3,3`` (TS 27.007, 8.65) and ``+SPIC: 3,10,3,10`` (SIMCom) begin with it;
    ``^CPIN: SIM PIN,3,10,3,10,3`` (Huawei) ends with the tries of PUK, PIN, PUK2 and PIN2.
    """
    found = [each for each in _numbers(line) if each is not None]
    if line.startswith("^CPIN:"):
        return found[-3] if len(found) >= 4 else None  # noqa: PLR2004 - the four just named
    return found[0] if found else None


def device_number(lines: list[str]) -> str:
    """Return the first run of at least 14 digits (hexadecimal at the end of some ICCIDs): IMEI, IMSI or ICCID."""
    for line in lines:
        if match := re.search(r"\d{14,}[0-9A-F]?", line):
            return match.group()
    return ""


def free_text(lines: list[str]) -> str:
    """Return the first line, without the ``+CGMI:`` and the quotes that some modems put around it."""
    text = re.sub(r"^[+^]\w+:\s*", "", lines[0]) if lines else ""
    return text.strip().strip('"')
