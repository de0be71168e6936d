"""Take a message that is to be sent: check it, store it, and say what became of it.

The order is what makes it safe: guards, then one transaction that stores it or says why not, then the sender may know
that it is stored, and only then is it sent.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from otp import fields
from otp.errors import InvalidInput
from otp.incoming import Incoming
from otp.messages import Command
from otp.numbers import Numbers, is_email
from otp.pi import answers
from otp.pi.guards import Guards
from otp.pi.journal import Journal
from otp.pi.model import Channel, NewMessage, Origin, Outcome, Priority, State
from otp.results import Result

Stored = Callable[[], None]
"""Called once everything a command asks for is stored: now it may be acknowledged."""


class Outbox(Protocol):
    """What is needed of the outbox."""

    def wake(self) -> None:
        """Look for new rows."""
        ...

    async def outcome(self, number: int) -> Outcome:
        """Wait for the end of a message."""
        ...

    async def give_up(self, number: int, reason: str) -> bool:
        """Fail a message that nobody has begun to send."""
        ...


class Modems(Protocol):
    """What is needed of the pool."""

    @property
    def configured(self) -> bool:
        """Whether there is any modem for messages."""
        ...

    def usable(self, receiver: str) -> bool:
        """Tell whether a modem that may send to this receiver works at the moment."""
        ...


Observe = Callable[[str, Origin], None]
"""Told of every refusal of a guard: its scope, and where the command came from."""


class Sending:
    """The way of every message into the journal.

    Args:
        journal: Where it is stored.
        outbox: Who sends it.
        modems: Who could.
        numbers: How receivers are read.
        guards: What may be sent to whom, and how much.
        clock: Returns Unix seconds.
        refused: See ``Observe``.
    """

    def __init__(
        self,
        journal: Journal,
        outbox: Outbox,
        modems: Modems,
        numbers: Numbers,
        guards: Guards,
        *,
        clock: Callable[[], float],
        refused: Observe = lambda _scope, _origin: None,
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._modems = modems
        self._numbers = numbers
        self._guards = guards
        self._clock = clock
        self._refused = refused

    async def send(
        self,
        incoming: Incoming,
        origin: Origin,
        stored: Stored,
        *,
        text: str,
        deadline: float,
        priority: int,
        wait: bool,
        message_id: str | None = None,
    ) -> Result:
        """Store a message and have it sent.

        Args:
            incoming: The command it comes from.
            origin: Where that came from.
            stored: Called when the journal has it.
            text: The body.
            deadline: Unix seconds after which it is not sent.
            priority: See ``Priority``.
            wait: Wait for the outcome; else 1111 is returned as soon as it is stored.
            message_id: What the journal has for its id; ``None`` for the command's own.

        Raises:
            InvalidInput: The receiver does not suit the command, or the text is too long for it.
            StorageError: The journal cannot be written.
        """
        new = self._new(incoming, origin, text, deadline, priority)
        if message_id is not None:
            new = replace(new, message_id=message_id)
        refusal = self._guards.check(new.receiver_key, new.channel)
        if refusal is not None:
            number = await self._journal.record(
                command=new.command,
                origin=origin,
                arrived=new.arrived,
                state=State.BLOCKED,
                receiver=new.receiver,
                reason=refusal,
            )
            return self._answer_refusal(incoming, origin, stored, number, refusal)
        charges = self._guards.charges(new.receiver_key, origin.user or origin.road, new.channel)
        accepted = await self._journal.accept(new, charges)
        if accepted.refused:
            return self._answer_refusal(incoming, origin, stored, accepted.number, accepted.refused)
        stored()
        if accepted.duplicate_of is not None:
            return answers.of_outcome(incoming, Outcome(number=accepted.duplicate_of, state=State.DUPLICATE))
        return await self._see_off(incoming, origin, new, accepted.number, wait=wait)

    async def _see_off(self, incoming: Incoming, origin: Origin, new: NewMessage, number: int, *, wait: bool) -> Result:
        hopeless = self._hopeless(new, origin)
        if hopeless and await self._outbox.give_up(number, hopeless):
            return answers.of_outcome(incoming, Outcome(number=number, state=State.FAILED, reason=hopeless))
        self._outbox.wake()
        if not wait:
            return answers.of_outcome(incoming, Outcome(number=number, state=State.QUEUED))
        return answers.of_outcome(incoming, await self._outbox.outcome(number))

    def _hopeless(self, new: NewMessage, origin: Origin) -> str:
        """Return why a caller that waits should try elsewhere now; from a road it waits for a modem to come back."""
        if new.channel is not Channel.SMS:
            return ""
        if not self._modems.configured:
            return answers.NO_MODEM_CONFIGURED
        return answers.NO_MODEM if origin.reply is None and not self._modems.usable(new.receiver_key) else ""

    def _answer_refusal(self, incoming: Incoming, origin: Origin, stored: Stored, number: int, refusal: str) -> Result:
        stored()
        state = State.EXPIRED if refusal == "expired" else State.BLOCKED
        self._refused(refusal, origin)
        return answers.of_outcome(incoming, Outcome(number=number, state=state, reason=refusal))

    def _new(self, incoming: Incoming, origin: Origin, text: str, deadline: float, priority: int) -> NewMessage:
        channel = channel_of(incoming)
        fields.text(text, "message", limit=fields.MAX_SMS if channel is Channel.SMS else fields.MAX_EMAIL)
        return NewMessage(
            command=incoming.command,
            channel=channel,
            receiver=self._numbers.wire(incoming.receiver),
            receiver_key=self._numbers.key(incoming.receiver),
            text=text,
            subject=incoming.subject if channel is Channel.MAIL else "",
            message_id=incoming.message_id,
            origin=origin,
            arrived=self._clock(),
            deadline=deadline,
            priority=priority,
        )


def channel_of(incoming: Incoming) -> Channel:
    """Return what carries a message: the command says it, or the receiver's ``@``.

    Raises:
        InvalidInput: ``send-sms`` to a mail address, or ``send-email`` to a number.
    """
    mail = is_email(incoming.receiver)
    if incoming.action is Command.SEND_SMS and mail:
        raise InvalidInput("receiver of send-sms must be a telephone number; use send-message or send-email.")
    if incoming.action is Command.SEND_EMAIL and not mail:
        raise InvalidInput("receiver of send-email must be a mail address; use send-message or send-sms.")
    return Channel.MAIL if mail else Channel.SMS


def priority_of(incoming: Incoming, now: float) -> int:
    """Return how urgent a message is.

    A publisher that manages codes itself sends them as ordinary messages. One that is good for minutes only, is short
    and has 4 to 10 digits in a row is taken for a code: it should not wait behind a newsletter.
    """
    hurried = incoming.deadline - now <= _LONGEST_LIFE_OF_A_CODE and len(incoming.message) <= _LONGEST_CODE_TEXT
    return Priority.OTP if hurried and _CODE.search(incoming.message) else Priority.OTHER


_LONGEST_LIFE_OF_A_CODE = 600.0
"""Seconds: what OWASP ASVS 5.0 (6.5.5) allows a code that is sent out of band."""

_LONGEST_CODE_TEXT = 320
_CODE = re.compile(r"(?<!\d)\d{4,10}(?!\d)")
