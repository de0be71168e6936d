"""The commands ``block``, ``unblock`` and ``blocked``."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from otp import messages
from otp.messages import Command, Message
from otp.pi.cli import output, where
from otp.pi.settings import Settings
from otp.results import Result

Receiver = Annotated[str, typer.Argument(metavar="RECEIVER", help="Telephone number or mail address.")]

_SAID: Final = {
    Command.BLOCK_MSISDN: "is blocked: nothing is sent to it any more.",
    Command.UNBLOCK_MSISDN: "is not blocked.",
}


def block(
    receiver: Receiver,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Put a receiver on the block list; what waits for it is not sent either."""
    message = messages.block_msisdn(receiver=receiver, now=time.time())
    _change(where.find(config, data_dir, changes).settings, receiver, message)


def unblock(
    receiver: Receiver,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Take a receiver off the block list."""
    message = messages.unblock_msisdn(receiver=receiver, now=time.time())
    _change(where.find(config, data_dir, changes).settings, receiver, message)


def blocked(
    as_json: where.Json = False,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Print the block list."""
    found = asyncio.run(_list(where.find(config, data_dir, changes).settings.data_dir))
    if as_json:
        typer.echo(output.to_json(found))
        return
    for each in found:
        output.write(f"{each['receiver_key']}  since {output.moment(each['since'])}")


def _change(settings: Settings, receiver: str, message: Message) -> None:
    from otp.pi.cli.reach import numbers  # noqa: PLC0415 - other commands do without the service

    key = numbers(settings).key(receiver)
    result = Result.from_answer(message.command, asyncio.run(_carry_out(settings, key, message)))
    if not result.ok:
        raise output.fail(f"{result.response_code.value} {output.printable(result.message)}")
    output.write(f"{output.printable(key)} {_SAID[Command(message.command)]}")


async def _carry_out(settings: Settings, key: str, message: Message) -> dict[str, Any]:
    """Have the service do it; where none is running, do it in the journal."""
    from otp.pi.cli.reach import is_running  # noqa: PLC0415 - other commands do without the service
    from otp.pi.control import ControlClient, DirectoryLock  # noqa: PLC0415

    async with ControlClient(settings.data_dir) as client:
        if await is_running(client):
            return await client.command(message.to_dict())
    with DirectoryLock(settings.data_dir):
        await change(settings.data_dir, [key], message.command)
    return {"response_code": "0000"}


async def change(directory: Path, keys: list[str], command: str) -> None:
    """Block or unblock receivers in the journal of a directory that no service works on.

    Args:
        directory: The data directory.
        keys: The receivers, in the one spelling that the list goes by.
        command: ``block-msisdn`` or ``unblock-msisdn``; each receiver gets a row of it.
    """
    from otp.pi.journal import Journal  # noqa: PLC0415 - other commands do without the journal
    from otp.pi.model import Origin, State  # noqa: PLC0415

    journal = await Journal.open(directory)
    try:
        apply = journal.block if command == Command.BLOCK_MSISDN else journal.unblock
        for key in keys:
            await apply(key)
            await journal.record(
                command=command, origin=Origin(road="local"), arrived=time.time(), state=State.DONE, receiver=key
            )
    finally:
        await journal.close()


async def _list(directory: Path) -> list[dict[str, Any]]:
    from otp.pi.journal import Journal  # noqa: PLC0415 - other commands do without the journal

    journal = await Journal.open(directory, read_only=True)
    try:
        return [each.to_dict() for each in await journal.blocked()]
    finally:
        await journal.close()
