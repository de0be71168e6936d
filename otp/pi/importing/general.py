"""Take over what is not a modem, an account or a way in: numbers, times, the HTTP server, the block list."""

import re
from collections.abc import Mapping
from typing import Any, Final

from otp.errors import InvalidInput
from otp.numbers import NumberPolicy, Numbers
from otp.pi.importing.notes import Notes, Record, shown

SERVICES: Final = "api/services.json"
BLOCKING: Final = "api/blocking.json"
GENERAL: Final = "general/general-config.json"
SMS: Final = "gsm/sms.json"
CONFIG: Final = "config.ini"

_WORDS: Final = ("otp", "message", "sms", "email", "block", "unblock", "modem", "ussd")
_PATHS: Final = frozenset(f"/api/{word}" for word in _WORDS)
_MOST_DIGITS: Final = 20
_SHORT_CODE: Final = 6
_DIGITS: Final = range(4, 11)
_LONGEST_OFFSET: Final = 86_400_000  # ms


def rest(values: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """Return the table ``[rest]``."""
    if not values:
        return {}
    record = Record(SERVICES, values, notes)
    enabled = record.flag("httpEnable")
    table: dict[str, Any] = {"enabled": enabled, "host": "0.0.0.0"}  # noqa: S104 - where the original listens
    if enabled and (port := record.port("httpPort")):
        table["port"] = port
    record.note(
        "httpEnable httpPort",
        "taken as rest.enabled and rest.port; host 0.0.0.0 as before, better 127.0.0.1 if only this machine asks",
    )
    record.note("httpsEnable httpsPort", _https(record, enabled=enabled))
    for key in ("otpPath", "messagePath", "smsPath", "emailPath", "blockingPath", "unblockingPath"):
        known = record.text(key).rstrip("/") in _PATHS
        record.note(key, "no longer needed" if known else "not supported: use a path such as /api/otp, each takes all")
    record.done()
    return table


def _https(record: Record, *, enabled: bool) -> str:
    if not record.flag("httpsEnable"):
        return "not in use, not taken"
    convert = "a Java keystore cannot be read here: export it with keytool and openssl pkcs12 to a PEM file"
    if enabled:
        return f"not taken: one port speaks either http or https; with rest.tls_certificate set it is https ({convert})"
    return f"not taken: set rest.enabled, rest.port and rest.tls_certificate ({convert})"


def blocked(values: Mapping[str, Any], numbers: Numbers, notes: Notes) -> list[str]:
    """Return the blocked receivers, each in the spelling that a block list goes by."""
    found: dict[str, None] = {}
    refused = released = 0
    for number, block in values.items():
        if block is not True and str(block).lower() != "true":
            released += 1
        elif not re.fullmatch(rf"\+?[0-9]{{1,{_MOST_DIGITS}}}", number.strip()):
            refused += 1
            notes.add(f"{BLOCKING} {shown(number)}", "not taken: it is no number")
        else:
            found |= dict.fromkeys(_spellings(number.strip().lstrip("+"), numbers))
    if values:
        taken = len(values) - refused - released
        notes.add(BLOCKING, f"{taken} numbers are blocked; {released} were unblocked before and are left out")
    return list(found)


def _spellings(digits: str, numbers: Numbers) -> list[str]:
    """Return how a number, written with its country code and without a plus, may come in."""
    try:
        return [Numbers(NumberPolicy.STRICT, numbers.region).wire(f"+{digits}")]
    except InvalidInput:
        plain = numbers.key(digits)
        return [plain] if len(digits) <= _SHORT_CODE else [plain, f"+{digits}"]


def region(values: Mapping[str, Any], notes: Notes) -> str:
    """Return the region of ``gsm/sms.json``, and say what became of the other keys there."""
    record = Record(SMS, values, notes)
    code = record.text("countryCode")
    try:
        found = Numbers(region=code).region or ""
    except InvalidInput:
        found = ""
    text = f"taken as numbers.region = {found}" if found else "not taken: empty or no calling code"
    record.note("countryCode", text)
    record.note("recipientPrefixLength", "no longer needed: prefixes may have any length, the longest one wins")
    record.note("logSMS monitorSMS", "no longer needed: see otp-pi journal and otp-pi monitor")
    record.note("incommingInterval connectionType", "no longer needed")
    record.note("timeRange maxPerTimeRange", "not taken: they were never applied; see per_hour and per_day of a modem")
    record.note("smsCenter imei simCardPIN", "not taken: they belong to a modem, as smsc, imei and pin")
    record.done()
    return found


def general(values: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    """Return keys of the top."""
    record = Record(GENERAL, values, notes)
    offset = record.number("otpExpirationOffset")
    usable = 0 < offset <= _LONGEST_OFFSET
    seconds = offset / 1000
    text = f"taken as expiration_offset = {seconds:g} s" if usable else "not taken: 300 s is used"
    record.note("otpExpirationOffset", text)
    record.note("dropExpireOTP", "no longer needed: what has expired is never sent")
    record.note("inspectModemInterval", "no longer needed: see sms.health_interval")
    record.note("deviceName deviceTimeZone", "not taken: name and time zone are the system's")
    record.note("ntpServer ntpUpdateInterval", "not supported: setting the clock is left to the system")
    record.note("restartService restartDevice", "not supported: restarting is left to systemd")
    record.done()
    return {"expiration_offset": seconds} if usable else {}


def otp(properties: Mapping[str, str], notes: Notes) -> dict[str, Any]:
    """Return the table ``[otp]`` from ``config.ini``, and say what became of the other keys there."""
    if not properties:
        return {}
    record = Record(CONFIG, properties, notes)
    digits = record.number("otppi.otp.length")
    usable = digits in _DIGITS
    record.note("otppi.otp.length", f"taken as otp.digits = {digits}" if usable else "not taken: 6 is used")
    record.note("otppi.otp.lifetime", "not taken: a code lives as long as its command says, otherwise 5 minutes")
    record.note("otppi.otp.salt", "no longer needed: codes are kept as HMACs under a key of this machine")
    groups: dict[str, list[str]] = {}
    for key in properties:
        if key not in {"otppi.otp.length", "otppi.otp.lifetime", "otppi.otp.salt"}:
            groups.setdefault(".".join(key.split(".")[:2]), []).append(key)
    for group, keys in sorted(groups.items()):
        record.note(keys, _REASONS.get(group, "not taken: nothing here needs it"))
    notes.add(CONFIG, "variables such as OTPPI_OTP_LENGTH, which override it, are not read: look for them with env")
    return {"digits": digits} if usable else {}


_REASONS: Final = {
    "otppi.cron": "no longer needed: connections are watched all the time",
    "otppi.default": "no longer needed: see [rest]",
    "otppi.device": "not taken: there is no device management",
    "otppi.modem": "no longer needed: see sms.health_interval",
    "otppi.path": "no longer needed: all data is in data_dir; files that lie elsewhere must be imported from there",
    "otppi.server": "not supported: there is no web page for management; see otp-pi monitor",
    "otppi.sms": "no longer needed: see otp-pi journal",
    "otppi.sound": "not supported: see [events] for alarms",
    "otppi.ssh": "not supported: restarting is left to systemd",
    "otppi.web": "not supported: there is no web page for management",
    "otppi.wvdial": "not supported: dialling into the internet is left to the system",
}
