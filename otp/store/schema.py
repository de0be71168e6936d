"""Make or recognise the store's database file; refuse every other file."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otp.errors import StoreError

APPLICATION_ID = 0x4F545053
"""What ``PRAGMA application_id`` says in our files: "OTPS"."""

VERSION = 1
OLDEST_SQLITE = (3, 35, 0)
"""The first with ``RETURNING``."""

_WAL_ATTEMPTS_FOR = 10.0
"""Seconds to go on trying to switch a fresh file to WAL while other processes do the same."""

_SCHEMA = """
CREATE TABLE store (fingerprint TEXT NOT NULL);
CREATE TABLE otp (
    name BLOB PRIMARY KEY, owner BLOB NOT NULL, nonce BLOB NOT NULL, mac BLOB NOT NULL,
    digits INTEGER NOT NULL, tries INTEGER NOT NULL, expires_at INTEGER NOT NULL, keep_until INTEGER NOT NULL,
    resends INTEGER NOT NULL, resend_at INTEGER, used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX otp_by_age ON otp (keep_until);
CREATE TABLE issued (
    owner BLOB NOT NULL, at INTEGER NOT NULL, nonce BLOB NOT NULL, PRIMARY KEY (owner, at, nonce)
) WITHOUT ROWID;
CREATE INDEX issued_by_age ON issued (at);
"""


def prepare(connection: sqlite3.Connection, file: Path, fingerprint: str) -> None:
    """Make a fresh file ours, or check that it is.

    Args:
        connection: In autocommit mode.
        file: For error texts.
        fingerprint: The key's.

    Raises:
        StoreError: It belongs to another program, a newer version or another key, or is no database.
        sqlite3.Error: It cannot be read or written.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old; at least 3.35 is needed.")
    with _transaction(connection, "DEFERRED"):
        _check_owner(connection, file)
    _use_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {4 << 20}")
    with _transaction(connection, "IMMEDIATE"):
        _check_owner(connection, file)
        _make_or_check(connection, file, fingerprint)


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """See one state of the file throughout: other processes may be making it ours at this moment."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_owner(connection: sqlite3.Connection, file: Path) -> None:
    """Refuse a file of another program before anything in it is changed."""
    owner = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if (owner, version, tables) == (0, 0, 0):
        return
    if owner != APPLICATION_ID:
        raise StoreError(f"{file} belongs to another program. Name another cache_dir.")
    if version != VERSION:
        raise StoreError(f"{file} was made by another version ({version}, not {VERSION}). Name another cache_dir.")


def _make_or_check(connection: sqlite3.Connection, file: Path, fingerprint: str) -> None:
    if _pragma(connection, "application_id") == 0:
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO store VALUES (?)", (fingerprint,))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        return
    if connection.execute("SELECT fingerprint FROM store").fetchone()[0] != fingerprint:
        raise StoreError(
            f"{file} was filled under another key. Put the old key_file back; or, to begin anew with this key, "
            "remove the file: codes on their way become invalid."
        )


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; SQLite does not wait for its locks here, so this does."""
    deadline = time.monotonic() + _WAL_ATTEMPTS_FOR
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
