"""Read a command off the wire, for whoever carries it out: the mirror of ``otp.messages``.

| command                          | needs                      | may have                              |
|----------------------------------|----------------------------|---------------------------------------|
| request-otp                      | receiver message reference | expiration id subject param1..param4  |
| verify-otp                       | receiver otp reference     | param1..param4                        |
| resend-otp cancel-otp            | receiver reference         | message id subject                    |
| send-sms send-email send-message | receiver message           | expiration id subject                 |
| block-msisdn unblock-msisdn      | receiver, or msisdn        |                                       |
| request-ussd                     | ussd_code                  | modem_id                              |
| get-modem-list echo              |                            | anything                              |

``send-mail`` is ``send-email``, under the name it came with. Every field may be a number where text is meant.
"""

import re
from dataclasses import dataclass
from typing import Any

from otp import expiry, fields
from otp.errors import InvalidInput, InvalidMessage
from otp.json_reader import read_object
from otp.messages import Command

DEFAULT_CALLBACK_DELAY = 10
"""Milliseconds between an answer being ready and being sent, as the original has it."""

MAX_CALLBACK_DELAY = 10_000
"""A longer one is cut to this: waiting costs the receiving end."""

ALIASES = {"send-mail": Command.SEND_EMAIL}

_ADDRESS = ("receiver",)
_TEXT = ("receiver", "message")
_CODE = ("receiver", "reference")
NEEDED: dict[Command, tuple[str, ...]] = {
    Command.REQUEST_OTP: ("receiver", "message", "reference"),
    Command.VERIFY_OTP: ("receiver", "otp", "reference"),
    Command.RESEND_OTP: _CODE,
    Command.CANCEL_OTP: _CODE,
    Command.SEND_SMS: _TEXT,
    Command.SEND_EMAIL: _TEXT,
    Command.SEND_MESSAGE: _TEXT,
    Command.BLOCK_MSISDN: _ADDRESS,
    Command.UNBLOCK_MSISDN: _ADDRESS,
    Command.REQUEST_USSD: ("ussd_code",),
    Command.GET_MODEM_LIST: (),
    Command.ECHO: (),
}
"""What each command cannot do without."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Incoming:
    """A command that can be carried out. Fields it does not have are empty.

    Attributes:
        command: Its name as received: the name to answer with.
        action: What it means.
        data: Its fields as received.
        request: The whole object as received, which ``echo`` answers with.
        deadline: Until when it is good, Unix seconds.
        lifetime: Seconds a code asked for shall live; ``None`` when it does not say. May be zero or negative.
        callback_topic: Where the answer is awaited; empty when nobody waits.
        callback_delay: Milliseconds to wait before answering.
    """

    command: str
    action: Command
    data: dict[str, Any]
    request: dict[str, Any]
    deadline: float
    lifetime: int | None
    callback_topic: str
    callback_delay: int
    receiver: str
    message: str
    subject: str
    message_id: str
    reference: str
    otp: str | int
    params: tuple[str, str, str, str]
    ussd_code: str
    modem_id: str

    def __repr__(self) -> str:
        """Show names only: the fields hold codes and message bodies."""
        return f"<Incoming {self.action}, data keys {sorted(self.data)}>"

    def expired(self, now: float) -> bool:
        """Tell whether it is too late to carry it out."""
        return now > self.deadline

    def about(self) -> dict[str, Any]:
        """Return what answers repeat of it, with the types that came: ``date_time receiver reference``."""
        return {name: self.data[name] for name in ("date_time", "receiver", "reference") if name in self.data}


def read(payload: bytes | bytearray | str, arrived: float, *, offset: float = expiry.DEFAULT_OFFSET) -> Incoming:
    """Return the command a payload holds.

    Args:
        payload: One message as it came off the wire.
        arrived: When it did, Unix seconds.
        offset: Seconds a command is good for when it does not say.

    Raises:
        InvalidMessage: It cannot be carried out; ``command`` holds its name where there was one.
    """
    return interpret(read_object(payload), arrived, offset=offset)


def interpret(request: dict[str, Any], arrived: float, *, offset: float = expiry.DEFAULT_OFFSET) -> Incoming:
    """Return the command an object is, for whoever looked into it already; see ``read``."""
    name = request.get("command")
    if not isinstance(name, str) or not 0 < len(name) <= fields.MAX_ID:
        raise InvalidMessage("The message has no command that could be one.")
    try:
        return _incoming(name, request, arrived, offset)
    except InvalidMessage:
        raise
    except InvalidInput as error:
        raise InvalidMessage(str(error), command=name, reason=error.reason) from None


def _incoming(name: str, request: dict[str, Any], arrived: float, offset: float) -> Incoming:
    action = _action(name)
    data = _data(name, action, request)
    texts = _texts(data)
    _need(action, texts)
    return Incoming(
        command=name,
        action=action,
        data=data,
        request=request,
        deadline=expiry.limit(data, arrived, offset),
        lifetime=expiry.lifetime(data, arrived),
        callback_topic=_as_text(request.get("callback_topic"), "callback_topic"),
        callback_delay=_delay(request.get("callback_delay")),
        otp=data["otp"] if fields.is_whole(data.get("otp")) else texts["otp"],
        params=fields.parameters([data.get(f"param{index}") for index in range(1, fields.PARAMETERS + 1)]),
        receiver=fields.receiver(texts["receiver"]) if texts["receiver"] else "",
        message=texts["message"],
        subject=fields.subject(texts["subject"]),
        message_id=texts["id"],
        reference=texts["reference"],
        ussd_code=texts["ussd_code"],
        modem_id=texts["modem_id"],
    )


def _action(name: str) -> Command:
    if name in ALIASES:
        return ALIASES[name]
    try:
        return Command(name)
    except ValueError:
        shown = name if re.fullmatch(r"[a-z0-9-]{1,40}", name) else "of this name"
        raise InvalidMessage(f"There is no command {shown}.", command=name, reason="unknown_command") from None


def _data(name: str, action: Command, request: dict[str, Any]) -> dict[str, Any]:
    data = request.get("data", {} if not NEEDED[action] else None)
    if not isinstance(data, dict):
        raise InvalidMessage(f"data must be an object, not {fields.name_of_type(data)}.", command=name)
    return data


_LIMITS = {
    "receiver": fields.MAX_RECEIVER,
    "message": fields.MAX_EMAIL,
    "subject": fields.MAX_FIELD,
    "id": fields.MAX_ID,
    "reference": fields.MAX_FIELD,
    "otp": fields.MAX_FIELD,
    "ussd_code": fields.MAX_ID,
    "modem_id": fields.MAX_ID,
}


def _texts(data: dict[str, Any]) -> dict[str, str]:
    texts = {name: _as_text(data.get(name), name, limit) for name, limit in _LIMITS.items()}
    if not texts["receiver"]:
        texts["receiver"] = _as_text(data.get("msisdn"), "msisdn")
    return texts


def _need(action: Command, texts: dict[str, str]) -> None:
    missing = [name for name in NEEDED[action] if not texts[name].strip()]
    if missing:
        raise InvalidInput(f"{action} needs {' and '.join(missing)}.")


def _as_text(value: object, name: str, limit: int = fields.MAX_FIELD) -> str:
    if value is None:
        return ""
    return fields.text(fields.whole_as_text(value, name), name, limit=limit, empty=True)


def _delay(value: object) -> int:
    """Return milliseconds from a number or its text, without sign, at most the maximum."""
    text = str(value).strip() if fields.is_whole(value) or isinstance(value, str) else ""
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        return DEFAULT_CALLBACK_DELAY
    return min(abs(int(text)), MAX_CALLBACK_DELAY)
