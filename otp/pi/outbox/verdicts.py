"""Carry out what ``policy`` decides: write it to the journal, and say where the message goes next."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from broker.logs import Log
from otp.numbers import mask
from otp.pi import settings
from otp.pi.counts import Counts
from otp.pi.journal import TransitionError
from otp.pi.model import Message, Outcome, State
from otp.pi.modems.status import NotSentError, OutcomeUnknownError
from otp.pi.outbox import policy
from otp.pi.outbox.policy import Action, Step
from otp.pi.outbox.queue import Entry
from otp.pi.outbox.storage import persist

OUTCOME_UNKNOWN: Final = "outcome_unknown"
_LOG: Final = Log("otp.pi")


class Journal(Protocol):
    """What is needed of the journal."""

    async def outcome(self, number: int) -> Outcome | None:
        """Return how a message ended, ``None`` while it has not."""
        ...

    async def unknown(self, number: int, modem: str, reason: str) -> None:
        """Store that nobody knows whether a message was taken."""
        ...

    async def retry(self, number: int, *, possible_duplicate: bool, keep_parts: bool) -> None:
        """Put a message back."""
        ...

    async def fail(self, number: int, reason: str, *, state: State = ...) -> Outcome:
        """End a message."""
        ...


class Others(Protocol):
    """What is needed of the pool."""

    def usable(self, receiver: str, avoid: frozenset[str] = ...) -> bool:
        """Tell whether any modem but those may send to this receiver at the moment."""
        ...


class Verdicts:
    """What follows when a message was not sent. Everything returns the outcome, or ``None``: it goes back to wait.

    Args:
        journal: Where it is written.
        others: Tells whether there is another modem to go to.
        sms: Attempts, and what is done about the unknown.
        clock: Returns Unix seconds.
        counts: Where failures are counted.
    """

    def __init__(
        self, journal: Journal, others: Others | None, sms: settings.Sms, clock: Callable[[], float], counts: Counts
    ) -> None:
        self._journal = journal
        self._others = others
        self._sms = sms
        self._clock = clock
        self._counts = counts

    async def expired(self, message: Message) -> Outcome:
        """End a message whose time is over."""
        return await self.fail(message, "expired", State.EXPIRED)

    async def fail(self, message: Message, reason: str, state: State = State.FAILED) -> Outcome:
        """End a message; one that may have arrived ends as unknown, whatever ended its second try."""
        if message.possible_duplicate or message.state is State.UNKNOWN:
            reason, state = OUTCOME_UNKNOWN, State.UNKNOWN
        try:
            outcome = await persist(lambda: self._journal.fail(message.number, reason, state=state))
        except TransitionError:
            # Somebody else was faster: its receiver was blocked, or it was given up.
            ended = await persist(lambda: self._journal.outcome(message.number))
            if ended is None:
                raise
            return ended
        _LOG.warning("not_sent", journal=message.number, receiver=mask(message.receiver), state=state, reason=reason)
        return outcome

    async def after(
        self, entry: Entry, message: Message, modem: str, step: Step, error: NotSentError | OutcomeUnknownError
    ) -> Outcome | None:
        """Deal with a modem that did not send (all of) a message.

        Args:
            entry: Changed to what it should wait for next.
            message: As it is now, with all parts that were sent.
            modem: Whose failure it is.
            step: From ``policy.step``.
            error: What ``submit`` raised.
        """
        self._counts.modem_failures[modem, _kind(error)] += 1
        _LOG.info("sms_failed", journal=message.number, modem=modem, reason=error.reason, then=step.action)
        entry.failures += step.costs
        if step.action is Action.UNKNOWN:
            return await self.unknown(entry, message, modem, error.reason)
        if step.action is Action.FAIL or (step.action is Action.ELSEWHERE_ONCE and entry.moved):
            return await self.fail(message, error.reason)
        if entry.failures >= self._sms.attempts:
            return await self.fail(message, f"attempts:{error.reason}")
        entry.moved = entry.moved or step.action is Action.ELSEWHERE_ONCE
        await self._again(entry, message, modem, at_once=step.action is not Action.LATER)
        return None

    async def unknown(self, entry: Entry, message: Message, modem: str, reason: str) -> Outcome | None:
        """Deal with a message that may or may not have been taken: once more, or that was it."""
        number = message.number
        await persist(lambda: self._journal.unknown(number, modem, reason))
        again = self._sms.retry_unknown and not message.possible_duplicate and self._clock() < message.deadline
        if not again:
            return await self.fail(replace(message, state=State.UNKNOWN), OUTCOME_UNKNOWN)
        keep = bool(message.sent_parts) and not self._elsewhere(message, modem)
        await persist(lambda: self._journal.retry(number, possible_duplicate=True, keep_parts=keep))
        entry.message = replace(entry.message, possible_duplicate=True, state=State.QUEUED)
        self._send_off(entry, message, modem, keep=keep, at_once=True)
        return None

    async def moved_on(self, entry: Entry, message: Message) -> Outcome | None:
        """Deal with a message that does not wait any more: it has ended, or was cut short while being handed over."""
        ended = await persist(lambda: self._journal.outcome(message.number))
        return ended or await self.unknown(entry, message, message.modem, "interrupted")

    def pause(self, entry: Entry) -> None:
        """Let an entry rest before it waits again."""
        entry.pause = policy.rest(entry.rests)
        entry.rests += 1

    async def _again(self, entry: Entry, message: Message, modem: str, *, at_once: bool) -> None:
        keep = bool(message.sent_parts) and not (entry.resumed and self._elsewhere(message, modem))
        doubtful = message.possible_duplicate
        await persist(lambda: self._journal.retry(message.number, possible_duplicate=doubtful, keep_parts=keep))
        self._send_off(entry, message, modem, keep=keep, at_once=at_once)

    def _send_off(self, entry: Entry, message: Message, modem: str, *, keep: bool, at_once: bool) -> None:
        """Say where an entry goes next: to the same SIM card for its missing parts, or anywhere else."""
        entry.pin, entry.pause = "", 0.0
        entry.avoid |= {modem}
        if keep:
            entry.pin, entry.resumed, entry.avoid = modem, True, frozenset()
        if keep or not at_once or not self._elsewhere(message, *entry.avoid):
            self.pause(entry)

    def _elsewhere(self, message: Message, *avoid: str) -> bool:
        return self._others is not None and self._others.usable(message.receiver_key, frozenset(avoid))


def _kind(error: NotSentError | OutcomeUnknownError) -> str:
    if isinstance(error, OutcomeUnknownError):
        return "unknown_outcome"
    return error.kind or error.reason
