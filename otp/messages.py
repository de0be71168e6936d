"""Build commands exactly as the wire knows them.

| command        | data, in this order                                                  |
|----------------|----------------------------------------------------------------------|
| request-otp    | date_time expiration receiver message [id] reference param1..param4  |
| verify-otp     | date_time receiver otp reference param1..param4                      |
| resend-otp     | date_time receiver reference (ours: older receivers do not know it)  |
| cancel-otp     | date_time receiver reference (ours)                                  |
| send-sms       | date_time expiration id receiver message                             |
| send-email     | date_time expiration id receiver subject message                     |
| send-message   | date_time expiration id receiver message subject                     |
| block-msisdn   | date_time receiver                                                   |
| unblock-msisdn | date_time receiver                                                   |
| get-modem-list | date_time                                                            |
| request-ussd   | date_time ussd_code modem_id                                         |
| any other      | as given to ``request``                                              |

Around ``data`` stand ``command``, ``callback_topic`` (before it) and ``callback_delay`` (last, milliseconds).
Times are whole Unix seconds; ``expiration = date_time + lifetime``. ``id``, ``reference`` and the parameters keep
their type: a number stays a number. Missing parameters are ``""``.
"""

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from otp import fields
from otp.errors import InvalidInput
from otp.templates import Template

Scalar = fields.Scalar


class Command(StrEnum):
    """A command both ends know, equal to its name on the wire."""

    REQUEST_OTP = "request-otp"
    VERIFY_OTP = "verify-otp"
    RESEND_OTP = "resend-otp"
    CANCEL_OTP = "cancel-otp"
    SEND_SMS = "send-sms"
    SEND_EMAIL = "send-email"
    SEND_MESSAGE = "send-message"
    BLOCK_MSISDN = "block-msisdn"
    UNBLOCK_MSISDN = "unblock-msisdn"
    GET_MODEM_LIST = "get-modem-list"
    REQUEST_USSD = "request-ussd"
    ECHO = "echo"


CALLBACK_PREFIXES: dict[str, str] = {Command.GET_MODEM_LIST: "modem-list-", Command.REQUEST_USSD: "ussd-"}
"""How callback topics begin; other commands' begin with their own name."""

_NOT_IN_TOPICS = re.compile(r"[^A-Za-z0-9._-]")
"""What a queue of AMQP, a topic of MQTT or a query may not hold, or means something by."""

_NAME_IN_TOPIC = 64
"""Characters of a command's name that a callback topic begins with."""


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """A command on its way out.

    Attributes:
        command: Its name.
        data: Its fields, in wire order.
        callback_topic: Where the answer is awaited; ``None`` when no answer is asked for.
        callback_delay: Milliseconds the receiving end waits before it answers; ``None`` leaves that to it.
    """

    command: str
    data: Mapping[str, Any]
    callback_topic: str | None = None
    callback_delay: int | None = None

    def __repr__(self) -> str:
        """Show names only: ``data`` holds codes and message bodies."""
        return f"<Message {self.command}, data keys {list(self.data)}>"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, keys in wire order."""
        message: dict[str, Any] = {"command": str(self.command)}
        if self.callback_topic is not None:
            message["callback_topic"] = self.callback_topic
        message["data"] = dict(self.data)
        if self.callback_delay is not None:
            message["callback_delay"] = self.callback_delay
        return message

    def to_json(self) -> str:
        """Return one line of JSON in ASCII, which no road and no receiver can misread.

        Raises:
            InvalidInput: ``data`` of a free ``request`` holds something JSON has no form for.
        """
        try:
            return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"data of {self.command} cannot be written as JSON.") from error

    def encode(self) -> bytes:
        """Return ``to_json()`` as bytes."""
        return self.to_json().encode("ascii")

    def with_callback(self, topic: str, delay: int | None = None) -> "Message":
        """Return a copy that asks for an answer on ``topic``, ``delay`` milliseconds after it is ready."""
        return replace(self, callback_topic=topic, callback_delay=delay)


def fresh_id() -> str:
    """Return a message id that no other message has (64 random bits, 16 hexadecimal digits)."""
    return secrets.token_hex(8)


def callback_topic(command: str) -> str:
    """Return a topic for one answer, unguessable (128 random bits): whoever knows it can read the answer.

    A command of any other name goes into it in part: not every road takes every character, or more than 255 bytes.
    """
    name = _NOT_IN_TOPICS.sub("-", command)[:_NAME_IN_TOPIC]
    return CALLBACK_PREFIXES.get(command, f"{name}-") + secrets.token_hex(16)


def request_otp(
    *,
    receiver: str,
    message: str,
    reference: Scalar,
    lifetime: int,
    now: float,
    message_id: Scalar | None = None,
    params: Sequence[Scalar | None] = (),
) -> Message:
    """Ask the receiving end to make a code and send it.

    The text has exactly one ``%s``; lone percent signs leave doubled, so that every receiver copes. Without a
    ``message_id`` there is no ``id`` in ``data``, as in the published sample.
    """
    data = _times(now, lifetime) | {
        "receiver": fields.receiver(receiver),
        "message": Template(message).wire_form(),
    }
    if message_id is not None:
        data["id"] = fields.message_id(message_id)
    return Message(Command.REQUEST_OTP, data | _reference(reference) | _parameters(params))


def verify_otp(
    *,
    receiver: str,
    otp: Scalar,
    reference: Scalar,
    now: float,
    params: Sequence[Scalar | None] = (),
    digits: int = 6,
) -> Message:
    """Ask the receiving end whether a code is the one it sent.

    The code leaves as text, which is what older receivers compare; a number gets its lost leading zeros back, so that
    it has ``digits`` digits.
    """
    typed = fields.otp(otp)
    text = typed if isinstance(typed, str) else str(fields.whole_as_text(typed, "otp")).zfill(digits)
    data = _times(now) | {"receiver": fields.receiver(receiver), "otp": text}
    return Message(Command.VERIFY_OTP, data | _reference(reference) | _parameters(params))


def resend_otp(*, receiver: str, reference: Scalar, now: float) -> Message:
    """Ask the receiving end to send a code again."""
    return Message(Command.RESEND_OTP, _about(now, receiver) | _reference(reference))


def cancel_otp(*, receiver: str, reference: Scalar, now: float) -> Message:
    """Ask the receiving end to forget a code."""
    return Message(Command.CANCEL_OTP, _about(now, receiver) | _reference(reference))


def send_sms(*, receiver: str, message: str, message_id: Scalar, lifetime: int, now: float) -> Message:
    """Send an SMS."""
    data = _envelope(now, lifetime, message_id, receiver)
    return Message(Command.SEND_SMS, data | {"message": fields.text(message, "message", limit=fields.MAX_SMS)})


def send_email(*, receiver: str, message: str, subject: str, message_id: Scalar, lifetime: int, now: float) -> Message:
    """Send a mail."""
    body = {
        "subject": fields.subject(subject),
        "message": fields.text(message, "message", limit=fields.MAX_EMAIL),
    }
    return Message(Command.SEND_EMAIL, _envelope(now, lifetime, message_id, receiver) | body)


def send_message(
    *, receiver: str, message: str, message_id: Scalar, lifetime: int, now: float, subject: str = ""
) -> Message:
    """Send an SMS or a mail, as the receiver has an ``@`` or not."""
    limit = fields.MAX_EMAIL if "@" in fields.receiver(receiver) else fields.MAX_SMS
    body = {"message": fields.text(message, "message", limit=limit), "subject": fields.subject(subject)}
    return Message(Command.SEND_MESSAGE, _envelope(now, lifetime, message_id, receiver) | body)


def block_msisdn(*, receiver: str, now: float) -> Message:
    """Have the receiving end refuse every message to a number."""
    return Message(Command.BLOCK_MSISDN, _about(now, receiver))


def unblock_msisdn(*, receiver: str, now: float) -> Message:
    """Take a number off the block list."""
    return Message(Command.UNBLOCK_MSISDN, _about(now, receiver))


def get_modem_list(*, now: float) -> Message:
    """Ask for the list of modems; needs ``with_callback`` on every road but REST."""
    return Message(Command.GET_MODEM_LIST, _times(now))


def request_ussd(*, ussd_code: str, modem_id: Scalar, now: float) -> Message:
    """Dial a USSD code on a modem; needs ``with_callback`` on every road but REST."""
    code = fields.text(ussd_code, "ussd_code", limit=fields.MAX_ID)
    modem = (
        modem_id if fields.is_whole(modem_id) else fields.text(modem_id, "modem_id", limit=fields.MAX_ID, empty=True)
    )
    return Message(Command.REQUEST_USSD, _times(now) | {"ussd_code": code, "modem_id": modem})


def request(command: str, data: Mapping[str, Any]) -> Message:
    """Build any command, such as ``echo``, from the fields given."""
    name = fields.text(command, "command", limit=fields.MAX_ID)
    if not isinstance(data, Mapping):
        raise InvalidInput(f"data must be an object, not {fields.name_of_type(data)}.")
    return Message(name, dict(data))


def for_original_pi(message: Message) -> Message:
    """Return a copy that the Java OTP-Pi with ``dropExpireOTP`` on delivers.

    It compares the ``expiration`` of what is sent with the clock in milliseconds, that of ``request-otp`` in
    seconds, and knows mail as ``send-mail`` only.
    """
    if message.command not in (Command.SEND_SMS, Command.SEND_EMAIL, Command.SEND_MESSAGE):
        return message
    name = "send-mail" if message.command == Command.SEND_EMAIL else message.command
    return replace(message, command=name, data=dict(message.data) | {"expiration": message.data["expiration"] * 1000})


def _times(now: float, lifetime: object = None) -> dict[str, Any]:
    seconds = int(now)
    times = {"date_time": seconds}
    return times if lifetime is None else times | {"expiration": seconds + fields.lifetime(lifetime)}


def _about(now: float, receiver: str) -> dict[str, Any]:
    return _times(now) | {"receiver": fields.receiver(receiver)}


def _envelope(now: float, lifetime: object, message_id: object, receiver: str) -> dict[str, Any]:
    if lifetime is None:
        raise InvalidInput("lifetime must be a whole number of seconds, not nothing.")
    return _times(now, lifetime) | {
        "id": fields.message_id(message_id),
        "receiver": fields.receiver(receiver),
    }


def _reference(value: Scalar) -> dict[str, Any]:
    fields.reference(value)
    return {"reference": value}


def _parameters(values: Sequence[Scalar | None]) -> dict[str, Any]:
    fields.parameters(values)
    filled = ["" if value is None else value for value in values]
    filled += [""] * (fields.PARAMETERS - len(filled))
    return {f"param{index}": value for index, value in enumerate(filled, start=1)}
