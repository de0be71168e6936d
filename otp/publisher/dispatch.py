"""Carry out commands that came in as JSON, with the methods of the publisher: what the server does."""

from collections.abc import Awaitable, Callable
from typing import Any

from otp import incoming
from otp.codes import ResponseCode
from otp.errors import InvalidMessage
from otp.incoming import Incoming
from otp.messages import Command
from otp.publisher.client import DEFAULT_LIFETIME, AsyncPublisher
from otp.results import Result

_Method = Callable[[AsyncPublisher, Incoming], Awaitable[Result]]


async def carry_out(publisher: AsyncPublisher, body: bytes, now: float) -> dict[str, Any]:
    """Carry out one command and return the answer's JSON object.

    Args:
        publisher: What does the work.
        body: The command, as it came.
        now: The present, Unix seconds.
    """
    try:
        command = incoming.read(body, now)
    except InvalidMessage as error:
        return Result.refused(error.command, error).to_dict()
    if command.action in _TIMED and command.expired(now):
        return _answer(command, Result(command.command, ResponseCode.EXPIRED, reason="expired"))
    return _answer(command, await _METHODS[command.action](publisher, command))


def _answer(command: Incoming, result: Result) -> dict[str, Any]:
    """Return the answer under the command's own name, repeating what it was about with the types that came."""
    answer = result.to_dict() | {"command": command.command}
    if command.action in (Command.REQUEST_OTP, Command.VERIFY_OTP):
        answer["data"] = {**answer["data"], **command.about()}
    return answer


def _id(command: Incoming) -> Any:
    """Return the message id with the type it came with; ``None`` for none."""
    return command.data.get("id")


def _lifetime(command: Incoming) -> int:
    return DEFAULT_LIFETIME if command.lifetime is None else command.lifetime


async def _create(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.create_otp(
        receiver=command.receiver,
        reference=command.reference,
        message=command.message,
        lifetime=command.lifetime,
        params=command.params,
        subject=command.subject,
        id=_id(command),
    )


async def _verify(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.verify_otp(
        receiver=command.receiver, otp=command.otp, reference=command.reference, params=command.params
    )


async def _resend(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.resend_otp(
        receiver=command.receiver,
        reference=command.reference,
        message=command.message,
        subject=command.subject,
        id=_id(command),
    )


async def _cancel(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.cancel_otp(receiver=command.receiver, reference=command.reference)


async def _sms(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.send_sms(
        receiver=command.receiver, message=command.message, lifetime=_lifetime(command), id=_id(command)
    )


async def _email(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.send_email(
        receiver=command.receiver,
        message=command.message,
        subject=command.subject,
        lifetime=_lifetime(command),
        id=_id(command),
    )


async def _message(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.send_message(
        receiver=command.receiver,
        message=command.message,
        subject=command.subject,
        lifetime=_lifetime(command),
        id=_id(command),
    )


async def _block(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.block_msisdn(receiver=command.receiver)


async def _unblock(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.unblock_msisdn(receiver=command.receiver)


async def _modems(otp: AsyncPublisher, _command: Incoming) -> Result:
    return await otp.get_modem_list()


async def _ussd(otp: AsyncPublisher, command: Incoming) -> Result:
    return await otp.request_ussd(ussd_code=command.ussd_code, modem_id=command.modem_id)


async def _echo(_otp: AsyncPublisher, command: Incoming) -> Result:
    return Result(command.command, ResponseCode.SUCCESS, command.data)


_METHODS: dict[Command, _Method] = {
    Command.REQUEST_OTP: _create,
    Command.VERIFY_OTP: _verify,
    Command.RESEND_OTP: _resend,
    Command.CANCEL_OTP: _cancel,
    Command.SEND_SMS: _sms,
    Command.SEND_EMAIL: _email,
    Command.SEND_MESSAGE: _message,
    Command.BLOCK_MSISDN: _block,
    Command.UNBLOCK_MSISDN: _unblock,
    Command.GET_MODEM_LIST: _modems,
    Command.REQUEST_USSD: _ussd,
    Command.ECHO: _echo,
}

_TIMED = frozenset({Command.REQUEST_OTP, Command.SEND_SMS, Command.SEND_EMAIL, Command.SEND_MESSAGE})
"""Commands that are not worth carrying out once their expiration has passed."""
