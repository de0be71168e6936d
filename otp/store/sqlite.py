"""Keep records in an SQLite file: the default, for any number of threads and processes of one machine.

Each step is one statement or one ``BEGIN IMMEDIATE`` transaction, so SQLite's write lock makes it atomic for
every process. Within a process one connection behind one lock serves all threads: waiting for that lock is
cheap, while connections that wait for each other sleep and poll.

``journal_mode=WAL`` with ``synchronous=NORMAL`` survives a killed process without loss. A power cut may undo
the last moments, such as a try or the use of a code; it does not corrupt the file.
"""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from otp import limits
from otp.errors import StoreError
from otp.limits import DAY, Window
from otp.store import rules
from otp.store.base import Gone, Record, Taken, Wait
from otp.store.session import Session

FILE_NAME = "otp.sqlite3"

_SWEEP_EVERY = 128
"""Adds between two clean-ups by one process."""

_LONGEST_WINDOW = 30 * DAY

_INSERT = "INSERT OR REPLACE INTO otp VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT * FROM otp WHERE name = ?"
_CHARGE = """UPDATE otp SET tries = tries - 1
    WHERE name = ? AND tries > 0 AND used = 0 AND expires_at > ? AND keep_until > ? RETURNING *"""
_UNDO_RESEND = """UPDATE otp SET resends = resends - 1, resend_at = ?
    WHERE name = ? AND nonce = ? AND resends = ?"""
_STAMPS = "SELECT at FROM issued WHERE owner = ? AND at > ? ORDER BY at"


class SqliteBackend:
    """Records in one file.

    Attributes:
        _session: The connection.
        _horizon: Seconds a stamp is remembered.
        _adds: Adds since the last clean-up by this process; the first add cleans up.
    """

    __slots__ = ("_adds", "_horizon", "_session")

    def __init__(self, file: Path, fingerprint: str) -> None:
        """Open the file, making it if there is none.

        Args:
            file: The database; its directory exists.
            fingerprint: The key's. A file filled under another key is refused.

        Raises:
            StoreError: It cannot be opened, or is not ours.
        """
        self._session = Session(file, fingerprint)
        self._horizon = _LONGEST_WINDOW
        self._adds = _SWEEP_EVERY

    @classmethod
    def in_directory(cls, directory: str | os.PathLike[str], fingerprint: str) -> "SqliteBackend":
        """Open ``otp.sqlite3`` in a directory, making the directory with mode 0700 if there is none.

        Raises:
            StoreError: The directory cannot be made, or the file cannot be opened.
        """
        folder = Path(directory)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cache_dir {folder}: {error.strerror}. Name a directory this user may make and write to."
            ) from error
        return cls(folder / FILE_NAME, fingerprint)

    def add(self, record: Record, windows: Sequence[Window], now: float) -> Taken | Wait | None:
        """Insert a record and count it; see ``Backend.add``."""
        self._horizon = limits.horizon(windows)
        with self._session.transaction() as database:
            if rules.taken(_select(database, record.name), now):
                return Taken()
            rows = database.execute(_STAMPS, (record.owner, int(now) - self._horizon))
            if seconds := limits.wait(windows, [at for (at,) in rows], now):
                return Wait(seconds)
            database.execute(_INSERT, _row(record))
            database.execute("INSERT INTO issued VALUES (?, ?, ?)", (record.owner, int(now), record.nonce))
            self._sweep_sometimes(database, now)
            return None

    def charge(self, name: bytes, now: float) -> Record | Gone:
        """Take one try, in one statement; see ``Backend.charge``."""
        with self._session.step() as database:
            rows = database.execute(_CHARGE, (name, now, now)).fetchall()
            if rows:
                return _record(rows[0])
            return rules.gone(_select(database, name), now) or Gone.VOID

    def consume(self, name: bytes, nonce: bytes) -> bool:
        """Mark a record used, once, in one statement; see ``Backend.consume``."""
        with self._session.step() as database:
            change = "UPDATE otp SET used = 1 WHERE name = ? AND nonce = ? AND used = 0"
            return database.execute(change, (name, nonce)).rowcount == 1

    def resend(self, name: bytes, owner: bytes, cooldowns: Sequence[int], now: float) -> Record | Gone | Wait:
        """Count one resend; see ``Backend.resend``."""
        with self._session.transaction() as database:
            record = _select(database, name)
            if record is None or record.owner != owner:
                return Gone.UNKNOWN
            outcome = rules.gone(record, now) or rules.resent(record, cooldowns, now)
            if isinstance(outcome, Record):
                database.execute(_INSERT, _row(outcome))
            return outcome

    def undo_resend(self, record: Record, now: float) -> None:
        """Take back a resend, in one statement; see ``Backend.undo_resend``."""
        with self._session.step() as database:
            database.execute(_UNDO_RESEND, (int(now), record.name, record.nonce, record.resends))

    def undo_add(self, record: Record) -> None:
        """Remove a record as it was added; see ``Backend.undo_add``."""
        with self._session.transaction() as database:
            found = _select(database, record.name)
            if found is None or found.nonce != record.nonce:
                return
            database.execute("DELETE FROM otp WHERE name = ?", (record.name,))
            if found.tries == record.tries:
                key = (record.owner, record.nonce)
                database.execute("DELETE FROM issued WHERE owner = ? AND nonce = ?", key)

    def remove(self, name: bytes, owner: bytes) -> bool:
        """Remove this owner's record, in one statement; see ``Backend.remove``."""
        with self._session.step() as database:
            removal = database.execute("DELETE FROM otp WHERE name = ? AND owner = ?", (name, owner))
            return removal.rowcount == 1

    def sweep(self, now: float) -> int:
        """Forget what is past its time; see ``Backend.sweep``."""
        with self._session.transaction() as database:
            return self._sweep(database, now)

    def close(self) -> None:
        """Close the file."""
        self._session.close()

    def _sweep_sometimes(self, database: sqlite3.Connection, now: float) -> None:
        self._adds += 1
        if self._adds >= _SWEEP_EVERY:
            self._adds = 0
            self._sweep(database, now)

    def _sweep(self, database: sqlite3.Connection, now: float) -> int:
        database.execute("DELETE FROM issued WHERE at <= ?", (int(now) - self._horizon,))
        return database.execute("DELETE FROM otp WHERE keep_until <= ?", (now,)).rowcount


def _select(database: sqlite3.Connection, name: bytes) -> Record | None:
    row = database.execute(_SELECT, (name,)).fetchone()
    return None if row is None else _record(row)


def _record(row: tuple[bytes, bytes, bytes, bytes, int, int, int, int, int, int | None, int]) -> Record:
    return Record(*row[:-1], used=bool(row[-1]))


def _row(record: Record) -> tuple[bytes | int | None, ...]:
    return (
        record.name,
        record.owner,
        record.nonce,
        record.mac,
        record.digits,
        record.tries,
        record.expires_at,
        record.keep_until,
        record.resends,
        record.resend_at,
        int(record.used),
    )
