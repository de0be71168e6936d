"""Ask a modem how it is: its SIM card, its network, its signal. Commands of 3GPP TS 27.007."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from otp.pi.modems import replies
from otp.pi.modems.dialogue import CommandError, Dialogue

_NO_SIM: Final = frozenset({10, 13, 15})
"""``+CME ERROR``: SIM not inserted, SIM failure, SIM wrong (TS 27.007, 9.2.1)."""
_LOCKED: Final = {11: "SIM PIN", 12: "SIM PUK"}
SIM_BUSY: Final = 14
_TRIES: Final = (("AT+CPINR", "+CPINR: SIM PIN,"), ("AT^CPIN?", "^CPIN:"), ("AT+SPIC", "+SPIC:"))
_ICCID: Final = (("AT+CCID", "+CCID:"), ("AT+ICCID", "+ICCID:"), ("AT^ICCID?", "^ICCID:"), ("AT+QCCID", "+QCCID:"))


class Sim(StrEnum):
    """What a modem says of its SIM card."""

    READY = "ready"
    PIN = "pin"
    PUK = "puk"
    MISSING = "missing"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Health:
    """What one look shows; the fields are those of ``ModemStatus``."""

    registered: bool
    operator: str
    signal: int | None
    ber: int | None


async def attempt(dialogue: Dialogue, command: str, *, prefix: str = "", free: bool = False) -> list[str] | None:
    """Send a command that not every modem knows; ``None`` when this one refused it."""
    try:
        return await dialogue.ask(command, prefix=prefix, free=free)
    except CommandError:
        return None


async def sim(dialogue: Dialogue) -> Sim:
    """Ask for the SIM card."""
    try:
        lines = await dialogue.ask("AT+CPIN?", prefix="+CPIN:")
    except CommandError as error:
        if error.result.code is None or error.result.code in _NO_SIM:
            return Sim.MISSING
        said = _LOCKED.get(error.result.code, "")
    else:
        said = lines[0].partition(":")[2].strip() if lines else ""
    known = {"READY": Sim.READY, "SIM PIN": Sim.PIN, "SIM PUK": Sim.PUK, "NOT INSERTED": Sim.MISSING}
    return known.get(said, Sim.BUSY)


async def tries_left(dialogue: Dialogue) -> int | None:
    """Ask how often the PIN may still be tried; ``None`` when the modem does not tell."""
    for command, prefix in _TRIES:
        for line in await attempt(dialogue, command, prefix=prefix) or ():
            if (left := replies.tries_left(line)) is not None:
                return left
    return None


async def iccid(dialogue: Dialogue) -> str:
    """Ask for the number of the SIM card; every maker has a command of its own."""
    for command, prefix in _ICCID:
        lines = await attempt(dialogue, command, prefix=prefix, free=True)
        if lines and (number := replies.device_number(lines)):
            return number
    return ""


async def look(dialogue: Dialogue) -> Health:
    """Ask for registration, operator and signal."""
    registered = await _registered(dialogue, "+CREG") or await _registered(dialogue, "+CEREG")
    operator = await attempt(dialogue, "AT+COPS?", prefix="+COPS:") if registered else None
    quality = await attempt(dialogue, "AT+CSQ", prefix="+CSQ:")
    signal, ber = replies.signal(quality[0]) if quality else (None, None)
    return Health(registered, replies.operator(operator[0]) if operator else "", signal, ber)


async def _registered(dialogue: Dialogue, name: str) -> bool:
    lines = await attempt(dialogue, f"AT{name}?", prefix=f"{name}:")
    return any(replies.registered(line) for line in lines or ())
