"""Make the journal's tables, bring old ones up to date, refuse what is not ours.

``user_version`` is the number of migrations that were carried out; each runs once, in a transaction with the others.
"""

import sqlite3
from typing import Final

from otp.pi.journal.errors import StorageError

APPLICATION_ID: Final = 0x4F54504A
"""What ``PRAGMA application_id`` says in our files: "OTPJ"."""

# `body` stands last, so that reading metadata skips it. A row is open until `ended` is set: the first index holds only
# what waits, and stays small however many rows have ended.
_FIRST: Final = """
CREATE TABLE meta (fingerprint TEXT NOT NULL);
CREATE TABLE messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    arrived REAL NOT NULL, deadline REAL NOT NULL, updated REAL NOT NULL, ended REAL,
    command TEXT NOT NULL, channel TEXT NOT NULL, receiver TEXT NOT NULL, receiver_key TEXT NOT NULL,
    message_id TEXT NOT NULL, road TEXT NOT NULL, user TEXT NOT NULL, priority INTEGER NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', modem TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
    possible_duplicate INTEGER NOT NULL DEFAULT 0, late INTEGER NOT NULL DEFAULT 0, duplicate_of INTEGER,
    length INTEGER NOT NULL, digest TEXT NOT NULL, body BLOB
);
CREATE INDEX messages_open ON messages (priority, number) WHERE ended IS NULL;
CREATE INDEX messages_ended ON messages (ended) WHERE ended IS NOT NULL;
CREATE TABLE parts (
    id INTEGER PRIMARY KEY, message INTEGER NOT NULL REFERENCES messages (number) ON DELETE CASCADE,
    generation INTEGER NOT NULL, part INTEGER NOT NULL, modem TEXT NOT NULL, state TEXT NOT NULL,
    reference INTEGER, delivered INTEGER, began REAL NOT NULL, decided REAL
);
CREATE INDEX parts_by_message ON parts (message);
CREATE INDEX parts_in_flight ON parts (modem) WHERE state = 'flight';
CREATE INDEX parts_by_reference ON parts (modem, reference) WHERE reference IS NOT NULL;
CREATE TABLE reports (
    id INTEGER PRIMARY KEY, modem TEXT NOT NULL, reference INTEGER NOT NULL, receiver_key TEXT NOT NULL,
    delivered INTEGER NOT NULL, at REAL NOT NULL, stored REAL NOT NULL
);
CREATE TABLE duplicates (key BLOB PRIMARY KEY, message INTEGER NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX duplicates_by_message ON duplicates (message);
CREATE INDEX duplicates_by_age ON duplicates (until);
CREATE TABLE counters (
    scope TEXT NOT NULL, name TEXT NOT NULL, span TEXT NOT NULL, starts REAL NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (scope, name, span, starts)
) WITHOUT ROWID;
CREATE TABLE counted (
    scope TEXT NOT NULL, name TEXT NOT NULL, span TEXT NOT NULL, starts REAL NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (scope, name, span, starts, value)
) WITHOUT ROWID;
CREATE TABLE blocked (receiver_key TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE inbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, modem TEXT NOT NULL, sender TEXT NOT NULL,
    sent_at REAL NOT NULL, arrived REAL NOT NULL, body BLOB NOT NULL
);
CREATE INDEX inbox_by_age ON inbox (arrived);
"""

MIGRATIONS: Final = (_FIRST,)

_TALLY: Final = "CREATE TEMP TABLE tally (state TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID"
"""How often rows came to each final state since the start; a table, so that a rollback takes its counts back."""


def configure(database: sqlite3.Connection) -> None:
    """Set what holds for one connection only."""
    database.row_factory = sqlite3.Row
    for pragma in ("busy_timeout = 10000", "foreign_keys = ON", "secure_delete = ON", "temp_store = MEMORY"):
        database.execute(f"PRAGMA {pragma}")
    database.execute(_TALLY)


def prepare(database: sqlite3.Connection, fingerprint: str) -> None:
    """Make a fresh file ours and bring an old one up to date.

    Args:
        database: In autocommit mode, configured.
        fingerprint: The key's.

    Raises:
        StorageError: The file is not ours, of a newer version, or sealed with another key.
        sqlite3.Error: It cannot be read or written.
    """
    check(database, fingerprint, fresh=True)
    database.execute("PRAGMA journal_mode = WAL").fetchone()
    database.execute("PRAGMA synchronous = FULL")
    database.execute(f"PRAGMA journal_size_limit = {8 << 20}")
    version = _pragma(database, "user_version")
    if version == len(MIGRATIONS):
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        _migrate(database, version, fingerprint)
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def check(database: sqlite3.Connection, fingerprint: str, *, fresh: bool) -> None:
    """Refuse a file that is not ours; with ``fresh`` an empty one is fine.

    Raises:
        StorageError: It is of another program, of a newer version, or sealed with another key.
    """
    owner, version = _pragma(database, "application_id"), _pragma(database, "user_version")
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if fresh and (owner, version, tables) == (0, 0, 0):
        return
    if owner != APPLICATION_ID:
        raise StorageError("journal.db belongs to another program. Name another data_dir.")
    if version > len(MIGRATIONS):
        raise StorageError(f"journal.db was made by a newer version ({version}, not {len(MIGRATIONS)}). Install that.")
    if database.execute("SELECT fingerprint FROM meta").fetchone()[0] != fingerprint:
        raise StorageError(
            "journal.db was sealed with another key. Put the old journal.key back; or, to begin anew with this key, "
            "remove journal.db: messages that wait in it are lost."
        )


def touch(database: sqlite3.Connection) -> None:
    """Write a page, and leave nothing new in it: only that shows whether something can be stored."""
    database.execute("INSERT INTO duplicates VALUES (x'', 0, 0)")  # an UPDATE to the same values writes nothing
    database.execute("DELETE FROM duplicates WHERE key = x''")


def _migrate(database: sqlite3.Connection, version: int, fingerprint: str) -> None:
    for script in MIGRATIONS[version:]:
        for statement in filter(str.strip, script.split(";")):
            database.execute(statement)
    if version == 0:
        database.execute("INSERT INTO meta VALUES (?)", (fingerprint,))
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])
