"""Send a mail through the account whose turn it is, and through the next one when that account fails.

| what happened                                  | the account         | the mail                                  |
|------------------------------------------------|---------------------|-------------------------------------------|
| taken                                          | ready               | sent                                      |
| unreachable, no TLS, login refused, 421, ...   | rests, 15 s doubling | goes to the next account                 |
| the server does not want this mail             | ready               | goes to the next account                  |
| its mails of the day are used up               | is passed over      | goes to the next account                  |
| there is no such receiver                      | ready               | not sent, permanent                       |
| no reply after the content                     | rests               | unknown; nobody else is asked             |

The account that was used longest ago is asked first. A mail counts against ``per_day`` when its content is about to be
handed over, so that an attempt that fails before costs nothing.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol

from broker.logs import Log
from otp.errors import InvalidInput
from otp.pi import settings
from otp.pi.journal import Charge
from otp.pi.mail import smtp
from otp.pi.mail.account import Account, AccountStatus
from otp.pi.mail.errors import MailNotSentError, MailUnknownError
from otp.pi.mail.message import compose
from otp.pi.mail.replies import Fault, SmtpError

LOG: Final = Log("otp.pi")

SCOPE: Final = "mail_account"
"""What the mails of an account are counted under, by its name, for each day."""

BeforeData = Callable[[str], Awaitable[None]]
"""Awaited with the account's name before the content leaves; once for each account that gets that far."""


class Budgets(Protocol):
    """What is needed of the journal."""

    async def charge(self, charges: Sequence[Charge], amount: int = 1) -> str | None:
        """Count against budgets; return the scope that is used up, in which case nothing was counted."""
        ...

    async def used(self, scope: str, name: str, span: Literal["hour", "day", "month"]) -> int:
        """Return what was counted in the present window."""
        ...


class Mailer:
    """The accounts, and whose turn it is.

    Args:
        accounts: The tables ``[[mail]]``.
        journal: Counts the mails of a day.
        clock: Returns Unix seconds.

    Raises:
        InvalidInput: An account's sender is no mail address.
    """

    def __init__(
        self, accounts: Sequence[settings.Mail], journal: Budgets, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._accounts = [Account(each) for each in accounts]
        self._journal = journal
        self._clock = clock
        self._turns = 0

    @property
    def configured(self) -> bool:
        """Whether there is an active account."""
        return any(each.settings.active for each in self._accounts)

    def statuses(self) -> list[AccountStatus]:
        """Return how every account stands, in the order of the settings."""
        now = self._clock()
        return [each.status(now) for each in self._accounts]

    async def send(self, receiver: str, subject: str, text: str, *, message_id: str, before_data: BeforeData) -> str:
        """Send a mail; return the name of the account that took it.

        Args:
            receiver: One mail address.
            subject: Empty takes the account's.
            text: The body, plain text.
            message_id: Left part of the Message-ID; the same on every attempt, so that a mailbox can tell a duplicate.
            before_data: See ``BeforeData``; what it raises is raised here, and the content was not sent.

        Raises:
            MailNotSentError: No server took it.
            MailUnknownError: One may have taken it.
        """
        refusals: list[SmtpError] = []
        for account in self._in_turn():
            if await self._used_up(account):
                continue
            try:
                await self._try(account, receiver, subject, text, message_id, before_data)
            except _UsedUpError:
                continue
            except SmtpError as error:
                self._note(account, error)
                if error.fault is Fault.RECEIVER:
                    raise MailNotSentError(error.reason, permanent=True) from None
                refusals.append(error)
            else:
                account.worked()
                return account.name
        raise self._nobody(refusals)

    def _in_turn(self) -> list[Account]:
        now = self._clock()
        ready = [each for each in self._accounts if each.settings.active and not each.rests(now)]
        return sorted(ready, key=lambda each: each.turn)

    async def _used_up(self, account: Account) -> bool:
        limit = account.settings.per_day
        return limit > 0 and await self._journal.used(SCOPE, account.name, "day") >= limit

    async def _try(
        self, account: Account, receiver: str, subject: str, text: str, message_id: str, before_data: BeforeData
    ) -> None:
        """Send through one account."""
        self._turns += 1
        account.turn = self._turns
        try:
            envelope = compose(account.settings, receiver, subject, text, message_id=message_id, now=self._clock())
        except InvalidInput as error:
            raise SmtpError("invalid_mail", Fault.RECEIVER, permanent=True, detail=str(error)) from None
        try:
            context = await account.context()
        except OSError as error:
            raise SmtpError("mail_tls_ca", Fault.ACCOUNT, detail=error.strerror or "no PEM file") from None

        async def charge_first() -> None:
            await self._charge(account)
            await before_data(account.name)

        try:
            await smtp.deliver(account.settings, envelope, context=context, before_data=charge_first)
        except MailUnknownError as error:
            account.failed(error.reason, self._clock())
            raise

    async def _charge(self, account: Account) -> None:
        limit = account.settings.per_day
        if limit and await self._journal.charge([Charge(scope=SCOPE, name=account.name, span="day", limit=limit)]):
            raise _UsedUpError

    def _note(self, account: Account, error: SmtpError) -> None:
        LOG.warning("mail_refused", account=account.name, reason=error.reason, detail=error.detail, fault=error.fault)
        if error.fault is Fault.ACCOUNT:
            account.failed(error.reason, self._clock())
        else:
            account.worked()

    def _nobody(self, refusals: Sequence[SmtpError]) -> MailNotSentError:
        """Return the error when no account took a mail; final only where every active one refused it for good."""
        active = [each for each in self._accounts if each.settings.active]
        if not active:
            return MailNotSentError("no_mail_account", permanent=True)
        reason = refusals[-1].reason if refusals else "mail_budget"
        now = self._clock()
        resting = [each for each in active if each.rests(now)]
        if not refusals and resting:
            reason = "mail_resting"
        final = len(refusals) == len(active) and all(each.permanent for each in refusals)
        retry_at = min((each.until for each in resting), default=None)
        return MailNotSentError(reason, permanent=final, retry_at=None if final else retry_at)


class _UsedUpError(Exception):
    """Another mail took the last of the account's budget in the meantime."""
