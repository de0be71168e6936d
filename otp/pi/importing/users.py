"""Take over who may use the API.

| stored password                              | the account                                                     |
|----------------------------------------------|-----------------------------------------------------------------|
| 64 hexadecimal digits: SHA-256, or twice that | a new random password: such a hash is guessed at billions a second |
| anything else: plain text                    | keeps its password, from now on as bcrypt                       |
| one that bcrypt or HTTP Basic cannot carry   | a new random password                                           |

Users who are blocked or inactive are left out.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from htpasswd import hash_password, name_fault
from otp.pi.importing.notes import Notes, Record, shown

FILE: Final = "api/urses.json"

_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_RANDOM_BYTES: Final = 18
_HEAD: Final = (
    "# Accounts of the HTTP API, taken over from a Java OTP-Pi. Add one: python -m htpasswd add --file .htpasswd USER\n"
)


class ImportedAccount(NamedTuple):
    """An account.

    Attributes:
        user: Its name.
        new_password: To be shown once; ``None`` where the old one still opens.
        note: What became of it.
    """

    user: str
    new_password: str | None
    note: str

    def __repr__(self) -> str:
        return f"ImportedAccount(user={self.user!r}, note={self.note!r})"


def accounts(users: Mapping[str, Any], notes: Notes) -> tuple[list[ImportedAccount], str]:
    """Return the accounts, and the text of a password file with them."""
    taken: list[ImportedAccount] = []
    lines = [_HEAD]
    for user, values in users.items():
        place = f"{FILE} {shown(user)}"
        if not isinstance(values, dict):
            notes.add(place, "not taken: it is not an object")
            continue
        record = Record(place, values, notes)
        if why := _left_out(user, record):
            notes.add(place, f"left out: {why}")
            continue
        account, stored = _account(user, values.get("password"))
        record.note("username password active blocked", account.note)
        record.note("name email phone lastActive", "not taken: nothing here needs them")
        record.done()
        taken.append(account)
        lines.append(f"{user}:{stored}\n")
    return taken, "".join(lines)


def _left_out(user: str, record: Record) -> str:
    if not record.flag("active", default=True):
        return "it is not active"
    if record.flag("blocked"):
        return "it is blocked"
    return name_fault(user) or ""


def _account(user: str, password: object) -> tuple[ImportedAccount, str]:
    """Return an account and its hash."""
    if not isinstance(password, str) or not password:
        return _renewed(user, "gets a new password: it had none")
    if _SHA256.fullmatch(password):
        return _renewed(user, "gets a new password: the old one is stored as bare SHA-256, which is no safe way")
    try:
        stored = hash_password(password)
    except ValueError:
        return _renewed(user, "gets a new password: the old one is too long, or holds characters that cannot be sent")
    return ImportedAccount(user, None, "keeps its password, which is stored as bcrypt from now on"), stored


def _renewed(user: str, note: str) -> tuple[ImportedAccount, str]:
    password = secrets.token_urlsafe(_RANDOM_BYTES)
    return ImportedAccount(user, password, note), hash_password(password)
