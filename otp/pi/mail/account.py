"""Keep what is known of one SMTP account: when it was used, and whether it rests. Pure: ``now`` is passed in."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Final, Literal

from otp.errors import InvalidInput
from otp.pi import settings
from otp.pi.mail import message, smtp

FIRST_REST: Final = 15.0
"""Seconds an account is left alone after its first fault, doubling with each one that follows.

A provider that is told a wrong password too often locks the account, and a code of five minutes must still find a way
when the link was down for a moment."""

LONGEST_REST: Final = 900.0
"""Seconds an account is left alone at most; the half hour of RFC 5321, 4.5.4.1 is for mail that can wait."""

AccountState = Literal["ready", "resting", "inactive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """How an account stands.

    Attributes:
        name: Of the settings.
        state: ``resting`` after a fault of its own.
        reason: The last fault; empty when there is none.
        until: Unix seconds when its rest ends; 0 when it does not rest.
    """

    name: str
    state: AccountState
    reason: str = ""
    until: float = 0.0


class Account:
    """One account, as the mailer sees it.

    Attributes:
        settings: The table ``[[mail]]``.
        turn: When it was last used, as a running number; the lowest is next.
        until: Unix seconds when its rest ends.

    Raises:
        InvalidInput: ``sender`` is no mail address.
    """

    __slots__ = ("_context", "_failures", "_reason", "settings", "turn", "until")

    def __init__(self, given: settings.Mail) -> None:
        try:
            message.address(given.sender, "sender")
        except InvalidInput as error:
            raise InvalidInput(f"mail account {given.name}: {error}") from None
        self.settings = given
        self.turn = 0
        self.until = 0.0
        self._failures = 0
        self._reason = ""
        self._context: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """Its name in the settings."""
        return self.settings.name

    def rests(self, now: float) -> bool:
        """Tell whether it is to be left alone; no longer than ``LONGEST_REST``, should the clock be set back."""
        return now < self.until <= now + LONGEST_REST

    def failed(self, reason: str, now: float) -> None:
        """Let it rest; several mails that failed at the same time are one fault."""
        if self.rests(now):
            return
        self.until = now + min(FIRST_REST * 2**self._failures, LONGEST_REST)
        self._failures += 1
        self._reason = reason

    def worked(self) -> None:
        """Forget its faults."""
        self._failures, self._reason, self.until = 0, "", 0.0

    def status(self, now: float) -> AccountStatus:
        """Return how it stands."""
        if not self.settings.active:
            return AccountStatus(name=self.name, state="inactive")
        if self.rests(now):
            return AccountStatus(name=self.name, state="resting", reason=self._reason, until=self.until)
        return AccountStatus(name=self.name, state="ready", reason=self._reason)

    async def context(self) -> ssl.SSLContext | None:
        """Return its TLS settings, made at the first mail; ``None`` where it uses no encryption.

        Raises:
            OSError: ``tls_ca`` cannot be used.
        """
        if self._context is None and self.settings.tls != "none":
            self._context = await asyncio.to_thread(smtp.tls_context, self.settings)
        return self._context
