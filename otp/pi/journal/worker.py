"""Carry out calls on the journal in one thread, many in one commit.

A commit waits for the disk, some milliseconds on an SD card. So whatever has come while one was under way goes into
the next one together: a call alone is not delayed, and a thousand cost little more than one.

| what fails              | what is taken back                   | who is told                                       |
|-------------------------|--------------------------------------|---------------------------------------------------|
| a call                  | that call (SAVEPOINT)                | its caller                                        |
| a call, and SQLite gives| all calls of the batch before it,    | all of them, with `StorageError`; the calls behind|
| up the transaction      | and itself                           | it begin a new transaction                        |
| the commit              | the batch                            | all of them, with `StorageError`                  |

A caller that is cancelled while it waits gets no answer, but its call is carried out all the same.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from broker.logs import Log
from otp.pi.journal.errors import StorageError, is_storage, plain
from otp.pi.journal.ledger import CHECKPOINT_EVERY, Ledger

MAX_BATCH: Final = 256
"""Calls in one commit at most: with more the first ones would wait too long for their answer."""

_Answer = TypeVar("_Answer")
_LOG: Final = Log("otp.pi")


class _Job(NamedTuple):
    work: Callable[[Ledger], Any]
    future: "asyncio.Future[Any]"


class _Done(NamedTuple):
    job: _Job
    answer: Any
    error: Exception | None


class Worker:
    """The thread.

    Args:
        ledger: The open journal; from now on this thread's.
        on_commit: Told how many seconds each commit took, on the loop.
        checkpoint_every: Seconds after which an erased body is gone from the write-ahead log too.

    Attributes:
        trouble: Why the last call that failed for want of storage did; empty once something was written again.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        on_commit: Callable[[float], None] = lambda _seconds: None,
        checkpoint_every: float = CHECKPOINT_EVERY,
    ) -> None:
        self.trouble = ""
        self._ledger = ledger
        self._on_commit = on_commit
        self._every = checkpoint_every
        self._due = time.monotonic() + checkpoint_every
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._begin = "BEGIN IMMEDIATE" if ledger.writes else "BEGIN"
        threading.Thread(target=self._run, name="journal", daemon=True).start()

    async def call(self, work: Callable[[Ledger], _Answer]) -> _Answer:
        """Return what ``work`` returns, once it is on the disk.

        Raises:
            StorageError: It could not be stored, or the journal is closed; nothing of it remains.
        """
        if self._closing:
            raise StorageError("the journal is closed")
        future: asyncio.Future[_Answer] = self._loop.create_future()
        self._jobs.put(_Job(work, future))
        return await future

    async def close(self) -> None:
        """Carry out what was asked for, then end; a second time it waits for the first."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await asyncio.shield(self._closed)

    async def checkpoint(self) -> None:
        """Cut the write-ahead log soon: the next time nothing waits."""
        await self.call(lambda _ledger: self._make_due())

    # -- in the thread

    def _make_due(self) -> None:
        self._ledger.erased = True
        self._due = time.monotonic()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._take()
            if batch:
                self._carry_out(batch)
            self._checkpoint()
        try:
            self._ledger.close()
        finally:
            self._tell(self._closed.set_result, None)

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for jobs, or until a checkpoint is due; return them, and whether there will be more."""
        batch: list[_Job] = []
        wait = max(0.0, self._due - time.monotonic()) if self._ledger.erased else None
        with suppress(queue.Empty):
            job = self._jobs.get(timeout=wait)
            while job is not None:
                batch.append(job)
                if len(batch) == MAX_BATCH:
                    return batch, True
                job = self._jobs.get_nowait()
            return batch, False
        return batch, True

    def _checkpoint(self) -> None:
        if not self._ledger.erased or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._every
        with suppress(sqlite3.Error):  # tried again when it is due next
            self._ledger.checkpoint()

    def _carry_out(self, batch: list[_Job]) -> None:
        done: list[_Done] = []
        pending: list[_Done] = []
        started, changes = time.perf_counter(), self._ledger.database.total_changes
        for job in batch:
            one = self._one(job)
            if one.error is not None and not self._ledger.database.in_transaction:
                done += _failed(pending, one.error)
                pending = []
                done.append(one)
            else:
                pending.append(one)
        done += self._commit(pending)
        wrote = self._ledger.database.total_changes > changes
        self._tell(self._settle, done, time.perf_counter() - started, wrote)

    def _one(self, job: _Job) -> _Done:
        """Do one job in the transaction, which is begun where there is none; take back what it did if it fails."""
        database = self._ledger.database
        try:
            if not database.in_transaction:
                database.execute(self._begin)
            database.execute("SAVEPOINT job")
            answer = job.work(self._ledger)
            database.execute("RELEASE job")
        except Exception as error:  # noqa: BLE001 - it goes to whoever asked for it
            with suppress(sqlite3.Error):  # the transaction is gone already; then `in_transaction` tells
                database.execute("ROLLBACK TO job")
                database.execute("RELEASE job")
            return _Done(job, None, _told(error))
        return _Done(job, answer, None)

    def _commit(self, pending: list[_Done]) -> list[_Done]:
        database = self._ledger.database
        if not database.in_transaction:
            return pending
        try:
            database.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            return _failed(pending, _told(error))
        return pending

    def _tell(self, settle: Callable[..., None], *values: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any longer
            self._loop.call_soon_threadsafe(settle, *values)

    # -- on the loop

    def _settle(self, done: list[_Done], seconds: float, wrote: bool) -> None:
        self._note(next((str(each.error) for each in done if isinstance(each.error, StorageError)), ""), wrote=wrote)
        for job, answer, error in done:
            if job.future.done():
                continue
            if error is None:
                job.future.set_result(answer)
            else:
                job.future.set_exception(error)
        self._on_commit(seconds)

    def _note(self, trouble: str, *, wrote: bool) -> None:
        """Say once that nothing can be stored, and once that it can again."""
        if trouble and not self.trouble:
            _LOG.error("journal_failed", error=trouble)
        elif self.trouble and wrote and not trouble:
            _LOG.info("journal_works_again")
        if trouble or wrote:
            self.trouble = trouble


def _told(error: Exception) -> Exception:
    if isinstance(error, sqlite3.Error) and is_storage(error):
        return StorageError(plain(error))
    return error


def _failed(pending: list[_Done], error: Exception) -> list[_Done]:
    """Return what seemed done as failed, each with an error of its own; what failed by itself keeps its reason."""
    return [_Done(one.job, None, one.error or StorageError(str(error))) for one in pending]
