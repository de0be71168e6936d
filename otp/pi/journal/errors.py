"""Say what can go wrong with the journal.

| error             | whose fault            | what to do                                              |
|-------------------|------------------------|---------------------------------------------------------|
| `StorageError`    | disk, file, key, lock  | nothing was changed: acknowledge nothing, try again      |
| `TransitionError` | the caller             | the row is in a state that does not allow the step       |
| `NoRowError`      | the caller             | there is no such row                                     |
"""

import sqlite3
from typing import Final

_PLAIN: Final = {
    "SQLITE_FULL": "the disk is full; make room",
    "SQLITE_READONLY": "it is read-only; let this user write to it",
    "SQLITE_CANTOPEN": "it cannot be opened; let this user read and write it and its directory",
    "SQLITE_PERM": "it cannot be opened; let this user read and write it and its directory",
    "SQLITE_BUSY": "another process keeps it locked; end that one",
    "SQLITE_LOCKED": "another process keeps it locked; end that one",
    "SQLITE_CORRUPT": "it is damaged; put it aside or restore it from a backup",
    "SQLITE_NOTADB": "it is no database; put it aside or restore it from a backup",
    "SQLITE_IOERR": "the disk fails or is full; look at the system's log",
}


class StorageError(Exception):
    """The journal cannot be read or written; of the call that raises it, nothing was stored."""


class TransitionError(Exception):
    """A step was asked for that the state of the row does not allow."""


class NoRowError(LookupError):
    """There is no row of that number."""


def is_storage(error: Exception) -> bool:
    """Tell whether an error comes from the disk or the file, not from a wrong statement or value."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def plain(error: sqlite3.Error) -> str:
    """Return what SQLite reports in plain words that end in what to do."""
    name = getattr(error, "sqlite_errorname", None) or ""
    for prefix, words in _PLAIN.items():
        if name.startswith(prefix):
            return f"journal.db: {words} ({name})"
    return f"journal.db: {error}"
