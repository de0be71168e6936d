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
from otp.errors import InvalidInput, InvalidMessage, OtpError
from otp.json_reader import read_object
from otp.messages import Command, Message, Scalar
from otp.numbers import is_email, mask
from otp.publisher import codes_of_our_own
from otp.publisher.codes_of_our_own import Codes
from otp.publisher.config import load
from otp.publisher.errors import RoadError
from otp.publisher.settings import Broker, Settings
from otp.publisher.transports import base, open_road
from otp.results import Result
from otp.store import Issued
from otp.templates import Template

DEFAULT_LIFETIME = 300
"""Seconds a message is worth sending when nobody says otherwise."""

QUESTIONS = frozenset({Command.VERIFY_OTP, Command.GET_MODEM_LIST, Command.REQUEST_USSD, Command.ECHO})
"""Commands that mean nothing without their answer."""

_UNKNOWN_OUTCOME = frozenset({Command.REQUEST_OTP, Command.RESEND_OTP, Command.CANCEL_OTP})
"""Commands whose outcome a broker cannot tell: 1111, not 0000."""

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
        self._numbers = codes_of_our_own.numbers(general)
        self._test_receivers = frozenset(self._numbers.key(receiver) for receiver in general.test_receivers)
        self.road = open_road(self.settings.road)
        self.codes: Codes | None = None
        if general.manage_otp:
            self.codes = Codes(codes_of_our_own.open_store(general, self._numbers, clock))
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
        about = self._about(receiver=receiver, reference=reference)

        async def work() -> Result:
            template = self._template(message, webotp_domain, app_hash)
            if self.codes is None:
                return await self._send(
                    messages.request_otp(
                        receiver=self._numbers.wire(receiver),
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
        about = self._about(receiver=receiver, reference=reference)

        async def work() -> Result:
            if self.codes is None:
                question = messages.verify_otp(
                    receiver=self._numbers.wire(receiver),
                    otp=otp,
                    reference=reference,
                    now=self._clock(),
                    params=params,
                )
                return _certain(await self._ask(question))
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
        about = self._about(receiver=receiver, reference=reference)

        async def work() -> Result:
            if self.codes is None:
                wire = self._numbers.wire(receiver)
                return await self._send(messages.resend_otp(receiver=wire, reference=reference, now=self._clock()))
            template = self._template(message, webotp_domain, app_hash)
            deliver = self._delivery(Command.RESEND_OTP, template, subject, id, about)
            return await self.codes.resend(deliver, receiver=receiver, reference=reference)

        return await self._answer(Command.RESEND_OTP, work, about)

    async def cancel_otp(self, *, receiver: str, reference: Scalar) -> Result:
        """Forget a code, so that it is no longer right and its reference is free: 0000, or 1202 for none."""
        about = self._about(receiver=receiver, reference=reference)

        async def work() -> Result:
            if self.codes is None:
                wire = self._numbers.wire(receiver)
                return await self._send(messages.cancel_otp(receiver=wire, reference=reference, now=self._clock()))
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
            envelope = self._envelope(receiver, lifetime, id)
            if is_email(envelope["receiver"]):
                raise InvalidInput("receiver is a mail address; an SMS needs a number.")
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
            lambda: messages.block_msisdn(receiver=self._numbers.wire(receiver), now=self._clock()),
        )

    async def unblock_msisdn(self, *, receiver: str) -> Result:
        """Take a number off the block list."""
        return await self._send_built(
            Command.UNBLOCK_MSISDN,
            lambda: messages.unblock_msisdn(receiver=self._numbers.wire(receiver), now=self._clock()),
        )

    async def get_modem_list(self) -> Result:
        """Ask the OTP-Pi for its modems: ``data["modem_list"]``."""

        async def work() -> Result:
            return await self._ask(messages.get_modem_list(now=self._clock()))

        return await self._answer(Command.GET_MODEM_LIST, work, self._about())

    async def request_ussd(self, *, ussd_code: str, modem_id: Scalar = "") -> Result:
        """Dial a USSD code on a modem: ``data["ussd_content"]`` is what the network said."""

        async def work() -> Result:
            return await self._ask(messages.request_ussd(ussd_code=ussd_code, modem_id=modem_id, now=self._clock()))

        return await self._answer(Command.REQUEST_USSD, work, self._about())

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
            result = await (self._ask(message) if wanted else self._send(message))
            return _certain(result) if message.command == Command.VERIFY_OTP else result

        return await self._answer(str(command), work, self._about())

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
            return await self._send(build())

        return await self._answer(command, work, self._about())

    async def _send(self, message: Message) -> Result:
        """Hand a command over and make an answer of the road's word."""
        receiver = message.data.get("receiver")
        if isinstance(receiver, str) and self._is_test(receiver):
            return self._not_sent(message.command, receiver)
        receipt = await self._hand_over(message)
        if receipt.answer is not None:
            return _result(message.command, receipt.answer)
        unknown = message.command in _UNKNOWN_OUTCOME
        return Result(
            message.command,
            ResponseCode.HANDED_OVER if unknown else ResponseCode.SUCCESS,
            _with_listeners(self._about(), receipt),
            receipt.note,
        )

    async def _ask(self, message: Message) -> Result:
        """Hand a command over and wait for its answer."""
        if self.road.answers_at_once:
            receipt = await self._hand_over(message)
            return _result(message.command, receipt.answer or b"")
        road = self.settings.road
        topic = messages.callback_topic(message.command)
        delay = road.callback_delay if isinstance(road, Broker) else None
        answer = await base.ask(
            self.road,
            message.with_callback(topic, delay).encode(),
            topic,
            timeout=road.timeout,
            callback_timeout=road.callback_timeout,
        )
        return _result(message.command, answer)

    async def _hand_over(self, message: Message) -> base.Receipt:
        expiration, sent = message.data.get("expiration"), message.data.get("date_time")
        lifetime = expiration - sent if isinstance(expiration, int) and isinstance(sent, int) else None
        if self.settings.general.original_pi:
            message = messages.for_original_pi(message)
        return await base.send(
            self.road,
            message.encode(),
            lifetime=lifetime if lifetime is None else max(1, lifetime),
            timeout=self.settings.road.timeout,
        )

    def _delivery(
        self, command: Command, template: Template, subject: str, message_id: Scalar | None, about: dict[str, Any]
    ) -> codes_of_our_own.Deliver:
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
            return self._told(command, await self._send(message), issued, about)

        return deliver

    def _told(self, command: Command, sent: Result, issued: Issued, about: dict[str, Any]) -> Result:
        """Return the answer to ``command`` from the answer to the message that carried its code."""
        if not sent.ok:
            return Result(command, sent.response_code, about, sent.message, reason=sent.reason)
        answered = self.road.answers_at_once or self._is_test(issued.receiver)
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

    def _envelope(self, receiver: str, lifetime: int, message_id: Scalar | None) -> dict[str, Any]:
        return {
            "receiver": self._numbers.wire(receiver),
            "message_id": messages.fresh_id() if message_id is None else message_id,
            "lifetime": lifetime,
            "now": self._clock(),
        }

    def _about(self, **given: object) -> dict[str, Any]:
        """Return what answers repeat: the time, and of what was given what JSON can hold."""
        kept = {name: value for name, value in given.items() if isinstance(value, str | int)}
        return {"date_time": int(self._clock()), **kept}

    def _is_test(self, receiver: str) -> bool:
        return bool(self._test_receivers) and self._numbers.key(receiver) in self._test_receivers

    def _not_sent(self, command: str, receiver: str) -> Result:
        _LOG.warning("TEST RECEIVER %s: %s was NOT sent", mask(receiver), command)
        text = "This is a test receiver: nothing was sent."
        return Result(command, ResponseCode.SUCCESS, self._about(), text)

    def _stay_in_loop(self) -> None:
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        if self._loop is not running:
            raise RuntimeError(f"{self!r} belongs to another event loop. Make one in each loop, or use Publisher.")


def _result(command: str, answer: bytes) -> Result:
    """Read the receiving end's answer; an echo is the command itself and has no code."""
    try:
        found = read_object(answer)
    except InvalidMessage as error:
        raise RoadError("bad_answer", f"What came back is no answer: {error}") from None
    if command == Command.ECHO and found.get("command") == Command.ECHO and "response_code" not in found:
        data = found.get("data")
        return Result(command, ResponseCode.SUCCESS, data if isinstance(data, dict) else {})
    return Result.from_answer(command, found)


def _certain(result: Result) -> Result:
    """Make sure that no code counts as right whose verification has an unknown outcome."""
    if result.response_code is not ResponseCode.HANDED_OVER:
        return result
    text = "The OTP-Pi took the question but did not answer it."
    return Result(result.command, ResponseCode.FAILED, result.data, text, reason="no_answer")


def _with_listeners(about: dict[str, Any], receipt: base.Receipt) -> dict[str, Any]:
    return about if receipt.listeners is None else {**about, "listeners": receipt.listeners}
