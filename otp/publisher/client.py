"""The publisher for asyncio applications: a method for every command, an answer of one shape from each.

| method                                  | over REST           | over a broker                                 |
|-----------------------------------------|---------------------|-----------------------------------------------|
| send_sms send_email send_message        | the OTP-Pi's answer | 0000 once the broker has the message          |
| block_msisdn unblock_msisdn             | the OTP-Pi's answer | 0000 once the broker has the message          |
| create_otp resend_otp, ``manage_otp``   | the OTP-Pi's answer | 1111 once the broker has the message          |
| verify_otp cancel_otp, ``manage_otp``   | answered here       | answered here                                 |
| create_otp resend_otp cancel_otp        | the OTP-Pi's answer | 1111 once the broker has the command          |
| verify_otp                              | the OTP-Pi's answer | the OTP-Pi's answer, on a callback topic      |
| get_modem_list request_ussd             | the OTP-Pi's answer | the OTP-Pi's answer, on a callback topic      |

No method raises for what a caller or a server did: every refusal and failure is an answer with a code, a reason and a
sentence. ``verify_otp`` is true for 0000 only; 1111 never stands for a code that was right.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self

from otp import messages
from otp.codes import ResponseCode
from otp.errors import InvalidInput, OtpError
from otp.issuing import Codes, Deliver
from otp.messages import Command, Message, Scalar
from otp.numbers import is_email
from otp.publisher import codes_of_our_own
from otp.publisher.config import load
from otp.publisher.sender import QUESTIONS, Sender
from otp.publisher.settings import Settings
from otp.publisher.transports import open_road
from otp.publisher.transports.base import Road
from otp.results import Result
from otp.store import Issued
from otp.templates import Template

DEFAULT_LIFETIME = 300
"""Seconds a message is worth sending when nobody says otherwise."""

_LOG = logging.getLogger("otp.publisher")


class AsyncPublisher:
    """Every command over one road. Belongs to the event loop it is first used in.

    Args:
        settings: Ready-made settings; then no keywords.
        clock: Returns Unix seconds.
        keywords: Settings by name: those of ``[GENERAL]`` and of the section of ``method``. What is not given comes
            from ``OTP_PUBLISHER_`` variables, then from the defaults.

    Raises:
        ConfigError: A setting is missing, misspelt or out of range.
        StoreError: The store of codes cannot be opened.
        MissingExtra: A library is not installed; the text has the pip command.
    """

    def __init__(
        self, *, settings: Settings | None = None, clock: Callable[[], float] = time.time, **keywords: Any
    ) -> None:
        self.settings = settings or load(environment=os.environ, keywords=keywords)
        for warning in self.settings.warnings:
            _LOG.warning("%s", warning)
        general = self.settings.general
        self._clock = clock
        numbers = codes_of_our_own.numbers(general)
        self._sender = Sender(self.settings, open_road(self.settings.road), numbers, clock)
        self.codes: Codes | None = None
        if general.manage_otp:
            self.codes = Codes(codes_of_our_own.open_store(general, numbers, clock))
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], **keywords: Any) -> Self:
        """Return a publisher for a configuration file; environment and keywords win over it."""
        return cls(settings=load(path, environment=os.environ, keywords=keywords))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.settings.general.method}>"

    @property
    def road(self) -> Road:
        """The way commands take."""
        return self._sender.road

    async def close(self) -> None:
        """Close all connections and the store; closing twice is fine."""
        await self.road.close()
        if self.codes is not None:
            await self.codes.close()

    async def create_otp(
        self,
        *,
        receiver: str,
        reference: Scalar,
        message: str,
        lifetime: int | None = None,
        params: Sequence[Scalar | None] = (),
        subject: str = "",
        id: Scalar | None = None,  # noqa: A002 - its name on the wire and on the command line
        webotp_domain: str | None = None,
        app_hash: str | None = None,
    ) -> Result:
        """Make a code and send it.

        Args:
            receiver: Number or mail address.
            reference: The transaction; it has one code at a time.
            message: The text, with ``%s`` (or ``{code}``) once where the code goes.
            lifetime: Seconds the code lives; the default of the settings when ``None``.
            params: Up to four values that ``verify_otp`` has to repeat.
            subject: Subject of a mail.
            id: The message's id; a fresh one when ``None``.
            webotp_domain: Web site whose page may read the code; the one of the settings when ``None``.
            app_hash: Android app that may read it; the one of the settings when ``None``.

        Returns:
            ``expires_at`` and ``resend_after`` beside the code; never the OTP itself.
        """
        about = self._sender.about(receiver=receiver, reference=reference)

        async def work() -> Result:
            template = self._template(message, webotp_domain, app_hash)
            if self.codes is None:
                return await self._sender.send(
                    messages.request_otp(
                        receiver=self._sender.numbers.wire(receiver),
                        message=template.text,
                        reference=reference,
                        lifetime=DEFAULT_LIFETIME if lifetime is None else lifetime,
                        now=self._clock(),
                        message_id=id,
                        params=params,
                    )
                )
            deliver = self._delivery(Command.REQUEST_OTP, template, subject, id, about)
            return await self.codes.create(
                deliver, receiver=receiver, reference=reference, params=params, lifetime=lifetime
            )

        return await self._answer(Command.REQUEST_OTP, work, about)

    async def verify_otp(
        self, *, receiver: str, otp: Scalar, reference: Scalar, params: Sequence[Scalar | None] = ()
    ) -> Result:
        """Say whether a code is right: 0000, 1202 (wrong, unknown, used, exhausted) or 1203 (too late).

        Args:
            receiver: As given to ``create_otp``, in any spelling of the same number.
            otp: What the user typed.
            reference: As given to ``create_otp``.
            params: As given to ``create_otp``.
        """
        about = self._sender.about(receiver=receiver, reference=reference)

        async def work() -> Result:
            if self.codes is None:
                question = messages.verify_otp(
                    receiver=self._sender.numbers.wire(receiver),
                    otp=otp,
                    reference=reference,
                    now=self._clock(),
                    params=params,
                    digits=self.settings.general.otp_digits,
                )
                return await self._sender.ask(question)
            code = await self.codes.verify(receiver=receiver, otp=otp, reference=reference, params=params)
            reason = None if code.ok else code.name.lower()
            return Result(Command.VERIFY_OTP, code, about, reason=reason)

        return await self._answer(Command.VERIFY_OTP, work, about)

    async def resend_otp(
        self,
        *,
        receiver: str,
        reference: Scalar,
        message: str = "",
        subject: str = "",
        id: Scalar | None = None,  # noqa: A002 - as above
        webotp_domain: str | None = None,
        app_hash: str | None = None,
    ) -> Result:
        """Send the same code once more, under a fresh id; ``message`` is needed again, since no text is kept."""
        about = self._sender.about(receiver=receiver, reference=reference)

        async def work() -> Result:
            if self.codes is None:
                wire = self._sender.numbers.wire(receiver)
                return await self._sender.send(
                    messages.resend_otp(receiver=wire, reference=reference, now=self._clock())
                )
            template = self._template(message, webotp_domain, app_hash)
            deliver = self._delivery(Command.RESEND_OTP, template, subject, id, about)
            return await self.codes.resend(deliver, receiver=receiver, reference=reference)

        return await self._answer(Command.RESEND_OTP, work, about)

    async def cancel_otp(self, *, receiver: str, reference: Scalar) -> Result:
        """Forget a code, so that it is no longer right and its reference is free: 0000, or 1202 for none."""
        about = self._sender.about(receiver=receiver, reference=reference)

        async def work() -> Result:
            if self.codes is None:
                wire = self._sender.numbers.wire(receiver)
                return await self._sender.send(
                    messages.cancel_otp(receiver=wire, reference=reference, now=self._clock())
                )
            if await self.codes.cancel(receiver=receiver, reference=reference):
                return Result(Command.CANCEL_OTP, ResponseCode.SUCCESS, about)
            text = "There is no code for this reference and receiver."
            return Result(Command.CANCEL_OTP, ResponseCode.INVALID_OTP, about, text, reason="invalid_otp")

        return await self._answer(Command.CANCEL_OTP, work, about)

    async def send_sms(
        self,
        *,
        receiver: str,
        message: str,
        lifetime: int = DEFAULT_LIFETIME,
        id: Scalar | None = None,  # noqa: A002 - as above
    ) -> Result:
        """Send an SMS; it is dropped rather than sent when ``lifetime`` seconds have passed."""

        def build() -> Message:
            envelope = self._envelope(self._number(receiver), lifetime, id)
            return messages.send_sms(message=message, **envelope)

        return await self._send_built(Command.SEND_SMS, build)

    async def send_email(
        self,
        *,
        receiver: str,
        message: str,
        subject: str = "",
        lifetime: int = DEFAULT_LIFETIME,
        id: Scalar | None = None,  # noqa: A002 - as above
    ) -> Result:
        """Send a mail."""

        def build() -> Message:
            envelope = self._envelope(receiver, lifetime, id)
            if not is_email(envelope["receiver"]):
                raise InvalidInput("receiver is not a mail address of the form name@example.com.")
            return messages.send_email(message=message, subject=subject, **envelope)

        return await self._send_built(Command.SEND_EMAIL, build)

    async def send_message(
        self,
        *,
        receiver: str,
        message: str,
        subject: str = "",
        lifetime: int = DEFAULT_LIFETIME,
        id: Scalar | None = None,  # noqa: A002 - as above
    ) -> Result:
        """Send an SMS or a mail, as the receiver has an ``@`` or not."""
        return await self._send_built(
            Command.SEND_MESSAGE,
            lambda: messages.send_message(message=message, subject=subject, **self._envelope(receiver, lifetime, id)),
        )

    async def block_msisdn(self, *, receiver: str) -> Result:
        """Have the OTP-Pi refuse every message to a number."""
        return await self._send_built(
            Command.BLOCK_MSISDN,
            lambda: messages.block_msisdn(receiver=self._number(receiver), now=self._clock()),
        )

    async def unblock_msisdn(self, *, receiver: str) -> Result:
        """Take a number off the block list."""
        return await self._send_built(
            Command.UNBLOCK_MSISDN,
            lambda: messages.unblock_msisdn(receiver=self._number(receiver), now=self._clock()),
        )

    async def get_modem_list(self) -> Result:
        """Ask the OTP-Pi for its modems: ``data["modem_list"]``."""

        async def work() -> Result:
            return await self._sender.ask(messages.get_modem_list(now=self._clock()))

        return await self._answer(Command.GET_MODEM_LIST, work, self._sender.about())

    async def request_ussd(self, *, ussd_code: str, modem_id: Scalar = "") -> Result:
        """Dial a USSD code on a modem: ``data["ussd_content"]`` is what the network said."""

        async def work() -> Result:
            return await self._sender.ask(
                messages.request_ussd(ussd_code=ussd_code, modem_id=modem_id, now=self._clock())
            )

        return await self._answer(Command.REQUEST_USSD, work, self._sender.about())

    async def request(self, command: str, data: Mapping[str, Any], *, callback: bool | None = None) -> Result:
        """Send any command as it stands, past the codes of our own.

        Args:
            command: Its name, such as ``echo``.
            data: Its fields.
            callback: Whether to wait for the answer on a callback topic; ``None`` for the commands that mean nothing
                without one. Over REST the answer comes either way.
        """

        async def work() -> Result:
            message = messages.request(command, data)
            wanted = message.command in QUESTIONS if callback is None else callback
            wanted = wanted or message.command == Command.VERIFY_OTP  # no road's word makes a code right
            return await (self._sender.ask(message) if wanted else self._sender.send(message))

        return await self._answer(str(command), work, self._sender.about())

    async def _answer(self, command: str, work: Callable[[], Awaitable[Result]], about: Mapping[str, Any]) -> Result:
        """Do the work; make an answer of whatever is refused or fails."""
        self._stay_in_loop()
        try:
            return await work()
        except OtpError as error:
            _LOG.info("%s failed: %s", command, error.reason)
            return Result.refused(command, error, about)

    async def _send_built(self, command: Command, build: Callable[[], Message]) -> Result:
        async def work() -> Result:
            return await self._sender.send(build())

        return await self._answer(command, work, self._sender.about())

    def _delivery(
        self, command: Command, template: Template, subject: str, message_id: Scalar | None, about: dict[str, Any]
    ) -> Deliver:
        """Return what sends a code of our own and answers under ``command``."""

        async def deliver(issued: Issued) -> Result:
            sms = not is_email(issued.receiver)
            message = messages.send_message(
                receiver=issued.receiver,
                message=template.render(issued.code, sms=sms),
                message_id=messages.fresh_id() if message_id is None else message_id,
                lifetime=issued.lifetime,
                now=self._clock(),
                subject=subject,
            )
            return self._told(command, await self._sender.send(message), issued, about)

        return deliver

    def _told(self, command: Command, sent: Result, issued: Issued, about: dict[str, Any]) -> Result:
        """Return the answer to ``command`` from the answer to the message that carried its code."""
        if not sent.ok:
            return Result(command, sent.response_code, about, sent.message, reason=sent.reason)
        answered = self.road.answers_at_once or self._sender.is_test(issued.receiver)
        note = f"{sent.message} Its lifetime is {issued.lifetime} s, the longest allowed." if issued.shortened else ""
        return Result(
            command,
            sent.response_code if answered else ResponseCode.HANDED_OVER,
            {**sent.data, **about} if "listeners" in sent.data else about,
            note or sent.message,
            expires_at=issued.expires_at,
            resend_after=issued.resend_after,
        )

    def _template(self, message: str, webotp_domain: str | None, app_hash: str | None) -> Template:
        general = self.settings.general
        return Template(
            message,
            webotp_domain=(general.webotp_domain if webotp_domain is None else webotp_domain) or None,
            app_hash=(general.app_hash if app_hash is None else app_hash) or None,
        )

    def _number(self, receiver: str) -> str:
        """Return a receiver that has to be a number, as it is sent."""
        number = self._sender.numbers.wire(receiver)
        if is_email(number):
            raise InvalidInput("receiver is a mail address; this needs a number.")
        return number

    def _envelope(self, receiver: str, lifetime: int, message_id: Scalar | None) -> dict[str, Any]:
        return {
            "receiver": self._sender.numbers.wire(receiver),
            "message_id": messages.fresh_id() if message_id is None else message_id,
            "lifetime": lifetime,
            "now": self._clock(),
        }

    def _stay_in_loop(self) -> None:
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        if self._loop is not running:
            raise RuntimeError(f"{self!r} belongs to another event loop. Make one in each loop, or use Publisher.")
