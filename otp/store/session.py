"""Hold one process's connection to the store's database file, and renew it when it must not be used any more."""

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otp.errors import StoreError
from otp.store.schema import prepare

BUSY_TIMEOUT = 10.0
"""Seconds to wait for other processes' writes: thousands of them fit into one second."""


class _Connection:
    """An open database.

    Attributes:
        database: In autocommit mode; transactions are explicit.
        lock: Held during each step.
        process: The process it belongs to: SQLite connections must not be used across a fork.
        identity: Device and inode of the file it has open.
    """

    __slots__ = ("database", "identity", "lock", "process")

    def __init__(self, file: Path, fingerprint: str) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        _make_file(file)
        self.database = sqlite3.connect(file, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            prepare(self.database, file, fingerprint)
            self.identity = _identity(file)
        except BaseException:
            self.database.close()
            raise

    def usable(self, file: Path) -> bool:
        """Tell whether this process opened it and the path still leads to the file it has open."""
        return self.process == os.getpid() and self.identity == _identity(file)

    def let_go(self) -> None:
        """Close it after the step in hand, or keep it for ever if it is a parent's."""
        if self.process != os.getpid():
            _inherited.append(self)
            return
        with self.lock:
            self.database.close()


_inherited: list[_Connection] = []
"""Connections of a parent process, kept from being closed here: closing would disturb the parent's locks."""


class Session:
    """The connection in use.

    It is renewed after a fork (a server that loads the application first and forks its workers then) and when
    the file was removed (by somebody's clean-up job): work goes on with a new file.

    Attributes:
        file: The database.
    """

    __slots__ = ("_current", "_fingerprint", "_renewing", "file")

    def __init__(self, file: Path, fingerprint: str) -> None:
        """Open the file, making it with mode 0600 if there is none.

        Raises:
            StoreError: It cannot be opened, or is not ours.
        """
        self.file = file
        self._fingerprint = fingerprint
        self._renewing = threading.Lock()
        with self._clear_errors():
            self._current: _Connection | None = _Connection(file, fingerprint)

    @contextmanager
    def step(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time, for statements that are atomic by themselves.

        Raises:
            StoreError: The database cannot be used.
        """
        with self._clear_errors():
            while True:
                current = self._usable()
                with current.lock:
                    if current is self._current:  # else another thread renewed or closed it just now
                        yield current.database
                        return

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread at a time, with the write lock held until the end.

        Raises:
            StoreError: The database cannot be used; nothing was changed.
        """
        with self.step() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the connection; further steps are refused. Closing twice is fine."""
        with self._renewing:
            current, self._current = self._current, None
            if current is not None:
                current.let_go()

    def _usable(self) -> _Connection:
        """Return the connection, renewed where it is another process's or another file's."""
        current = self._current
        if current is not None and current.usable(self.file):
            return current
        with self._renewing:
            current = self._current
            if current is None:
                raise StoreError("The store is closed.")
            if not current.usable(self.file):
                self._current = _Connection(self.file, self._fingerprint)
                current.let_go()
            return self._current or current

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"{self.file}: {error}. {_advice(error)}") from error
        except OSError as error:
            raise StoreError(f"{self.file}: {error.strerror or error}. Let this user write there.") from error


def _make_file(file: Path) -> None:
    """Make the database file if there is none, readable by its owner alone, as SQLite's own files beside it."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what tells two files of one name apart; ``None`` when there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{file} is not a file. Name another cache_dir.")
    return found.st_dev, found.st_ino


def _advice(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_NOTADB":
        return "It belongs to something else: name another cache_dir."
    if name.startswith("SQLITE_CORRUPT"):
        return "Remove it to begin anew: codes on their way become invalid."
    if name == "SQLITE_FULL":
        return "Make room on the disk."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"Another process kept it locked for {BUSY_TIMEOUT:.0f} s; see whether one hangs."
    return "See that this user may write to its directory, on a local disk."
