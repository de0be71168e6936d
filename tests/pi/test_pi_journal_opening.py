"""Opening and closing the journal, and what its worker does when something fails."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from otp.pi.journal import Journal, StorageError
from otp.pi.journal.errors import plain
from otp.pi.journal.ledger import Ledger, open_ledger
from otp.pi.journal.sealing import DamagedError, Sealer
from otp.pi.journal.worker import MAX_BATCH
from tests.pi.journal_messages import new, opened


async def test_files_are_private(tmp_path: Path) -> None:
    """Directory and files are for their owner alone."""
    directory = tmp_path / "a" / "b"
    async with opened(directory) as journal:
        await journal.accept(new())
        assert directory.stat().st_mode & 0o777 == 0o700
        assert {each.stat().st_mode & 0o777 for each in directory.iterdir()} == {0o600}
    assert {each.name for each in directory.iterdir()} == {"journal.db", "journal.key", "journal.lock"}


async def test_another_key(tmp_path: Path) -> None:
    """A journal sealed with another key is refused, also for reading, and the way back is told."""
    async with opened(tmp_path):
        pass
    (tmp_path / "journal.key").write_bytes(b"k" * 32)
    for read_only in (False, True):
        with pytest.raises(StorageError, match=r"another key\. Put the old journal\.key back"):
            await Journal.open(tmp_path, read_only=read_only)


async def test_key_that_is_gone(tmp_path: Path) -> None:
    """No new key is made for a journal that was sealed with one."""
    async with opened(tmp_path):
        pass
    (tmp_path / "journal.key").unlink()
    with pytest.raises(StorageError, match=r"is missing, and journal\.db was sealed with it"):
        await Journal.open(tmp_path)
    with pytest.raises(StorageError, match="No such file"):
        await Journal.open(tmp_path, read_only=True)


@pytest.mark.parametrize(("key", "mode", "words"), [(b"short", 0o600, "exactly 32"), (b"k" * 32, 0o644, "chmod 600")])
async def test_key_that_is_none(tmp_path: Path, key: bytes, mode: int, words: str) -> None:
    """A key of another size, or one that others can read, is refused."""
    file = tmp_path / "journal.key"
    file.write_bytes(key)
    file.chmod(mode)
    with pytest.raises(StorageError, match=words):
        await Journal.open(tmp_path)


async def test_directory_that_is_a_file(tmp_path: Path) -> None:
    """A data_dir that cannot be made is refused with what to do."""
    (tmp_path / "file").touch()
    for read_only in (False, True):
        with pytest.raises(StorageError, match="data_dir"):
            await Journal.open(tmp_path / "file" / "x", read_only=read_only)


async def test_directory_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data_dir that this user may not write to is refused; root may, so the question is answered for it."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match="this user may not read and write it"):
        await Journal.open(tmp_path)


@pytest.mark.parametrize("name", ["journal.lock", "journal.db"])
async def test_file_that_is_a_directory(tmp_path: Path, name: str) -> None:
    """Files that cannot be opened are named."""
    (tmp_path / name).mkdir()
    (tmp_path / "journal.key").write_bytes(b"k" * 32)
    (tmp_path / "journal.key").chmod(0o600)
    with pytest.raises(StorageError, match=name):
        await Journal.open(tmp_path)
    with pytest.raises(StorageError):
        await Journal.open(tmp_path, read_only=True)


async def test_reading_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may not look into the directory is told who may; root may, so the question is answered for it."""

    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(StorageError, match=r"Permission denied\. Run this as the user"):
        await Journal.open(tmp_path, read_only=True)


async def test_nothing_to_read(tmp_path: Path) -> None:
    """Reading makes no journal."""
    with pytest.raises(StorageError, match="holds no journal"):
        await Journal.open(tmp_path, read_only=True)
    assert not (tmp_path / "journal.key").exists()
    assert not (tmp_path / "journal.db").exists()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("PRAGMA application_id = 5", "another program"),
        ("PRAGMA user_version = 99", "newer version"),
    ],
)
async def test_file_that_is_not_ours(tmp_path: Path, statement: str, words: str) -> None:
    """A database of another program or a newer version is left alone."""
    async with opened(tmp_path):
        pass
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute(statement)
    database.close()
    with pytest.raises(StorageError, match=words):
        await Journal.open(tmp_path)


async def test_file_that_is_no_database(tmp_path: Path) -> None:
    """A file of something else is refused in plain words, and the lock is let go."""
    async with opened(tmp_path):
        pass
    (tmp_path / "journal.db").write_bytes(b"no database at all" * 100)
    for _ in range(2):
        with pytest.raises(StorageError, match="it is no database"):
            await Journal.open(tmp_path)


async def test_migration_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration is carried out whole or not at all."""
    monkeypatch.setattr("otp.pi.journal.schema.MIGRATIONS", ("CREATE TABLE meta (fingerprint TEXT); nonsense",))
    with pytest.raises(StorageError, match="syntax error"):
        await Journal.open(tmp_path)
    monkeypatch.undo()
    async with opened(tmp_path) as journal:
        await journal.accept(new())


async def test_migration_of_an_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older file is brought up to date and keeps what it has."""
    from otp.pi.journal import schema

    async with opened(tmp_path) as journal:
        await journal.accept(new())
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "ALTER TABLE messages ADD COLUMN more TEXT"))
    async with opened(tmp_path) as journal:
        assert len(await journal.waiting(10)) == 1
        assert await journal._worker.call(lambda each: schema._pragma(each.database, "user_version")) == 2


async def test_calls_after_the_end(tmp_path: Path) -> None:
    """What was asked for before the end is done, what comes after is refused; closing twice is once."""
    journal = await Journal.open(tmp_path)
    calls = [asyncio.ensure_future(journal.block(str(index))) for index in range(2 * MAX_BATCH)]
    await asyncio.sleep(0)
    await asyncio.gather(journal.close(), journal.close())
    assert all(await asyncio.gather(*calls))
    with pytest.raises(StorageError, match="is closed"):
        await journal.blocked()


async def test_call_that_fails_among_others(tmp_path: Path) -> None:
    """A call that fails takes back itself and nothing else; one that was cancelled is done all the same."""

    def bad(ledger: Ledger) -> None:
        ledger.database.execute("INSERT INTO blocked VALUES ('bad', 0)")
        raise KeyError("bad")

    async with opened(tmp_path) as journal:
        cancelled = asyncio.ensure_future(journal.block("b"))
        calls = [journal.block("a"), journal._worker.call(bad), journal.block("c")]
        group = asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0)
        cancelled.cancel()
        results = await group
        assert [type(each) for each in results] == [bool, KeyError, bool]
        assert [each.receiver_key for each in await journal.blocked()] == ["a", "b", "c"]


@asynccontextmanager
async def one_batch(journal: Journal) -> AsyncIterator[None]:
    """Hold the worker, so that all calls made meanwhile go into one batch."""
    gate, held = threading.Event(), threading.Event()

    def hold(_ledger: Ledger) -> None:
        held.set()
        gate.wait(10)

    holding = asyncio.ensure_future(journal._worker.call(hold))
    await asyncio.to_thread(held.wait, 10)
    yield
    await asyncio.sleep(0)  # what was made in here has been asked for now
    gate.set()
    await holding


def lose(ledger: Ledger) -> None:
    """Fail as SQLite does when it has given up the whole transaction."""
    ledger.database.execute("ROLLBACK")
    raise sqlite3.OperationalError("disk I/O error")


def spoil(ledger: Ledger) -> None:
    """Make the commit fail."""
    ledger.database.execute("PRAGMA defer_foreign_keys = ON")
    part = "INSERT INTO parts (message, generation, part, modem, state, began) VALUES (99, 0, 0, '', '', 0)"
    ledger.database.execute(part)


async def results(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_transaction_that_is_lost(tmp_path: Path) -> None:
    """Where SQLite gives up the transaction all calls before in it fail, and those behind begin anew."""
    async with opened(tmp_path) as journal:
        async with one_batch(journal):
            calls = [journal.block("a"), journal._worker.call(lose), journal.block("c")]
            group = asyncio.ensure_future(results(*calls))
        before, lost, behind = await group
        assert [type(before), type(lost), behind] == [StorageError, StorageError, True]
        assert [each.receiver_key for each in await journal.blocked()] == ["c"]


async def test_transaction_that_is_lost_at_the_end(tmp_path: Path) -> None:
    """A batch that ends without a transaction has nothing to commit."""
    async with opened(tmp_path) as journal:
        async with one_batch(journal):
            group = asyncio.ensure_future(results(journal.block("a"), journal._worker.call(lose)))
        assert [type(each) for each in await group] == [StorageError, StorageError]
        assert await journal.blocked() == []


async def test_commit_that_fails(tmp_path: Path) -> None:
    """When the commit fails, nothing of the batch is stored and everybody in it is told; then it goes on."""
    async with opened(tmp_path) as journal:
        async with one_batch(journal):
            group = asyncio.ensure_future(results(journal._worker.call(spoil), journal.block("a")))
        assert [type(each) for each in await group] == [StorageError, StorageError]
        assert await journal.blocked() == []
        assert await journal.block("b")


async def test_commits_are_timed(tmp_path: Path) -> None:
    """Whoever asks is told how long commits took, and many calls share one."""
    seconds: list[float] = []
    async with opened(tmp_path, on_commit=seconds.append) as journal:
        await asyncio.gather(*(journal.block(str(index)) for index in range(200)))
    assert 0 < len(seconds) < 200
    assert min(seconds) >= 0


def test_loop_that_is_gone(tmp_path: Path) -> None:
    """A loop that ends without closing the journal leaves a thread that still ends cleanly, and gives up the lock."""

    async def leave() -> Journal:
        journal = await Journal.open(tmp_path)
        await journal.accept(new())
        return journal

    journal = asyncio.run(leave())
    journal._worker._jobs.put(None)
    deadline = time.monotonic() + 10
    while True:
        try:
            open_ledger(tmp_path).close()
        except StorageError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            break


def test_error_without_a_name() -> None:
    """An error that SQLite has no name for is told as it is."""
    assert plain(sqlite3.OperationalError("odd")) == "journal.db: odd"


def test_sealing() -> None:
    """A body opens with its key for its receiver only, and the sealer shows nothing of its key."""
    sealer = Sealer(b"k" * 32)
    sealed = sealer.seal("subject", "text", "+1")
    assert sealer.open(sealed, "+1") == ("subject", "text")
    for other, receiver, data in ((sealer, "+2", sealed), (Sealer(b"l" * 32), "+1", sealed), (sealer, "+1", b"x")):
        with pytest.raises(DamagedError):
            other.open(data, receiver)
    assert repr(sealer) == "<Sealer>"
    assert sealer.fingerprint != Sealer(b"l" * 32).fingerprint
