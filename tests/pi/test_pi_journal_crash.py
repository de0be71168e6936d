"""What is on the disk when the process is gone, the disk is full, or somebody copies the files."""

import asyncio
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from otp.pi.journal import Journal, StorageError
from otp.pi.journal.ledger import Ledger
from otp.pi.model import State
from tests.pi.journal_messages import NOON, RECEIVER, Clock, new, opened, send

ROOT = Path(__file__).parents[2]
CANARY = "canary 918273 sings"


async def start(directory: Path, what: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.pi.journal_writer", str(directory), what),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_killed_while_accepting(tmp_path: Path) -> None:
    """Killed at any moment, ten times over, everything that was acknowledged is there, with its body."""
    acknowledged: dict[str, int] = {}
    for turn in range(10):
        process = await start(tmp_path, str(turn * 100_000))
        assert process.stdout is not None
        for _ in range(20 + 7 * turn):
            name, number = (await process.stdout.readline()).split()
            acknowledged[name.decode()] = int(number)
        process.kill()
        for line in (await process.stdout.read()).splitlines(keepends=True):
            if line.endswith(b"\n"):
                name, number = line.split()
                acknowledged[name.decode()] = int(number)
        await process.wait()
    async with opened(tmp_path) as journal:
        waiting = {each.message_id: each for each in await journal.waiting(1_000_000)}
    assert {name: waiting[name].number for name in acknowledged} == acknowledged
    assert {each.text for each in waiting.values()} == {"hello"}


async def test_disk_full(tmp_path: Path) -> None:
    """On a full disk calls fail in plain words, what was stored before is there, and with room it goes on.

    It is logged once that nothing can be stored, and once that it can again; whoever asks meanwhile is told.
    """
    process = await start(tmp_path, "full")
    out, err = await process.communicate()
    lines = [line.split(None, 2) for line in out.decode().splitlines()]
    assert process.returncode == 0, err
    assert [words[1] for words in lines if words[0] == "check"] == ["passed", "journal.db:", "journal.db:", "passed"]
    assert [line.split()[1:3] for line in err.decode().splitlines()] == [
        ["error", "journal_failed"],
        ["info", "journal_works_again"],
    ]
    stored = {words[1] for words in lines if words[0] == "stored"}
    refused = [words for words in lines if words[0] == "refused"]
    assert refused
    assert all("journal.db: the disk" in words[2] for words in refused)
    async with opened(tmp_path) as journal:
        assert {each.message_id for each in await journal.waiting(100_000)} == stored


async def test_reading_while_another_writes(tmp_path: Path) -> None:
    """Another process sees the rows while the service writes, and cannot write."""
    process = await start(tmp_path, "0")
    assert process.stdout is not None
    try:
        for _ in range(30):
            await process.stdout.readline()
        async with opened(tmp_path, read_only=True) as journal:
            assert len(await journal.rows(limit=20)) == 20
            assert (await journal.counts())[State.QUEUED] >= 30
            with pytest.raises(StorageError, match="read-only"):
                await journal.accept(new("x"))
        with pytest.raises(StorageError, match="in use by another OTP-Pi"):
            await Journal.open(tmp_path)
    finally:
        process.kill()
        await process.stdout.read()
        await process.wait()


async def poll(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, ten seconds at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a file changes; nobody tells
            await asyncio.sleep(0.01)


def raw(directory: Path) -> bytes:
    return b"".join(each.read_bytes() for each in directory.glob("journal.db*"))


async def test_body_after_its_end(tmp_path: Path) -> None:
    """An erased body is in no file any more, not even sealed: neither in the database nor in its log."""
    async with opened(tmp_path, checkpoint_every=0.05) as journal:
        number = (await journal.accept(new("1", text=CANARY * 300))).number
        kept = (await journal.accept(new("2", text="stays"))).number
        bodies = await journal._worker.call(_bodies)
        assert bodies[number][:64] in raw(tmp_path)
        await send(journal, number, "sim-1", 7)
        await poll(lambda: not any(piece in raw(tmp_path) for piece in _pieces(bodies[number])))
        assert bodies[kept] in raw(tmp_path)
        assert CANARY.encode() not in raw(tmp_path)


async def test_bodies_after_a_sweep_and_at_the_end(tmp_path: Path) -> None:
    """Received texts are gone from the files once they are swept, and all that was erased once it is closed."""
    clock = Clock()
    async with opened(tmp_path, clock) as journal:
        await journal.received("sim-1", "+62811", CANARY, NOON)
        number = (await journal.accept(new("1", text=CANARY))).number
        letter = await journal._worker.call(lambda each: each.database.execute("SELECT body FROM inbox").fetchone()[0])
        body = (await journal._worker.call(_bodies))[number]
        assert letter in raw(tmp_path)
        clock.now += 1000
        assert await journal.sweep(500) == 1
        await poll(lambda: letter not in raw(tmp_path))
        await journal.fail(number, "cms_38")
    assert body not in raw(tmp_path)
    assert CANARY.encode() not in raw(tmp_path)


def _bodies(ledger: Ledger) -> dict[int, bytes]:
    return dict(ledger.database.execute("SELECT number, body FROM messages").fetchall())


def _pieces(body: bytes) -> list[bytes]:
    return [body[start : start + 24] for start in range(0, len(body) - 24, 512)]


async def test_body_given_to_another_receiver(tmp_path: Path) -> None:
    """Whoever changes the file cannot have a code sent elsewhere: the message fails, those behind it go on."""
    async with opened(tmp_path) as journal:
        first, second = [(await journal.accept(new(name))).number for name in "ab"]
    database = sqlite3.connect(tmp_path / "journal.db")
    database.execute("UPDATE messages SET receiver = '+1555' WHERE number = ?", (first,))
    database.commit()
    database.close()
    async with opened(tmp_path) as journal:
        assert [each.number for each in await journal.waiting(10)] == [second]
        outcome = await journal.outcome(first)
        assert outcome is not None
        assert (outcome.state, outcome.reason) == (State.FAILED, "damaged")


async def test_letter_that_was_damaged(tmp_path: Path) -> None:
    """A received text that was changed is shown empty, not as an error."""
    async with opened(tmp_path) as journal:
        await journal.received("sim-1", "+62811", "hi", NOON)
        await journal._worker.call(lambda each: each.database.execute("UPDATE inbox SET body = x'00'"))
        assert [each.text for each in await journal.inbox(5)] == [""]


async def test_hundred_thousand_rows_that_ended(tmp_path: Path) -> None:
    """What waits is found through an index that holds only that, however much has ended."""
    fill = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        INSERT INTO messages (arrived, deadline, updated, ended, command, channel, receiver, receiver_key, message_id,
        road, user, priority, state, length, digest)
        SELECT 0, 0, 0, i, 'send-sms', 'sms', ?, ?, '', 'rest', '', 1, 'sent', 5, '' FROM n"""
    async with opened(tmp_path) as journal:
        await journal._worker.call(lambda each: each.database.execute(fill, (RECEIVER, RECEIVER)).rowcount)
        numbers = [(await journal.accept(new(str(index), priority=index % 2))).number for index in range(6)]
        assert [each.number for each in await journal.waiting(4)] == [*numbers[::2], numbers[1]]
        assert [each.number for each in await journal.waiting(9, after=(1, numbers[1]))] == numbers[3::2]
        assert (await journal.counts()) == {State.QUEUED: 6}
        plan = await journal._worker.call(_plan)
        assert "messages_open" in plan
        assert "TEMP B-TREE" not in plan
        assert await journal.sweep(0) == 100_000
        assert len(await journal.rows(limit=100)) == 6


def _plan(ledger: Ledger) -> str:
    from otp.pi.journal import messages

    rows = ledger.database.execute(f"EXPLAIN QUERY PLAN {messages._WAITING}", (0, 0, 10)).fetchall()
    return " ".join(str(row["detail"]) for row in rows)
