"""Password files on disk: loaded, edited, never half written."""

import contextlib
import errno
import fcntl
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import htpasswd
from htpasswd import file as file_module
from htpasswd.file import PasswordFileError, edit, load
from htpasswd.lines import Content

SHA = "{SHA}PUkSovNmiq8EkRemJdSniuPfezM="
APR1 = "$apr1$WZivYkZP$2BP4HoAQvzqdrDT36IoI01"
ROOT = Path(htpasswd.__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the place of a password file that does not exist yet."""
    return tmp_path / ".htpasswd"


def raises(fault: str, message: str) -> pytest.RaisesExc[PasswordFileError]:
    """Expect a `PasswordFileError` with this token and exactly this text after its path."""
    text = rf"password file \S+: {re.escape(message)}\Z"
    return pytest.RaisesExc(PasswordFileError, match=text, check=lambda error: error.fault == fault)


def names(directory: Path) -> list[str]:
    """Return what lies in a directory."""
    return sorted(entry.name for entry in directory.iterdir())


# Loading


def test_load_accounts(path: Path) -> None:
    """A server gets the usable accounts and the problems."""
    path.write_text(f"alice:{SHA}\nbob\n")
    accounts = load(path)
    assert dict(accounts) == {"alice": SHA}
    assert [str(problem) for problem in accounts.problems] == ["line 2: no colon between user and hash"]


def test_load_plaintext_only_when_allowed(path: Path) -> None:
    """Plain text counts only for whoever allows it."""
    path.write_text(f"alice:secret\nbob:{SHA}\n")
    assert list(load(path)) == ["bob"]
    assert dict(load(path, allow_plaintext=True)) == {"alice": "secret", "bob": SHA}


def test_load_comments_only(path: Path) -> None:
    """A file of comments lets nobody in, on purpose: that is no error."""
    path.write_text("# maintenance\n")
    assert load(path).content is Content.COMMENTS


def test_load_missing(path: Path) -> None:
    """A missing file is told with the command that makes it."""
    hint = f"there is no such file. Add an account: python -m htpasswd add --file {path} USER"
    with raises("missing", hint):
        load(path)


@pytest.mark.parametrize("data", [b"", b"\n \r\n"], ids=["nothing", "blank lines"])
def test_load_empty(path: Path, data: bytes) -> None:
    """An empty file has a reason of its own: more often it is a write that failed."""
    path.write_bytes(data)
    hint = f"Add an account: python -m htpasswd add --file {path} USER"
    with raises("empty", f"it is empty. {hint}, or write a '#' comment to let nobody in"):
        load(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("alice\n", "its only line cannot be used (line 1: no colon between user and hash)."),
        (
            "# x\nalice:\nbob:\n",
            "none of its 2 lines can be used (line 2 (user 'alice'): no hash after the colon).",
        ),
    ],
)
def test_load_without_a_usable_line(path: Path, data: str, message: str) -> None:
    """A file without a usable line is told with the first reason."""
    path.write_text(data)
    with raises("no_usable_line", f"{message} Add an account: python -m htpasswd add --file {path} USER"):
        load(path)


def test_load_directory(tmp_path: Path) -> None:
    """A directory is no password file."""
    with raises("unreadable", "cannot be read: is a directory"):
        load(tmp_path)


def test_load_fifo(path: Path) -> None:
    """A FIFO without a writer is refused at once; a server would wait for ever."""
    os.mkfifo(path)
    with raises("unreadable", "it is not a regular file"):
        load(path)


def test_load_without_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is told as such, for root and for everyone else."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with raises("unreadable", "cannot be read: permission denied"):
        load(path)


def test_load_impossible_path() -> None:
    """A NUL in the path is a clear error too."""
    with pytest.raises(PasswordFileError, match="cannot be read: embedded null byte"):
        load("a\0b")


def test_load_too_large(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is not taken into memory, one at the limit is."""
    path.write_text(f"alice:{SHA}\n")
    monkeypatch.setattr(file_module, "LARGEST_FILE", path.stat().st_size)
    assert list(load(path)) == ["alice"]
    path.write_text(f"alice:{SHA}\n\n")
    with raises("unreadable", f"it is larger than {path.stat().st_size - 1} bytes; is it the right file?"):
        load(path)


def test_load_leaves_no_descriptor_open(path: Path, tmp_path: Path) -> None:
    """Failing again and again, as a watching server does, uses up nothing."""
    path.write_text("")
    before = len(names(Path("/proc/self/fd")))
    for target in (path, tmp_path, tmp_path / "none"):
        with contextlib.suppress(PasswordFileError):
            load(target)
    assert len(names(Path("/proc/self/fd"))) == before


# Saving


def test_edit_creates(path: Path, tmp_path: Path) -> None:
    """A new file is readable by its owner alone, whatever the umask, and nothing lies beside it."""
    old = os.umask(0)
    try:
        with edit(path, create=True) as document:
            document.set("alice", SHA)
    finally:
        os.umask(old)
    assert path.read_text() == f"alice:{SHA}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == [".htpasswd"]


def test_edit_missing(path: Path, tmp_path: Path) -> None:
    """Without `create` a missing file is an error and stays missing."""
    with pytest.raises(PasswordFileError, match="there is no such file"), edit(path):
        raise AssertionError
    assert names(tmp_path) == []


def test_edit_missing_directory(tmp_path: Path) -> None:
    """A missing directory is told by name."""
    directory = tmp_path / "none"
    message = f"its directory {directory} cannot be opened: no such file or directory"
    with raises("unwritable", message), edit(directory / "file", create=True):
        raise AssertionError


def test_edit_utf_16(path: Path) -> None:
    """A UTF-16 file is not edited: a line of UTF-8 in it would ruin it."""
    path.write_text("alice", encoding="utf-16")
    with raises("unreadable", "the file is UTF-16; save it as UTF-8"), edit(path):
        raise AssertionError


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o400, 0o660])
def test_edit_keeps_the_mode(path: Path, mode: int) -> None:
    """The mode that lets the server read the file is kept."""
    path.write_text("")
    path.chmod(mode)
    with edit(path) as document:
        document.set("alice", SHA)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == f"alice:{SHA}\n"


def test_edit_keeps_the_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Owner and group of the old file are asked for."""
    path.write_text("")
    status = path.stat()
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, user, group: asked.append((user, group)))
    with edit(path) as document:
        document.set("alice", SHA)
    assert asked == [(status.st_uid, -1), (-1, status.st_gid)]


def test_edit_where_the_group_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the group cannot be kept, the group that comes instead gets no more than the others have."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    path.write_text("")
    path.chmod(0o660)
    monkeypatch.setattr(os, "fchown", refuse)
    with edit(path) as document:
        document.set("alice", SHA)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_edit_keeps_extended_attributes(path: Path) -> None:
    """Extended attributes, and with them access control lists, go over to the new file."""
    path.write_text("")
    try:
        os.setxattr(path, "user.note", b"for the broker")
    except OSError as error:
        pytest.skip(f"this file system has no extended attributes: {error}")
    with edit(path) as document:
        document.set("alice", SHA)
    assert os.getxattr(path, "user.note") == b"for the broker"


def test_edit_without_change(path: Path) -> None:
    """An edit that changes nothing writes nothing."""
    path.write_text(f"alice:{SHA}\n")
    before = path.stat()
    with edit(path) as document:
        document.set("alice", SHA)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_edit_that_raises(path: Path, tmp_path: Path) -> None:
    """When the block raises, its own exception comes through and nothing was saved."""
    path.write_text(f"alice:{SHA}\n")

    def change_and_fail() -> None:
        with edit(path) as document:
            document.set("bob", SHA)
            raise OSError("my own")

    with pytest.raises(OSError, match="my own"):
        change_and_fail()
    assert path.read_text() == f"alice:{SHA}\n"
    assert names(tmp_path) == [".htpasswd"]


@pytest.mark.parametrize("absolute", [True, False])
def test_edit_through_a_link(tmp_path: Path, absolute: bool) -> None:
    """A symbolic link stays a link; its target is replaced, in the directory of the target."""
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    target, link = tmp_path / "real" / "accounts", tmp_path / "links" / ".htpasswd"
    target.write_text(f"alice:{SHA}\n")
    link.symlink_to(target if absolute else Path("../real/accounts"))
    with edit(link) as document:
        document.set("bob", APR1)
    assert link.is_symlink()
    assert target.read_text() == link.read_text() == f"alice:{SHA}\nbob:{APR1}\n"
    assert (names(tmp_path / "real"), names(tmp_path / "links")) == (["accounts"], [".htpasswd"])


def test_edit_through_a_dangling_link(tmp_path: Path) -> None:
    """A link to nowhere gets its target made."""
    link = tmp_path / ".htpasswd"
    link.symlink_to("accounts")
    with edit(link, create=True) as document:
        document.set("alice", SHA)
    assert link.is_symlink()
    assert (tmp_path / "accounts").read_text() == f"alice:{SHA}\n"


def test_edit_through_a_loop_of_links(tmp_path: Path) -> None:
    """Links in a circle are an error, not a hang."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PasswordFileError, match="too many levels of symbolic links"), edit(tmp_path / "a"):
        raise AssertionError


def test_save_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new text is on the disk before it takes the name: power may fail at any time."""
    path.write_text(f"alice:{SHA}\n")
    steps: list[str] = []
    fsync, rename = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        if kind == "file":
            assert os.pread(descriptor, 1000, 0) == f"alice:{APR1}\n".encode()
        steps.append(f"fsync {kind}")
        fsync(descriptor)

    def recorded_replace(source: str, target: Path) -> None:
        assert Path(source).parent == target.parent
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    with edit(path) as document:
        document.set("alice", APR1)
    assert steps == ["fsync file", "rename", "fsync directory"]


@pytest.mark.parametrize(
    ("call", "code", "why"),
    [
        ("fsync", errno.EIO, "input/output error"),
        ("fsync", errno.ENOSPC, "no space left on device"),
        ("replace", errno.EROFS, "read-only file system"),
        (
            "replace",
            errno.EBUSY,
            "it is a mount point, which cannot be replaced; mount its directory instead",
        ),
        ("fchmod", errno.EPERM, "operation not permitted"),
    ],
)
def test_save_fails(path: Path, monkeypatch: pytest.MonkeyPatch, *, call: str, code: int, why: str) -> None:
    """When saving fails the old file is whole, nothing lies beside it, and the reason is told."""

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    path.write_text(f"alice:{SHA}\n")
    before = path.stat()
    monkeypatch.setattr(os, call, fail)
    with raises("unwritable", f"cannot be written: {why}"), edit(path) as document:
        document.set("bob", SHA)
    assert path.read_text() == f"alice:{SHA}\n"
    assert path.stat().st_ino == before.st_ino
    assert names(path.parent) == [".htpasswd"]


def test_save_that_is_interrupted(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while saving leaves the old file whole and nothing beside it."""

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path.write_text(f"alice:{SHA}\n")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt), edit(path) as document:
        document.set("bob", SHA)
    assert path.read_text() == f"alice:{SHA}\n"
    assert names(tmp_path) == [".htpasswd"]


def fail_to_sync_directories(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Let `fsync` fail with `code` for directories, and work for files."""
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_save_where_directories_have_no_sync(path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A file system that cannot sync a directory is no error."""
    fail_to_sync_directories(monkeypatch, code)
    with edit(path, create=True) as document:
        document.set("alice", SHA)
    assert path.read_text() == f"alice:{SHA}\n"


def test_save_where_the_directory_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails after the rename is told: the file is new, whether it lasts is not known."""
    fail_to_sync_directories(monkeypatch, errno.EIO)
    with raises("unwritable", "cannot be written: input/output error"), edit(path, create=True) as document:
        document.set("alice", SHA)
    assert path.read_text() == f"alice:{SHA}\n"


# One editor at a time


def test_edit_while_somebody_else_edits(path: Path) -> None:
    """Whoever waits in vain for the lock is told so, and the lock is free when the other one has ended."""
    path.write_text(f"alice:{SHA}\n")
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        message = "somebody else is editing in its directory; try again when that has ended"
        with raises("locked", message), edit(path, lock_timeout=0.05):
            raise AssertionError
    finally:
        os.close(directory)
    with edit(path, lock_timeout=0) as document:
        document.set("bob", SHA)
    with edit(path, lock_timeout=0) as document:
        assert document.users() == ["alice", "bob"]


def test_edit_where_nothing_can_be_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks is told, rather than edited at the risk of losing an account."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with raises("locked", "its directory cannot be locked: no locks available"), edit(path, create=True):
        raise AssertionError


WRITER = f"""
import sys
from htpasswd import edit
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    with edit(sys.argv[1], create=True) as document:
        document.set(f"{{sys.argv[2]}}{{number}}", {SHA!r})
"""


def test_concurrent_edits(path: Path) -> None:
    """Two processes that add 40 users each, at the same time, lose none; a reader never sees half a file."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, name],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in ("a", "b")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        seen = 0
        while any(writer.poll() is None for writer in writers):
            if path.exists():
                accounts = load(path)
                assert accounts.problems == ()
                assert len(accounts) >= seen
                seen = len(accounts)
    finally:
        for writer in writers:
            writer.communicate(timeout=30)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert set(load(path)) == {f"{name}{number}" for name in "ab" for number in range(40)}
    assert names(path.parent) == [".htpasswd"]
