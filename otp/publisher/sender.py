"""Turn commands into answers over a road: hand over, wait where an answer is needed, read what came back."""

import logging
from collections.abc import Callable
from typing import Any

from otp import messages
from otp.codes import ResponseCode
from otp.errors import InvalidInput, InvalidMessage
from otp.json_reader import read_object
from otp.messages import Command, Message
from otp.numbers import Numbers, mask
from otp.publisher.errors import ConfigError, RoadError
from otp.publisher.settings import Broker, Settings
from otp.publisher.transports import base
from otp.results import Result

QUESTIONS = frozenset({Command.VERIFY_OTP, Command.GET_MODEM_LIST, Command.REQUEST_USSD, Command.ECHO})
"""Commands that mean nothing without their answer."""

_UNKNOWN_OUTCOME = frozenset({Command.REQUEST_OTP, Command.RESEND_OTP, Command.CANCEL_OTP})
"""Commands whose outcome a broker cannot tell: 1111, not 0000."""

_LOG = logging.getLogger("otp.publisher")


class Sender:
    """Commands over one road.

    Args:
        settings: Time limits, test receivers, and what kind of OTP-Pi listens.
        road: The way.
        numbers: The rules for receivers.
        clock: Returns Unix seconds.

    Raises:
        ConfigError: A test receiver is none.

    Attributes:
        road: As above.
        numbers: As above.
    """

    def __init__(self, settings: Settings, road: base.Road, numbers: Numbers, clock: Callable[[], float]) -> None:
        self.road = road
        self.numbers = numbers
        self._clock = clock
        self._limits = settings.road
        self._original_pi = settings.general.original_pi
        self._test_receivers = _keys(settings.general.test_receivers, numbers)

    async def send(self, message: Message) -> Result:
        """Hand a command over and make an answer of the road's word; raises ``RoadError``."""
        receiver = message.data.get("receiver")
        if isinstance(receiver, str) and self.is_test(receiver):
            return self._not_sent(message.command, receiver)
        receipt = await self._hand_over(message)
        if receipt.answer is not None:
            return _result(message.command, receipt.answer)
        unknown = message.command in _UNKNOWN_OUTCOME
        listeners = {} if receipt.listeners is None else {"listeners": receipt.listeners}
        return Result(
            message.command,
            ResponseCode.HANDED_OVER if unknown else ResponseCode.SUCCESS,
            {**self.about(), **listeners},
            receipt.note,
        )

    async def ask(self, message: Message) -> Result:
        """Hand a command over and wait for its answer; raises ``RoadError``.

        No answer to ``verify-otp`` makes a code right but one that says so: 1111 there is a failure.
        """
        if self.road.answers_at_once:
            receipt = await self._hand_over(message)
            result = _result(message.command, receipt.answer or b"")
        else:
            result = _result(message.command, await self._call_back(message))
        return _certain(result) if message.command == Command.VERIFY_OTP else result

    def about(self, **given: object) -> dict[str, Any]:
        """Return what answers repeat: the time, and of what was given what JSON can hold."""
        kept = {name: value for name, value in given.items() if isinstance(value, str | int)}
        return {"date_time": int(self._clock()), **kept}

    def is_test(self, receiver: str) -> bool:
        """Tell whether a receiver is one that is never sent anything."""
        return bool(self._test_receivers) and self.numbers.key(receiver) in self._test_receivers

    async def _call_back(self, message: Message) -> bytes:
        topic = messages.callback_topic(message.command)
        delay = self._limits.callback_delay if isinstance(self._limits, Broker) else None
        return await base.ask(
            self.road,
            message.with_callback(topic, delay).encode(),
            topic,
            timeout=self._limits.timeout,
            callback_timeout=self._limits.callback_timeout,
        )

    async def _hand_over(self, message: Message) -> base.Receipt:
        lifetime = _lifetime(message)
        if self._original_pi:
            message = messages.for_original_pi(message)
        return await base.send(self.road, message.encode(), lifetime=lifetime, timeout=self._limits.timeout)

    def _not_sent(self, command: str, receiver: str) -> Result:
        _LOG.warning("TEST RECEIVER %s: %s was NOT sent", mask(receiver), command)
        text = "This is a test receiver: nothing was sent."
        return Result(command, ResponseCode.SUCCESS, self.about(), text)


def _keys(receivers: tuple[str, ...], numbers: Numbers) -> frozenset[str]:
    try:
        return frozenset(numbers.key(receiver) for receiver in receivers)
    except InvalidInput as error:
        raise ConfigError(f"test_receivers of [GENERAL] cannot be used: {error}") from None


def _lifetime(message: Message) -> int | None:
    """Return the seconds a message is good for; ``None`` when it does not say."""
    expiration, sent = message.data.get("expiration"), message.data.get("date_time")
    if isinstance(expiration, int) and isinstance(sent, int):
        return max(1, expiration - sent)
    return None


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
    """Make a failure of an unknown outcome."""
    if result.response_code is not ResponseCode.HANDED_OVER:
        return result
    text = "The OTP-Pi took the question but did not answer it."
    return Result(result.command, ResponseCode.FAILED, result.data, text, reason="no_answer")
