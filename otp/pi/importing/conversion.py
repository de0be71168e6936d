"""Convert a whole directory; each file by its own module."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from otp.numbers import Numbers
from otp.pi.importing import files, general, mails, modems, roads, toml, users
from otp.pi.importing.notes import Notes, shown
from otp.pi.importing.users import ImportedAccount
from otp.pi.settings import Settings

_LEFT: Final = {
    "bell": "not supported: see [events] for alarms",
    "ddns": "not supported: a dynamic name is left to the system",
    "feeder": "not supported: it belongs to an older program",
    "keystore": "not taken: rest.tls_certificate takes a PEM file; export it with keytool and openssl pkcs12",
    "network": "not supported: network and firewall are left to the system",
    "report": "not taken: what was sent before stays in these files",
    "server": "no longer needed: see otp-pi monitor and /metrics",
    "sms": "not supported: it belongs to an older program",
    "user": "not supported: there is no web page for management, so it needs no accounts",
}
"""What became of the directories that hold nothing for us."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What an import makes.

    Attributes:
        config_toml: The text of a settings file; it loads.
        accounts: Who may use the API, with the passwords that are new.
        blocked: The blocked receivers, in the spelling that a block list goes by.
        notes: What became of every key, a line each; no secrets.
        password_file: The text of an ``.htpasswd`` with the accounts.
    """

    config_toml: str = field(repr=False)
    accounts: list[ImportedAccount]
    blocked: list[str]
    notes: list[str]
    password_file: str = field(repr=False)


def convert(directory: Path) -> Converted:
    """Convert the data of a Java OTP-Pi; nothing is written.

    Args:
        directory: Its ``resource/data``, or a directory that has it.

    Raises:
        ImportFault: There is nothing to import.
    """
    data = files.find(directory)
    notes = Notes()

    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = files.read_json(data, name, dict, notes)
        return found

    accounts, password_file = users.accounts(read(users.FILE), notes)
    region = general.region(read(general.SMS), notes)
    blocked = general.blocked(read(general.BLOCKING), Numbers(region=region), notes)
    tables: dict[str, Any] = general.general(read(general.GENERAL), notes)
    tables |= {"numbers": {"region": region}} if region else {}
    tables["otp"] = general.otp(files.read_properties(data, notes), notes)
    tables["rest"] = general.rest(read(general.SERVICES), notes)
    tables["modem"] = modems.modems(read(modems.FILE), notes)
    tables["mail"] = mails.mails(files.read_json(data, mails.FILE, list, notes), notes)
    tables |= roads.roads(read, notes)
    if read("otp/otp.json"):
        notes.add("otp/otp.json", "not taken: codes that are open now end with the old program; they live for minutes")
    if inbound := read("email/smtp.json"):
        state = "in use; send mail commands over a road instead" if inbound.get("active") is True else "and off"
        notes.add("email/smtp.json", f"not supported, {state}")
    _note_others(data, notes)
    Settings.model_validate(tables)
    return Converted(toml.write(tables), accounts, blocked, notes.lines, password_file)


def _note_others(data: Path, notes: Notes) -> None:
    """Say what became of the directories and files that nothing was read from."""
    for entry in sorted(data.iterdir()):
        if entry.is_dir() and entry.name in _LEFT:
            notes.add(f"{entry.name}/", _LEFT[entry.name])
        elif entry.is_dir():
            for file in sorted(entry.glob("*.json")):
                name = f"{entry.name}/{file.name}"
                if name not in files.FILES:
                    notes.add(shown(name), "not known, not taken")
