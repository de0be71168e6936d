"""Keep every message from before it is acknowledged until long after it was sent.

What a call returns is on the disk: a process that is killed, or a power cut, takes nothing back. Every call raises
``StorageError`` when that is not possible, and then nothing of it was stored.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from otp.pi.journal import accepting, blocks, counters, inbox, messages, recovery, reports, rows, schema, steps
from otp.pi.journal.accepting import Accepted
from otp.pi.journal.blocks import Blocked
from otp.pi.journal.counters import Charge, Span
from otp.pi.journal.inbox import Letter
from otp.pi.journal.ledger import CHECKPOINT_EVERY, Clock, open_ledger
from otp.pi.journal.recovery import PAGE, Recovery
from otp.pi.journal.rows import Row
from otp.pi.journal.worker import Worker
from otp.pi.model import Message, NewMessage, Origin, Outcome, State


class Journal:
    """The journal of one OTP-Pi; made by ``open``."""

    __slots__ = ("_worker",)

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        clock: Clock = time.time,
        read_only: bool = False,
        on_commit: Callable[[float], None] = lambda _seconds: None,
        checkpoint_every: float = CHECKPOINT_EVERY,
    ) -> Self:
        """Open the journal of a directory.

        Args:
            directory: ``data_dir``; made with mode 0700 where it is missing.
            clock: Returns Unix seconds.
            read_only: Look at it while another process writes it.
            on_commit: Told how many seconds each commit took.
            checkpoint_every: Seconds after which an erased body is gone from the write-ahead log too.

        Raises:
            StorageError: It cannot be opened, is in use, or was sealed with another key.
        """
        ledger = await asyncio.to_thread(open_ledger, directory, clock, read_only=read_only)
        return cls(Worker(ledger, on_commit=on_commit, checkpoint_every=checkpoint_every))

    async def close(self) -> None:
        """Carry out what was asked for, leave one file behind, and end; calls after that raise ``StorageError``."""
        await self._worker.close()

    # -- coming in

    async def accept(self, new: NewMessage, charges: Sequence[Charge] = ()) -> Accepted:
        """Store a message to be sent, or with the reason why it is not, in one transaction.

        A duplicate refers to the first and is not charged; nor is what is too late or blocked.
        """
        return await self._worker.call(lambda ledger: accepting.accept(ledger, new, charges))

    async def record(
        self,
        *,
        command: str,
        origin: Origin,
        arrived: float,
        state: State,
        receiver: str = "",
        reason: str = "",
        length: int = 0,
        digest_of: bytes = b"",
    ) -> int:
        """Store a command that sends nothing, or a payload that is no command; return its row."""
        return await self._worker.call(
            lambda ledger: accepting.record(
                ledger,
                command=command,
                origin=origin,
                arrived=arrived,
                state=state,
                receiver=receiver,
                reason=reason,
                length=length,
                digest_of=digest_of,
            )
        )

    async def finish_command(self, number: int, state: State, reason: str = "") -> None:
        """End a command that was recorded as under way (``SENDING``)."""
        await self._worker.call(lambda ledger: steps.finish_command(ledger, number, state, reason))

    # -- going out; which step may follow which is in the table of `states`

    async def waiting(self, limit: int, *, after: tuple[int, int] = (-1, 0)) -> list[Message]:
        """Return at most ``limit`` messages that wait, in order of (priority, number), beyond ``after``.

        They are queued, routed, or unknown with their one retry due.
        """
        return await self._worker.call(lambda ledger: messages.waiting(ledger, limit, after))

    async def message(self, number: int) -> Message:
        """Return a message, with its body while it has one."""
        return await self._worker.call(lambda ledger: messages.message(ledger, number))

    async def outcome(self, number: int) -> Outcome | None:
        """Return how a message ended; ``None`` while it has not."""
        return await self._worker.call(lambda ledger: messages.outcome(ledger, number))

    async def routed(self, number: int, modem: str) -> None:
        """Store that a modem or account is going to send it, which is one more attempt."""
        await self._worker.call(lambda ledger: steps.routed(ledger, number))

    async def sending(self, number: int, modem: str, part: int, total: int) -> None:
        """Store that part ``part`` of ``total`` is about to be handed over; only then may it be."""
        await self._worker.call(lambda ledger: steps.sending(ledger, number, modem, part, total))

    async def part_sent(self, number: int, modem: str, part: int, reference: int) -> None:
        """Store that the part under way was taken; ``reference`` -1 is one that was not told."""
        await self._worker.call(lambda ledger: steps.part_sent(ledger, number, modem, part, reference))

    async def sent(self, number: int, modem: str) -> Outcome:
        """End a message whose parts were all taken, and erase its body."""
        return await self._worker.call(lambda ledger: steps.sent(ledger, number, modem))

    async def unknown(self, number: int, modem: str, reason: str) -> None:
        """Store that nobody said whether the part under way was taken; the body stays."""
        await self._worker.call(lambda ledger: steps.unknown(ledger, number, modem, reason))

    async def retry(self, number: int, *, possible_duplicate: bool, keep_parts: bool) -> None:
        """Put a message back to wait.

        Args:
            number: Its row.
            possible_duplicate: It may have been taken; once set this stays.
            keep_parts: Parts that were taken stay so; else all are sent again.
        """
        await self._worker.call(
            lambda ledger: steps.retry(ledger, number, possible_duplicate=possible_duplicate, keep_parts=keep_parts)
        )

    async def fail(self, number: int, reason: str, *, state: State = State.FAILED) -> Outcome:
        """End a message as failed, expired, blocked, or unknown for good, and erase its body."""
        return await self._worker.call(lambda ledger: steps.fail(ledger, number, reason, state))

    async def late_reference(self, modem: str, number: int, part: int, reference: int) -> None:
        """Store that a part was taken after all; if that was the last one, and no retry has begun, it is sent."""
        await self._worker.call(lambda ledger: reports.late_reference(ledger, modem, number, part, reference))

    async def delivery_report(
        self, modem: str, reference: int, receiver_key: str, delivered: bool | None, at: float
    ) -> int | None:
        """Store a report of delivery (``None``: the network goes on trying) and return the row it belongs to.

        That is the newest with this reference in three days; ``None`` when there is none (yet).
        """
        return await self._worker.call(
            lambda ledger: reports.report(ledger, modem, reference, receiver_key, delivered=delivered, at=at)
        )

    async def recover(self) -> Recovery:
        """Put in order what was under way when the service ended; to be called once, before anything is sent."""
        return await self._worker.call(recovery.recover)

    async def expire(self) -> int:
        """End messages that are queued and whose time is over; return how many."""
        return await self._worker.call(recovery.expire)

    async def sweep(self, keep: float) -> int:
        """Remove what ended more than ``keep`` seconds ago, bit by bit; return how many rows that were."""
        removed = page = await self._worker.call(lambda ledger: recovery.sweep_page(ledger, keep))
        while page >= PAGE:
            page = await self._worker.call(lambda ledger: recovery.sweep_page(ledger, keep))
            removed += page
        await self._worker.call(recovery.sweep_rest)
        await self._worker.checkpoint()
        return removed

    # -- block list

    async def block(self, receiver_key: str) -> bool:
        """Put a receiver on the block list, and end what is queued for it; return whether it was not on it."""
        return await self._worker.call(lambda ledger: blocks.block(ledger, receiver_key))

    async def unblock(self, receiver_key: str) -> bool:
        """Take a receiver from the block list; return whether it was on it."""
        return await self._worker.call(lambda ledger: blocks.unblock(ledger, receiver_key))

    async def blocked(self) -> list[Blocked]:
        """Return the block list."""
        return await self._worker.call(blocks.blocked)

    async def is_blocked(self, receiver_key: str) -> bool:
        """Tell whether a receiver is on the block list."""
        return await self._worker.call(lambda ledger: blocks.is_blocked(ledger, receiver_key))

    # -- counters

    async def charge(self, charges: Sequence[Charge], amount: int = 1) -> str | None:
        """Count against budgets; return the scope that is used up, in which case nothing was counted."""
        return await self._worker.call(lambda ledger: counters.charge(ledger, charges, amount))

    async def used(self, scope: str, name: str, span: Span) -> int:
        """Return what was counted in the present window."""
        return await self._worker.call(lambda ledger: counters.used(ledger, scope, name, span))

    # -- inbox

    async def received(self, modem: str, sender: str, text: str, sent_at: float) -> int:
        """Store an SMS that was received, sealed; the same one again is the same row."""
        return await self._worker.call(lambda ledger: inbox.received(ledger, modem, sender, text, sent_at))

    async def inbox(self, limit: int) -> list[Letter]:
        """Return the last SMS that were received, the newest first."""
        return await self._worker.call(lambda ledger: inbox.inbox(ledger, limit))

    # -- looking

    async def rows(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
        state: State | None = None,
        receiver: str | None = None,
    ) -> list[Row]:
        """Return rows without bodies: the newest first, or with ``after`` those that follow it, the oldest first."""
        return await self._worker.call(
            lambda ledger: rows.rows(ledger, limit=limit, before=before, after=after, state=state, receiver=receiver)
        )

    async def check(self) -> None:
        """Return when the last that was written was stored; after a failure, something is written to see.

        Raises:
            StorageError: Nothing can be stored at the moment.
        """
        if self._worker.trouble:
            await self._worker.call(lambda ledger: schema.touch(ledger.database))

    async def counts(self) -> dict[State, int]:
        """Return how many rows are open in each state, and how often rows came to each final one since the start."""
        return await self._worker.call(rows.counts)
