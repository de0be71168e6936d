"""Hold the open database with what every step on it needs: key and clock."""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from otp.pi.journal import files, schema
from otp.pi.journal.errors import StorageError, plain
from otp.pi.journal.sealing import Sealer

Clock = Callable[[], float]
CHECKPOINT_EVERY: Final = 60.0
"""Seconds that an erased body may survive in the write-ahead log."""


class Ledger:
    """The open journal, for one thread at a time.

    Attributes:
        database: In autocommit mode; transactions are explicit.
        sealer: What needs the key.
        clock: Returns Unix seconds.
        writes: Whether it may be written.
        erased: A body was erased, and the write-ahead log still has it.
    """

    __slots__ = ("_lock", "clock", "database", "erased", "sealer", "writes")

    def __init__(self, database: sqlite3.Connection, sealer: Sealer, clock: Clock, lock: int | None) -> None:
        self.database = database
        self.sealer = sealer
        self.clock = clock
        self.writes = lock is not None
        self.erased = self.writes  # whoever was killed may have left a log with erased bodies
        self._lock = lock

    def checkpoint(self) -> bool:
        """Move all there is in the write-ahead log to the database and cut it to nothing; return whether that was done.

        A process that reads at this moment prevents it; then it is to be tried again.
        """
        busy = self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        self.erased = self.erased and bool(busy)
        return not busy

    def close(self) -> None:
        """Leave one file behind that holds everything, and let go of it."""
        if self.writes:
            with suppress(sqlite3.Error):  # the log stays then, and the next start reads it
                self.checkpoint()
        self.database.close()
        if self._lock is not None:
            os.close(self._lock)


def open_ledger(directory: Path, clock: Clock = time.time, *, read_only: bool = False) -> Ledger:
    """Open the journal of a directory, making both where they are missing.

    Raises:
        StorageError: It cannot be opened, or is not ours.
    """
    return _open_to_read(directory, clock) if read_only else _open_to_write(directory, clock)


def _open_to_write(directory: Path, clock: Clock) -> Ledger:
    files.make_directory(directory)
    lock = files.lock(directory)
    try:
        sealer = Sealer(files.load_key(directory, make=True))
        database = _connect(files.make_database(directory), "rw", lambda each: schema.prepare(each, sealer.fingerprint))
    except BaseException:
        os.close(lock)
        raise
    return Ledger(database, sealer, clock, lock)


def _open_to_read(directory: Path, clock: Clock) -> Ledger:
    file = directory / files.DATABASE
    try:
        there = file.exists()
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}. Run this as the user that the OTP-Pi runs as.") from error
    if not there:
        raise StorageError(f"{directory} holds no journal. Name the data_dir of an OTP-Pi that has run.")
    sealer = Sealer(files.load_key(directory, make=False))
    database = _connect(file, "ro", lambda each: schema.check(each, sealer.fingerprint, fresh=False))
    return Ledger(database, sealer, clock, None)


def _connect(file: Path, mode: str, ready: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(
            f"file:{quote(str(file.absolute()))}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StorageError(plain(error)) from error
    try:
        schema.configure(database)
        ready(database)
    except sqlite3.Error as error:
        database.close()
        raise StorageError(plain(error)) from error
    except StorageError:
        database.close()
        raise
    return database
