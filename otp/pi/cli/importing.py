"""The command ``import``."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from otp.messages import Command
from otp.pi.cli import output
from otp.pi.cli.blocklist import change
from otp.pi.config import load

Source = Annotated[Path, typer.Argument(metavar="DIR", help="Its resource/data, or a directory that has it.")]
Target = Annotated[Path, typer.Option("--to", metavar="DIR", help="Where to write; made where it is missing.")]


def import_java(source: Source, target: Target = Path("otp-pi")) -> None:
    """Take over settings, API accounts and block list of a Java OTP-Pi; its files are only read.

    Prints what became of every key, then new passwords of the accounts that need one: they are shown this once.
    """
    from otp.pi.importing import convert, write  # noqa: PLC0415 - other commands do without it

    converted = convert(source)
    files = write(converted, target)
    for note in converted.notes:
        output.write(note)
    output.write("")
    if converted.blocked:
        asyncio.run(change(load(files[0]).settings.data_dir, converted.blocked, Command.BLOCK_MSISDN))
        output.write(f"{len(converted.blocked)} receivers are on the block list now: otp-pi blocked -c {files[0]}")
    for file in files:
        output.write(f"written: {file}")
    for account in converted.accounts:
        if account.new_password is not None:
            output.write(f"new password, shown this once: {account.user} {account.new_password}")
    output.write(f"next: otp-pi check-config {files[0]} && otp-pi run -c {files[0]}")
