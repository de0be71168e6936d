"""Carry one SMS to the network through one modem, part by part.

What is written to the journal, and when, is what makes a crash harmless:

    routed -> [prompt] -> quota counted, sending(part) -> [body] -> part_sent(part) -> ... -> sent

A crash before ``sending`` leaves a message that was not sent, one before ``part_sent`` leaves a part that nobody knows
of. So ``sending`` is on the disk before the modem gets the body, and no other part begins before ``part_sent`` is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from broker.logs import Log, describe
from otp.numbers import mask
from otp.pi import settings
from otp.pi.counts import Counts
from otp.pi.inbox import Token
from otp.pi.journal import StorageError
from otp.pi.model import Message, Outcome, State
from otp.pi.modems.pdu import SmsTextError, Submit, submits
from otp.pi.modems.pool import Lease, Pool
from otp.pi.modems.status import NotSentError, OutcomeUnknownError
from otp.pi.outbox import policy
from otp.pi.outbox.policy import Action, Step
from otp.pi.outbox.queue import Entry
from otp.pi.outbox.storage import persist
from otp.pi.outbox.verdicts import Verdicts

NO_REFERENCE: Final = -1
"""Stands for the reference of a part that the service centre had already: it tells none."""

_LOG: Final = Log("otp.pi")


class Journal(Protocol):
    """What is needed of the journal."""

    async def message(self, number: int) -> Message:
        """Return a message with its body."""
        ...

    async def outcome(self, number: int) -> Outcome | None:
        """Return how a message ended, ``None`` while it has not."""
        ...

    async def routed(self, number: int, modem: str) -> None:
        """Store who is going to send it."""
        ...

    async def sending(self, number: int, modem: str, part: int, total: int) -> None:
        """Store that a part is about to be handed over."""
        ...

    async def part_sent(self, number: int, modem: str, part: int, reference: int) -> None:
        """Store that a part was taken."""
        ...

    async def sent(self, number: int, modem: str) -> Outcome:
        """Store that all parts were taken."""
        ...

    async def retry(self, number: int, *, possible_duplicate: bool, keep_parts: bool) -> None:
        """Put a message back."""
        ...


class _TooLateError(Exception):
    """The deadline has come, and the part has not been handed over."""


class SmsCarrier:
    """Send SMS.

    Args:
        journal: Where every step is written.
        pool: Told how its modems did.
        verdicts: Decides what follows a failure.
        sms: Parts that a message may have.
        clock: Returns Unix seconds.
        counts: Where parts are counted.
    """

    def __init__(
        self,
        journal: Journal,
        pool: Pool,
        verdicts: Verdicts,
        sms: settings.Sms,
        clock: Callable[[], float],
        counts: Counts,
    ) -> None:
        self._journal = journal
        self._pool = pool
        self._verdicts = verdicts
        self._sms = sms
        self._clock = clock
        self._counts = counts

    async def carry(self, entry: Entry, lease: Lease) -> Outcome | None:
        """Send a message through the modem of a lease.

        Returns:
            How it ended; ``None`` when it has to wait for another try, for which ``entry`` was changed.
        """
        number = entry.number
        message = await persist(lambda: self._journal.message(number))
        if message.state not in {State.QUEUED, State.ROUTED}:
            return await self._verdicts.moved_on(entry, message)
        if self._clock() >= message.deadline:
            return await self._verdicts.expired(message)
        try:
            total = len(self._encode(message, lease))
        except SmsTextError as error:
            return await self._verdicts.fail(message, error.reason)
        message = await self._own_parts(message, lease)
        if await self._over_quota(entry, message, lease, total):
            return None
        await persist(lambda: self._journal.routed(number, lease.name))
        return await self._hand_over(entry, message, lease, total)

    async def _own_parts(self, message: Message, lease: Lease) -> Message:
        """Return a message without the parts that another SIM card has sent: a telephone would not join them."""
        if not message.sent_parts or message.modem == lease.name:
            return message
        number, doubtful = message.number, message.possible_duplicate
        await persist(lambda: self._journal.retry(number, possible_duplicate=doubtful, keep_parts=False))
        return replace(message, sent_parts=())

    async def _over_quota(self, entry: Entry, message: Message, lease: Lease, total: int) -> bool:
        missing = total - len(message.sent_parts)
        refusal = await persist(lambda: self._pool.quota(lease, message.receiver_key, missing))
        if refusal is None:
            return False
        entry.pin, entry.pause = "", 0.0
        entry.avoid |= {lease.name}
        _LOG.info("quota_used_up", modem=lease.name, quota=refusal.quota, journal=message.number)
        return True

    async def _hand_over(self, entry: Entry, message: Message, lease: Lease, total: int) -> Outcome | None:
        for part in range(total):
            if part in message.sent_parts:
                continue
            try:
                reference = await self._part(message, lease, part, total)
            except _TooLateError:
                return await self._verdicts.expired(message)
            except StorageError as error:
                await self._put_back(entry, message, error)
                return None
            except (NotSentError, OutcomeUnknownError) as error:
                step = policy.step(error)
                self._judge(lease, step)
                if step.action is not Action.SENT:
                    return await self._verdicts.after(entry, message, lease.name, step, error)
                reference = NO_REFERENCE
            await self._note(message.number, lease, part, reference)
            message = replace(message, sent_parts=(*message.sent_parts, part), modem=lease.name)
        self._pool.worked(lease)
        return await self._sent(message, lease)

    async def _note(self, number: int, lease: Lease, part: int, reference: int) -> None:
        self._counts.parts_sent[lease.name] += 1
        await persist(lambda: self._journal.part_sent(number, lease.name, part, reference))

    async def _sent(self, message: Message, lease: Lease) -> Outcome:
        outcome = await persist(lambda: self._journal.sent(message.number, lease.name))
        _LOG.info("sms_sent", journal=message.number, modem=lease.name, receiver=mask(message.receiver))
        return outcome

    def _judge(self, lease: Lease, step: Step) -> None:
        if step.blames:
            self._pool.failed(lease)
        else:
            self._pool.worked(lease)

    async def _put_back(self, entry: Entry, message: Message, error: StorageError) -> None:
        """Wait with a message that the journal could not be told about: nothing of it has left."""
        _LOG.error("journal_unavailable", error=str(error), journal=message.number)
        number, doubtful, keep = message.number, message.possible_duplicate, bool(message.sent_parts)
        await persist(lambda: self._journal.retry(number, possible_duplicate=doubtful, keep_parts=keep))
        entry.pin = message.modem if keep else ""
        self._verdicts.pause(entry)

    async def _part(self, message: Message, lease: Lease, part: int, total: int) -> int:
        """Hand over one part and return its reference.

        Raises:
            _TooLateError: The deadline came first; nothing of it was sent.
            StorageError: The journal could not be told first; nothing of it was sent.
            NotSentError, OutcomeUnknownError: See there.
        """
        self._in_time(message)
        handed = False

        async def before_body() -> None:
            nonlocal handed
            self._in_time(message)
            await self._pool.count(lease, message.receiver_key)
            await self._journal.sending(message.number, lease.name, part, total)
            handed = True

        try:
            return await lease.modem.submit(
                self._encode(message, lease)[part], token=Token(message.number, part), before_body=before_body
            )
        except (NotSentError, OutcomeUnknownError, _TooLateError, StorageError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours is a part that was not sent, or may have been
            _LOG.error("modem_failed", modem=lease.name, journal=message.number, error=describe(error))
            raise (OutcomeUnknownError if handed else NotSentError)("internal_error") from None

    def _in_time(self, message: Message) -> None:
        if self._clock() >= message.deadline:
            raise _TooLateError

    def _encode(self, message: Message, lease: Lease) -> list[Submit]:
        """Return all parts, good for as long as the message is from now."""
        modem = lease.modem.settings
        return submits(
            message.receiver,
            message.text,
            reference=message.reference,
            validity=message.deadline - self._clock(),
            report=modem.delivery_reports,
            smsc=modem.smsc,
            max_parts=self._sms.max_parts,
        )
