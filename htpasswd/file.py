"""Password files on disk: load one for a server, edit one without losing anything.

An edit is read-modify-write under a lock: `flock` on the directory, so no lock file stays behind and the
rename below cannot pull the lock away from under a second editor. The new text goes to a temporary file
beside the old one, reaches the disk, and takes the old one's place in one rename: whoever reads meanwhile
sees the old or the new file, whole.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal

from htpasswd.hashes import scheme
from htpasswd.lines import Accounts, Content, Line, name_fault, parse, split, wrong_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator

Fault = Literal["missing", "unreadable", "empty", "no_usable_line", "locked", "unwritable"]

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes. Some 200,000 accounts; a wrong path must not fill the memory."""

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another editor. An edit takes milliseconds: the hash is computed before it starts."""

_LOCK_RETRY = 0.02  # seconds
_DEFAULT_LINE_END = b"\n"


class PasswordFileError(Exception):
    """A password file cannot be used or changed; the text names the file, the cause and the next step."""

    def __init__(self, path: str | os.PathLike[str], fault: Fault, message: str) -> None:
        super().__init__(f"password file {os.fspath(path)}: {message}")
        self.fault = fault
        """A token to branch on."""


def load(path: str | os.PathLike[str], *, allow_plaintext: bool = False) -> Accounts:
    """Read the accounts of a password file for a server.

    A file of comments only is taken as it stands: nobody may log in, on purpose.

    Args:
        path: the file; a symbolic link is followed.
        allow_plaintext: as for `htpasswd.hashes.scheme`.

    Raises:
        PasswordFileError: `missing`, `unreadable`, `empty` or `no_usable_line`. Whoever holds accounts
        already
            should keep them: an empty file is more often a write that failed than a wish to lock everyone
            out.
    """
    accounts = parse(read(path), allow_plaintext=allow_plaintext)
    if accounts.content is Content.EMPTY:
        raise PasswordFileError(
            path, "empty", f"it is empty. {_add_hint(path)}, or write a '#' comment to let nobody in"
        )
    if accounts.content is Content.UNUSABLE:
        count, first = len(accounts.problems), accounts.problems[0]
        lines = "its only line cannot" if count == 1 else f"none of its {count} lines can"
        raise PasswordFileError(path, "no_usable_line", f"{lines} be used ({first}). {_add_hint(path)}")
    return accounts


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a password file.

    Raises:
        PasswordFileError: `missing` or `unreadable` (no permission, no regular file, above 16 MiB).
    """
    return _read(path)[0]


class PasswordFile:
    """The lines of a password file under edit: what is not changed stays byte for byte."""

    __slots__ = ("_bom", "_lines")

    def __init__(self, data: bytes = b"") -> None:
        self._bom, self._lines = split(data)

    def __bytes__(self) -> bytes:
        return self._bom + b"".join(line.raw + line.end for line in self._lines)

    def __repr__(self) -> str:
        return f"<PasswordFile: {len(self._lines)} lines>"

    def set(self, user: str, stored: str) -> bool:
        """Give `user` the hash `stored`: in its line where it has one, else in a new line at the end.

        Later lines of the same user go: some readers let the last one win, and an old password must not live.

        Returns:
            Whether the user is new.

        Raises:
            ValueError: the name or the hash cannot stand in a password file.
        """
        if fault := name_fault(user) or scheme(stored).reason:
            raise ValueError(fault)
        places = [place for place, line in enumerate(self._lines) if line.user == user]
        if places:
            first = self._lines[places[0]]
            text = f"{user}:{stored}{first.comment}"
            self._lines[places[0]] = replace(first, raw=text.encode(), stored=stored)
            self._delete(places[1:])
        else:
            self._append(f"{user}:{stored}".encode(), user, stored)
        return not places

    def remove(self, user: str) -> None:
        """Remove every line of `user`, the unusable ones too.

        Raises:
            KeyError: there is no such user.
        """
        places = [place for place, line in enumerate(self._lines) if line.user == user]
        if not places:
            raise KeyError(user)
        self._delete(places)

    def users(self) -> list[str]:
        """Return each user name once, in the order of the file, the ones of unusable lines included."""
        return list(dict.fromkeys(line.user for line in self._lines if line.user is not None))

    def _delete(self, places: list[int]) -> None:
        for place in reversed(places):
            del self._lines[place]

    def _append(self, raw: bytes, user: str, stored: str) -> None:
        """Append a line with the line end of the others, and end the one before where it was left open."""
        end = next((line.end for line in reversed(self._lines) if line.end), _DEFAULT_LINE_END)
        if self._lines and not self._lines[-1].end:
            self._lines[-1] = replace(self._lines[-1], end=end)
        self._lines.append(Line(raw, end, user, stored))


@contextmanager
def edit(
    path: str | os.PathLike[str], *, create: bool = False, lock_timeout: float = LOCK_TIMEOUT
) -> Iterator[PasswordFile]:
    """Open a password file for editing, alone, and save it at the end of the block if it changed.

    When the block raises, nothing is saved. The saved file keeps the mode, the extended attributes (so the
    ACL) and, where permitted, the owner of the old one; a new file gets mode 0600. Of a symbolic link the
    target is replaced; hard links to the old file keep the old text.

    Args:
        path: the file.
        create: start from nothing when there is no such file.
        lock_timeout: seconds to wait while somebody else edits in the same directory.

    Raises:
        PasswordFileError: `missing` (and `create` is false), `unreadable`, `locked` or `unwritable`;
        nothing was
            saved.
    """
    target = Path(os.path.realpath(path))
    with _locked(path, target.parent, lock_timeout) as directory:
        before, status = _read_or_create(path, create=create)
        document = PasswordFile(before)
        yield document
        after = bytes(document)
        if after != before or status is None:
            try:
                _save(target, after, status, directory)
            except OSError as error:
                raise PasswordFileError(path, "unwritable", f"cannot be written: {_why(error)}") from error


def _read(path: str | os.PathLike[str]) -> tuple[bytes, os.stat_result]:
    """Return the bytes and the status of a regular file of reasonable size."""
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PasswordFileError(path, "unreadable", "it is not a regular file")
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise PasswordFileError(path, "missing", f"there is no such file. {_add_hint(path)}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise PasswordFileError(path, "unreadable", f"cannot be read: {_why(error)}") from error
    if len(data) > LARGEST_FILE:
        message = f"it is larger than {LARGEST_FILE} bytes; is it the right file?"
        raise PasswordFileError(path, "unreadable", message)
    return data, status


def _open_at_once(path: str, flags: int) -> int:
    """Open a file to read; a FIFO would otherwise wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _read_or_create(path: str | os.PathLike[str], *, create: bool) -> tuple[bytes, os.stat_result | None]:
    """Read the file to edit; nothing and no status when it is to be created."""
    try:
        data, status = _read(path)
    except PasswordFileError as error:
        if create and error.fault == "missing":
            return b"", None
        raise
    if wrong := wrong_encoding(data):
        raise PasswordFileError(path, "unreadable", wrong)
    return data, status


@contextmanager
def _locked(path: str | os.PathLike[str], parent: Path, timeout: float) -> Iterator[int]:
    """Hold the lock on `parent`, the directory of the file; yields the descriptor of the directory."""
    try:
        directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = f"its directory {parent} cannot be opened: {_why(error)}"
        raise PasswordFileError(path, "unwritable", message) from error
    try:
        _lock(directory, path, time.monotonic() + timeout)
        yield directory
    finally:
        os.close(directory)  # and with it the lock goes


def _lock(directory: int, path: str | os.PathLike[str], deadline: float) -> None:
    """Take the lock, or give up at `deadline` (monotonic seconds)."""
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                message = "somebody else is editing in its directory; try again when that has ended"
                raise PasswordFileError(path, "locked", message) from error
            time.sleep(_LOCK_RETRY)
        except OSError as error:
            message = f"its directory cannot be locked: {_why(error)}"
            raise PasswordFileError(path, "locked", message) from error
        else:
            return


def _save(target: Path, data: bytes, status: os.stat_result | None, directory: int) -> None:
    """Put `data` in the place of `target`: temporary file, to the disk, rename, directory to the disk."""
    descriptor, temporary = tempfile.mkstemp(prefix=".htpasswd-", dir=target.parent)  # mode 0600
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - pathlib opens no descriptors
            stream.write(data)
            stream.flush()
            if status is not None:
                _inherit(descriptor, target, status)
            os.fsync(descriptor)
        os.replace(temporary, target)  # noqa: PTH105 - a plain call, like the fsync calls around it
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - as above
        raise
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in {
            errno.EINVAL,
            errno.ENOTSUP,
        }:  # some file systems cannot do that for a directory
            raise


def _inherit(descriptor: int, target: Path, status: os.stat_result) -> None:
    """Give a new file the owner, the extended attributes and the mode of the old one, as far as permitted."""
    mode = status.st_mode & 0o777
    with suppress(OSError):
        os.fchown(descriptor, status.st_uid, -1)
    try:
        os.fchown(descriptor, -1, status.st_gid)
    except OSError:
        # As vim does: a group that could not be kept must not hand its rights to another one.
        mode = mode & 0o707 | (mode & 0o007) << 3
    with suppress(OSError):
        for name in os.listxattr(target):
            with suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(target, name))
    os.fchmod(descriptor, mode)  # last: setting an ACL changes the bits of the group


def _why(error: Exception) -> str:
    """Say in words why the system refused."""
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.EBUSY:
        return "it is a mount point, which cannot be replaced; mount its directory instead"
    return (error.strerror or str(error)).lower()


def _add_hint(path: str | os.PathLike[str]) -> str:
    """Say how to add an account."""
    return f"Add an account: python -m htpasswd add --file {quote(os.fspath(path))} USER"
