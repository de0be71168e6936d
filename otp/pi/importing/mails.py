"""Take over the SMTP accounts of ``email/sender-account.json``."""

from collections.abc import Sequence
from typing import Any, Final

from otp.errors import InvalidInput
from otp.pi.importing.names import Names
from otp.pi.importing.notes import Notes, Record
from otp.pi.mail.message import address

FILE: Final = "email/sender-account.json"

_TLS_PORT: Final = 465
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def mails(listed: Sequence[Any], notes: Notes) -> list[dict[str, Any]]:
    """Return the tables ``[[mail]]``."""
    names = Names()
    found = []
    for number, values in enumerate(listed, 1):
        place = f"{FILE} account {number}"
        if not isinstance(values, dict):
            notes.add(place, "not taken: it is not an object")
            continue
        record = Record(place, values, notes)
        if why := _fault(record):
            notes.add(place, f"left out: {why}")
            continue
        found.append(_mail(record, names, number))
    return found


def _fault(record: Record) -> str:
    if not record.text("host"):
        return "it has no host"
    try:
        address(record.text("senderAddress"), "senderAddress")
    except InvalidInput as error:
        return str(error)
    return ""


def _mail(record: Record, names: Names, number: int) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": names.make(record.text("name"), f"mail-{number}"),
        "host": record.text("host"),
        "port": record.port("port"),
        "tls": _encryption(record),
        "sender": record.text("senderAddress"),
        "active": record.flag("active"),
    }
    if name := record.text("senderName"):
        table["sender_name"] = name
    record.note("name host port active", f"taken; the account is called {table['name']}")
    record.note("senderAddress senderName", "taken as sender and sender_name")
    if record.flag("auth"):
        table |= {"username": record.text("senderAddress"), "password": record.text("senderPassword")}
        record.note("auth senderPassword", "taken as username, which is the sender, and password")
    else:
        record.note("auth senderPassword", "not taken: the account does not log in")
    record.note("id", "no longer needed")
    record.done()
    return table


def _encryption(record: Record) -> str:
    """Choose the encryption; what left the machine in the clear no longer does."""
    if record.flag("ssl") and (record.port("port") == _TLS_PORT or not record.flag("startTLS")):
        tls, why = "tls", "taken as tls"
    elif record.flag("startTLS"):
        tls, why = "starttls", "taken as starttls, which is required now: without it nothing is sent"
    elif record.text("host") in _HERE:
        tls, why = "none", "taken as none: the server is on this machine"
    else:
        tls, why = "starttls", 'changed to starttls: mail went unencrypted; if the server has none, set tls = "none"'
    record.note("ssl startTLS", why if tls == "none" else f"{why}; certificates are verified")
    return tls
