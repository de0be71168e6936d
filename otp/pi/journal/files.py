"""Keep the journal's files: directory, key, database and lock, readable by their owner alone.

| file        | holds                                               | mode |
|-------------|-----------------------------------------------------|------|
| journal.key | 32 random bytes, made once, never overwritten       | 0600 |
| journal.db  | the journal (with -wal and -shm while it is open)   | 0600 |
| journal.lock| nothing; who holds its lock is the one that writes  | 0600 |

The key is on the disk before the database is, so that no crash leaves bodies that nobody can open.
"""

import fcntl
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from otp.pi.journal.errors import StorageError
from otp.pi.journal.sealing import KEY_BYTES

KEY: Final = "journal.key"
DATABASE: Final = "journal.db"
LOCK: Final = "journal.lock"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def make_directory(directory: Path) -> None:
    """Make the directory with mode 0700 where it is missing.

    Raises:
        StorageError: It cannot be made, or is none, or cannot be written to.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _told(directory, error) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise StorageError(f"data_dir {directory}: this user may not read and write it. Change its owner or mode.")


def lock(directory: Path) -> int:
    """Become the one that writes, and return the descriptor that holds the lock until it is closed.

    Raises:
        StorageError: Another process is, or the lock file cannot be made.
    """
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _told(directory / LOCK, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StorageError(
            f"data_dir {directory} is in use by another OTP-Pi. End that one, or give this one its own data_dir."
        ) from None
    return descriptor


def load_key(directory: Path, *, make: bool) -> bytes:
    """Return the key, making it at the first start.

    Args:
        directory: Where it is.
        make: Make it where it is missing, which is refused when there is a database already.

    Raises:
        StorageError: It is missing, others can read it, it has another size, or it cannot be read or made.
    """
    file = directory / KEY
    try:
        if make and not file.exists():
            _make_key(directory)
        return _read_key(file)
    except OSError as error:
        raise _told(file, error) from error


def make_database(directory: Path) -> Path:
    """Return the path of the database, which is made empty with mode 0600 where it is missing.

    Raises:
        StorageError: It cannot be made.
    """
    file = directory / DATABASE
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        _sync(directory)
    except OSError as error:
        raise _told(file, error) from error
    return file


def _make_key(directory: Path) -> None:
    """Write a complete key under another name, then link it to its own, which never overwrites."""
    if _has_content(directory / DATABASE):
        raise StorageError(
            f"{directory / KEY} is missing, and {DATABASE} was sealed with it. Restore it; or, to begin anew, "
            f"remove {DATABASE}: messages that wait in it are lost."
        )
    draft = directory / f".{KEY}.{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):
            os.link(draft, directory / KEY)
    finally:
        draft.unlink()
    _sync(directory)


def _read_key(file: Path) -> bytes:
    with file.open("rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if mode & _OTHERS:
            raise StorageError(f"{file} has mode {mode:04o}: others can reach it. Run: chmod 600 {file}")
        key = stream.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise StorageError(f"{file} is not a key, which has exactly {KEY_BYTES} bytes. Restore it from a backup.")
    return key


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _sync(directory: Path) -> None:
    """Have the names in a directory on the disk too: a file without one is lost with the power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _told(file: Path, error: OSError) -> StorageError:
    return StorageError(f"{file}: {error.strerror or error}. Name a data_dir that this user may make and write to.")
