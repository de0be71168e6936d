"""Carry one mail to a mail server; the steps in the journal are those of ``sms``, with one part."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from broker.logs import Log, describe
from otp.numbers import mask
from otp.pi.counts import Counts
from otp.pi.journal import StorageError
from otp.pi.mail.errors import MailNotSentError, MailUnknownError
from otp.pi.model import Message, Outcome, State
from otp.pi.outbox import policy
from otp.pi.outbox.queue import Entry
from otp.pi.outbox.sms import NO_REFERENCE, Journal
from otp.pi.outbox.storage import persist
from otp.pi.outbox.verdicts import Verdicts

NO_ACCOUNT: Final = "no_mail_account"
MAIL: Final = "mail"
"""Who has a mail before an account is chosen."""

_LOG: Final = Log("otp.pi")


class Mailer(Protocol):
    """What is needed of the mail accounts."""

    async def send(
        self, receiver: str, subject: str, text: str, *, message_id: str, before_data: Callable[[str], Awaitable[None]]
    ) -> str:
        """Send a mail and return who took it."""
        ...


class _TooLateError(Exception):
    """The deadline has come, and the content has not been handed over."""


class MailCarrier:
    """Send mail.

    Args:
        journal: Where every step is written.
        mailer: The accounts; ``None`` where there are none.
        verdicts: Decides what follows when nobody knows.
        clock: Returns Unix seconds.
        counts: Where mails are counted.
    """

    def __init__(
        self, journal: Journal, mailer: Mailer | None, verdicts: Verdicts, clock: Callable[[], float], counts: Counts
    ) -> None:
        self._journal = journal
        self._mailer = mailer
        self._verdicts = verdicts
        self._clock = clock
        self._counts = counts

    async def carry(self, entry: Entry) -> Outcome | None:
        """Send a mail.

        Returns:
            How it ended; ``None`` when it has to wait for another try, for which ``entry`` was changed.
        """
        number = entry.number
        message = await persist(lambda: self._journal.message(number))
        if message.state not in {State.QUEUED, State.ROUTED}:
            return await self._verdicts.moved_on(entry, message)
        if self._mailer is None:
            return await self._verdicts.fail(message, NO_ACCOUNT)
        await persist(lambda: self._journal.routed(number, MAIL))
        return await self._hand_over(entry, message, self._mailer)

    async def _hand_over(self, entry: Entry, message: Message, mailer: Mailer) -> Outcome | None:
        try:
            account = await self._send(message, mailer)
        except _TooLateError:
            return await self._verdicts.expired(message)
        except StorageError as error:
            _LOG.error("journal_unavailable", error=str(error), journal=message.number)
            await self._later(entry, message, 0.0)
            return None
        except MailNotSentError as error:
            return await self._not_sent(entry, message, error)
        except MailUnknownError as error:
            self._counts.mail[error.account, "unknown"] += 1
            return await self._verdicts.unknown(entry, message, error.account, error.reason)
        self._counts.mail[account, "sent"] += 1
        await persist(lambda: self._journal.part_sent(message.number, account, 0, NO_REFERENCE))
        _LOG.info("mail_sent", journal=message.number, account=account, receiver=mask(message.receiver))
        return await persist(lambda: self._journal.sent(message.number, account))

    async def _send(self, message: Message, mailer: Mailer) -> str:
        """Hand a mail to whoever takes it, and return who did."""
        chosen = ""

        async def before_data(account: str) -> None:
            nonlocal chosen
            if self._clock() >= message.deadline:
                raise _TooLateError
            await self._journal.sending(message.number, account, 0, 1)
            chosen = account

        try:
            return await mailer.send(
                message.receiver,
                message.subject,
                message.text,
                message_id=f"otp-pi.{message.number}.{round(message.arrived * 1000):x}",
                before_data=before_data,
            )
        except (MailNotSentError, MailUnknownError, StorageError, _TooLateError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours is a mail that was not sent, or may have been
            _LOG.error("mailer_failed", journal=message.number, error=describe(error))
            if chosen:
                raise MailUnknownError("internal_error", chosen) from None
            raise MailNotSentError("internal_error", permanent=False) from None

    async def _not_sent(self, entry: Entry, message: Message, error: MailNotSentError) -> Outcome | None:
        """End a mail that nobody will ever take; any other is tried again as long as it is good for anything."""
        self._counts.mail[MAIL, "failed"] += 1
        if error.permanent:
            return await self._verdicts.fail(message, error.reason)
        _LOG.info("mail_failed", journal=message.number, reason=error.reason)
        ready_in = 0.0 if error.retry_at is None else error.retry_at - self._clock()
        await self._later(entry, message, min(ready_in, policy.LONGEST_REST))
        return None

    async def _later(self, entry: Entry, message: Message, least: float) -> None:
        """Put a mail back, to rest for at least so many seconds."""
        number, doubtful = message.number, message.possible_duplicate
        await persist(lambda: self._journal.retry(number, possible_duplicate=doubtful, keep_parts=False))
        self._verdicts.pause(entry)
        entry.pause = max(entry.pause, least)
