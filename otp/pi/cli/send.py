"""The commands ``send-sms``, ``send-email`` and ``ussd``: by hand, the way every application's commands go."""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import typer

from otp import messages
from otp.errors import InvalidInput
from otp.messages import Command, Message
from otp.pi.cli import output, where
from otp.pi.settings import Settings
from otp.results import Result

LIFETIME: Final = 300
"""Seconds a message is good for that does not say."""

_HINTS: Final = {
    True: "otp-pi journal --follow shows what becomes of it.",
    False: "It stays in the journal; the next otp-pi run on this data_dir sends it while it is still good.",
}
"""What is said of an outcome that is not known, by whether a service is running."""

Text = Annotated[str, typer.Argument(metavar="TEXT", help="The text; - reads it from standard input.")]
Lifetime = Annotated[int, typer.Option(min=1, help="Seconds after which it is not worth sending.")]
Id = Annotated[str | None, typer.Option("--id", help="Id of the message: sent once, however often it is asked for.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds for modems to get ready, where no service is running.")]
Json = where.Json


def send_sms(
    receiver: Annotated[str, typer.Argument(metavar="RECEIVER", help="Telephone number.")],
    text: Text,
    lifetime: Lifetime = LIFETIME,
    message_id: Id = None,
    as_json: Json = False,
    wait: Wait = 20.0,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Send an SMS and say what became of it.

    Exit code 0: sent (0000), or stored with the outcome not known yet (1111). Exit code 1: not sent. Through the
    service that runs on the data directory; where none runs, this command drives the modems itself.
    """
    body = _read(text)
    _carry_out(
        where.find(config, data_dir, changes).settings,
        Command.SEND_SMS,
        lambda: messages.send_sms(
            receiver=receiver, message=body, message_id=_id(message_id), lifetime=lifetime, now=time.time()
        ),
        needs="modem",
        wait=wait,
        as_json=as_json,
    )


def send_email(
    receiver: Annotated[str, typer.Argument(metavar="RECEIVER", help="Mail address.")],
    text: Text,
    subject: Annotated[str, typer.Option(help="Subject; empty is that of the mail account.")] = "",
    lifetime: Lifetime = LIFETIME,
    message_id: Id = None,
    as_json: Json = False,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Send a mail and say what became of it; see send-sms."""
    body = _read(text)
    _carry_out(
        where.find(config, data_dir, changes).settings,
        Command.SEND_EMAIL,
        lambda: messages.send_email(
            receiver=receiver,
            message=body,
            subject=subject,
            message_id=_id(message_id),
            lifetime=lifetime,
            now=time.time(),
        ),
        needs="mail",
        wait=0.0,
        as_json=as_json,
    )


def ussd(
    code: Annotated[str, typer.Argument(metavar="CODE", help="What to dial, such as *123#.")],
    modem: Annotated[str, typer.Option("--modem", help="Its name, IMEI or IMSI; else the first that is ready.")] = "",
    as_json: Json = False,
    wait: Wait = 20.0,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Dial a USSD code and print the network's answer."""
    _carry_out(
        where.find(config, data_dir, changes).settings,
        Command.REQUEST_USSD,
        lambda: messages.request_ussd(ussd_code=code, modem_id=modem, now=time.time()),
        needs="modem",
        wait=wait,
        as_json=as_json,
    )


def _read(text: str) -> str:
    """Return a text, or standard input for ``-``: what stands on a command line, everyone on the machine can read."""
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise output.fail("standard input is not UTF-8 text", output.USAGE) from None


def _id(given: str | None) -> str:
    return messages.fresh_id() if given is None else given


def _carry_out(
    settings: Settings,
    command: Command,
    make: Callable[[], Message],
    *,
    needs: Literal["modem", "mail"],
    wait: float,
    as_json: bool,
) -> None:
    """Have a command carried out and print its answer.

    Args:
        settings: Whose service is meant.
        command: Its name, for the answer to one that cannot even be made.
        make: Returns the command.
        needs: Table without which no service of ours could do it.
        wait: Seconds for modems to get ready.
        as_json: Print the answer as it comes.
    """
    try:
        message = make()
    except InvalidInput as error:
        answer, running = Result.refused(command, error).to_dict(), False
    else:
        answer, running = asyncio.run(_ask(settings, message, needs, wait, as_json=as_json))
    output.show_answer(answer, as_json=as_json, hint=_HINTS[running])
    content = answer["data"].get("ussd_content")
    if content is not None and not as_json:
        output.write(output.printable(str(content)))


async def _ask(
    settings: Settings, message: Message, needs: Literal["modem", "mail"], wait: float, *, as_json: bool
) -> tuple[dict[str, Any], bool]:
    """Return the answer, and whether a service was running."""
    from otp.pi.cli.reach import reach, runs  # noqa: PLC0415 - other commands do without the service

    if not getattr(settings, needs) and not await runs(settings.data_dir):
        raise output.fail(
            f"otp-pi run is not running on data_dir {settings.data_dir}, and the settings have no [[{needs}]] "
            "to do it with; start it, or give the --config it runs with"
        )
    async with reach(settings, modems=needs == "modem", wait=wait, show_arrived=not as_json) as (client, running):
        return await client.command(message.to_dict()), running
