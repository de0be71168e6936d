"""Take over the modems of ``gsm/devices.json``."""

import re
from collections.abc import Mapping
from typing import Any, Final

from otp.pi.importing.names import Names
from otp.pi.importing.notes import Notes, Record, shown

FILE: Final = "gsm/devices.json"

_RENUMBERED: Final = re.compile(r"/dev/tty(USB|ACM)[0-9]+")
_UART: Final = re.compile(r"/dev/(tty(S|AMA)|serial)[0-9]+")
_SPEED: Final = 9600
"""bit/s: what the original opens every port with, whatever is stored."""

_PREFIX: Final = re.compile(r"\+?[0-9]+")

_READ_FROM_MODEM: Final = "manufacturer model revision iccid copsOperator provider msisdn"
_INTERNET: Final = (
    "internetAccess apn apnUsername apnPassword dialNumner dialCommand "
    "initDial1 initDial2 initDial3 initDial4 initDial5 autoreconnect"
)


def modems(devices: Mapping[str, Any], notes: Notes) -> list[dict[str, Any]]:
    """Return the tables ``[[modem]]``."""
    names = Names()
    found: list[dict[str, Any]] = []
    for key, values in devices.items():
        place = f"{FILE} {shown(str(key))}"
        if isinstance(values, dict):
            found.append(_modem(Record(place, values, notes), names, len(found) + 1))
        else:
            notes.add(place, "not taken: it is not an object")
    return found


def _modem(record: Record, names: Names, number: int) -> dict[str, Any]:
    name = names.make(record.text("name") or record.text("id"), f"modem-{number}")
    record.note("id name", f"taken as the modem's name, {name}")
    table: dict[str, Any] = {"name": name} | _place(record)
    active = record.flag("active") and not record.flag("internetAccess")
    if active and len(table) == 1:
        active = False
        record.note("active", "taken as false: neither port nor imei nor imsi says where it is; set one of them")
    else:
        record.note("active", f"taken as active = {str(active).lower()}")
    table["active"] = active
    table["sms"] = record.flag("smsAPI")
    table["default"] = record.flag("defaultModem")
    record.note("smsAPI defaultModem", "taken as sms and default, which is honoured from now on")
    if prefixes := _prefixes(record):
        table["prefixes"] = prefixes
    if pin := record.text("simCardPIN"):
        table["pin"] = pin
    record.note("simCardPIN", "taken as pin" if pin else "empty, not needed")
    _explain(record)
    return table


def _place(record: Record) -> dict[str, Any]:
    """Return how the modem is found: by its number where there is one, by its port else."""
    found = {key: record.text(key) for key in ("imei", "imsi") if re.fullmatch(r"[0-9]+", record.text(key))}
    record.note("imei imsi", f"taken: {', '.join(found)}" if found else "empty or no number, not taken")
    port = record.text("port")
    if not port.startswith("/"):
        record.note("port", "not taken: it is no port of this system; set port, or let imei find it")
    elif found and _RENUMBERED.fullmatch(port):
        record.note("port", "no longer needed: the modem is found by its number wherever it is plugged in")
    else:
        found["port"] = port
        record.note("port", "taken; best is a link of /dev/serial/by-id/, which survives replugging")
    uart = _UART.fullmatch(found.get("port", ""))
    record.note(
        "baudRate parityBit startBits stopBits",
        f"not taken: they were never applied; baud_rate = {_SPEED} as it really was"
        if uart
        else "no longer needed: they were never applied, and mean nothing on USB",
    )
    return found | ({"baud_rate": _SPEED} if uart else {})


def _prefixes(record: Record) -> list[str]:
    """Return the prefixes with their plus: the original's are written with the country code, 62812."""
    words = [word.strip() for word in record.text("recipientPrefix").split(",")]
    good = [word if word.startswith(("+", "0")) else f"+{word}" for word in words if _PREFIX.fullmatch(word)]
    bad = [word for word in words if word and not _PREFIX.fullmatch(word)]
    text = f"taken as prefixes: {', '.join(good)}; the longest one wins" if good else "empty, not needed"
    record.note("recipientPrefix", text + (f"; not taken: {len(bad)} that are no numbers" if bad else ""))
    return good


def _explain(record: Record) -> None:
    """Say what became of the keys that nothing is made of."""
    record.note(_READ_FROM_MODEM, "no longer needed: read from the modem")
    record.note("smsCenter", "not taken: it was never applied, the SIM card's own was used; set smsc to change that")
    record.note("timeRange maxPerTimeRange", "not taken: they were never applied; see per_hour and per_day")
    record.note("incommingInterval", "no longer needed: the modem announces what it receives")
    record.note("deleteSentSMS", "no longer needed: what is sent is not stored on the card")
    record.note(
        _INTERNET,
        "not supported: dialling into the internet is left to the system; the modem is off"
        if record.flag("internetAccess")
        else "not supported and not in use: dialling into the internet is left to the system",
    )
    record.done()
