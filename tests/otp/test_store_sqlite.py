"""What the SQLite store promises beyond the contract: about its files."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from otp.codes import ResponseCode
from otp.errors import StoreError
from otp.store import OtpPolicy, session, sqlite_store

if TYPE_CHECKING:
    from pathlib import Path

    from otp.store import OtpStore
    from tests.otp.conftest import Clock, Opener

RECEIVER = "+628126666666"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def records(opener: Opener, table: str = "otp") -> int:
    """Count rows, seen through a connection of the test's own."""
    with sqlite3.connect(opener.folder / "cache" / "otp.sqlite3") as database:
        found: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    database.close()
    return found


def make(store: OtpStore, count: int = 1, lifetime: int = 60) -> None:
    for number in range(count):
        store.create(receiver=f"+628126{number:06}", reference=f"{number}-{count}", lifetime=lifetime)


def test_files_belong_to_their_owner_alone(sqlite_opener: Opener) -> None:
    """The directory comes with mode 0700, every file in it with 0600, whatever the umask allows."""
    before = os.umask(0)
    try:
        make(sqlite_opener())
    finally:
        os.umask(before)
    folder = sqlite_opener.folder / "cache"
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == {
        "otp.sqlite3": 0o600,
        "otp.sqlite3-wal": 0o600,
        "otp.sqlite3-shm": 0o600,
    }


def test_directory_that_exists_keeps_its_mode(sqlite_opener: Opener) -> None:
    """A directory somebody made is used as it is."""
    folder = sqlite_opener.folder / "cache"
    folder.mkdir(mode=0o755)
    make(sqlite_opener())
    assert mode(folder) == 0o755


def test_nothing_readable_in_the_files(sqlite_opener: Opener) -> None:
    """Neither code nor receiver, reference or parameter is found in any file of the store."""
    store = sqlite_opener()
    issued = store.create(receiver="canary@example.com", reference="canary-reference", params=["canary-param"])
    number = store.create(receiver=RECEIVER, reference="canary-2")
    store.verify(receiver=RECEIVER, reference="canary-2", otp=issued.code)
    kept = b"".join(path.read_bytes() for path in (sqlite_opener.folder / "cache").iterdir())
    assert len(kept) > 1000
    for secret in ("canary", RECEIVER.strip("+"), issued.code, number.code):
        assert secret.encode() not in kept


def test_records_go_by_themselves(sqlite_opener: Opener, clock: Clock) -> None:
    """Making codes is enough for old records and stamps to go."""
    store = sqlite_opener(OtpPolicy(keep=10))
    make(store, 50)
    clock.advance(86_401)
    make(store, 128)
    assert (records(sqlite_opener), records(sqlite_opener, "issued")) == (128, 128)


def test_records_go_at_the_first_code_of_a_process(sqlite_opener: Opener, clock: Clock) -> None:
    """A process that makes one code and ends cleans up as well."""
    make(sqlite_opener(), 50)
    clock.advance(86_401)
    make(sqlite_opener(), 1)
    assert records(sqlite_opener) == 1


def test_sweep(sqlite_opener: Opener, clock: Clock) -> None:
    """Sweeping removes what is past its time and nothing else, and says how much."""
    store = sqlite_opener(OtpPolicy(keep=10))
    make(store, 3, lifetime=60)
    make(store, 2, lifetime=300)
    clock.advance(70)
    assert store.sweep() == 3
    assert (records(sqlite_opener), store.sweep()) == (2, 0)


def test_foreign_files_stay(sqlite_opener: Opener, clock: Clock) -> None:
    """Nothing but the store's own files is touched, however old and whatever its name."""
    folder = sqlite_opener.folder / "cache"
    folder.mkdir()
    names = ("notes.txt", "0123456789abcdef0123456789abcdef.bin", "otp.sqlite3.bak", "other.sqlite3")
    for name in names:
        (folder / name).write_text("mine")
        os.utime(folder / name, (0, 0))
    store = sqlite_opener(OtpPolicy(keep=0))
    make(store, 200)
    clock.advance(86_401)
    store.sweep()
    store.close()
    assert {path.name for path in folder.iterdir()} == {*names, "otp.sqlite3"}
    assert {(folder / name).read_text() for name in names} == {"mine"}
    assert {(folder / name).stat().st_mtime for name in names} == {0}


def refusal_of(opener: Opener) -> str:
    with pytest.raises(StoreError) as refusal:
        opener()
    assert (refusal.value.code, refusal.value.reason) == ("1102", "store_unavailable")
    return str(refusal.value)


def test_file_of_another_program(sqlite_opener: Opener) -> None:
    """A database that belongs to somebody else is refused and left as it is."""
    folder = sqlite_opener.folder / "cache"
    folder.mkdir()
    with sqlite3.connect(folder / "otp.sqlite3") as database:
        database.execute("CREATE TABLE theirs (a)")
    database.close()
    before = (folder / "otp.sqlite3").read_bytes()
    assert "belongs to another program. Name another cache_dir." in refusal_of(sqlite_opener)
    assert (folder / "otp.sqlite3").read_bytes() == before


def test_file_that_is_no_database(sqlite_opener: Opener) -> None:
    """A file that is no database is refused and left as it is."""
    folder = sqlite_opener.folder / "cache"
    folder.mkdir()
    (folder / "otp.sqlite3").write_text("somebody's notes, long enough to be looked at as a header" * 20)
    assert "It belongs to something else: name another cache_dir." in refusal_of(sqlite_opener)
    assert (folder / "otp.sqlite3").read_text().startswith("somebody's notes")


def test_file_that_is_a_directory(sqlite_opener: Opener) -> None:
    """A directory in the place of the file is refused."""
    (sqlite_opener.folder / "cache" / "otp.sqlite3").mkdir(parents=True)
    assert "Let this user write there." in refusal_of(sqlite_opener)


def test_file_of_a_newer_version(sqlite_opener: Opener) -> None:
    """A file of a version to come is refused."""
    make(sqlite_opener())
    sqlite_opener.opened.close()
    with sqlite3.connect(sqlite_opener.folder / "cache" / "otp.sqlite3") as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    assert "was made by another version (2, not 1)" in refusal_of(sqlite_opener)


def test_file_filled_under_another_key(sqlite_opener: Opener) -> None:
    """A lost key is told at the start, with what to do; codes do not silently become wrong."""
    make(sqlite_opener())
    (sqlite_opener.folder / "otp.key").unlink()
    assert "was filled under another key. Put the old key_file back" in refusal_of(sqlite_opener)


def test_directory_that_cannot_be_made(sqlite_opener: Opener) -> None:
    """A file in the way of the directory is named."""
    (sqlite_opener.folder / "cache").write_text("in the way")
    text = refusal_of(sqlite_opener)
    assert f"cache_dir {sqlite_opener.folder / 'cache'}: " in text
    assert "Name a directory this user may make and write to." in text


def test_file_locked_for_long(sqlite_opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that another process does not let go of ends in a clear refusal, and then work goes on."""
    monkeypatch.setattr(session, "BUSY_TIMEOUT", 0.05)
    store = sqlite_opener()
    other = sqlite3.connect(sqlite_opener.folder / "cache" / "otp.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Another process kept it locked"):
        make(store)
    other.execute("ROLLBACK")
    other.close()
    make(store)


def test_file_removed_while_open(sqlite_opener: Opener) -> None:
    """When somebody's clean-up removes the file, work goes on with a new one that everybody finds."""
    store = sqlite_opener()
    make(store)
    for path in (sqlite_opener.folder / "cache").iterdir():
        path.unlink()
    code = store.create(receiver=RECEIVER, reference="after").code
    assert sqlite_opener().verify(receiver=RECEIVER, reference="after", otp=code) is ResponseCode.SUCCESS


def test_file_removed_under_many_threads(sqlite_opener: Opener) -> None:
    """Threads that meet a removed file at the same moment all go on."""
    store = sqlite_opener(OtpPolicy(windows=()))
    barrier = threading.Barrier(8)
    failures = []

    def work(number: int) -> None:
        barrier.wait()
        try:
            store.create(receiver=RECEIVER, reference=number)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            failures.append(error)

    (sqlite_opener.folder / "cache" / "otp.sqlite3").unlink()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failures, records(sqlite_opener)) == ([], 8)


def test_closed_store(sqlite_opener: Opener) -> None:
    """A closed store says so."""
    store = sqlite_opener()
    store.close()
    with pytest.raises(StoreError, match="The store is closed"):
        make(store)


def test_codes_survive_a_restart(sqlite_opener: Opener) -> None:
    """What one process made is there after it has ended."""
    store = sqlite_opener()
    code = store.create(receiver=RECEIVER, reference="r").code
    store.close()
    assert sqlite_opener().verify(receiver=RECEIVER, reference="r", otp=code) is ResponseCode.SUCCESS


def test_broken_file(sqlite_opener: Opener) -> None:
    """A damaged file is refused with what to do."""
    store = sqlite_opener()
    make(store, 200)
    store.close()
    file = sqlite_opener.folder / "cache" / "otp.sqlite3"
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    file.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="Remove it to begin anew"):
        make(sqlite_opener(), 200)


def test_key_inside_the_directory(tmp_path: Path) -> None:
    """The key beside the codes would be worthless: it is refused."""
    with pytest.raises(StoreError, match="lies in cache_dir"):
        sqlite_store(tmp_path / "cache", tmp_path / "cache" / "otp.key")
    assert not (tmp_path / "cache").exists()
