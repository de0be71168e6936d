"""Print for humans and for programs: answers, failures, tables."""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import typer

from otp.codes import ResponseCode
from otp.results import Result

if TYPE_CHECKING:
    from rich.console import Console

FAILED: Final = 1
"""Exit code when something was refused or failed, or is not ready."""

USAGE: Final = 2
"""Exit code when the command line, the settings or the start is at fault."""

_PLAIN_WIDTH: Final = 120
"""Columns where there is no terminal that says how many it has."""


def fail(message: str, code: int = FAILED) -> typer.Exit:
    """Print what went wrong, each line with the program's name; return what ends it."""
    for line in message.splitlines():
        typer.echo(f"otp-pi: {line}", err=True)
    return typer.Exit(code)


def printable(text: str) -> str:
    """Keep a text on its line, and its control characters out of the terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def write(text: str) -> None:
    """Print a line in UTF-8 whatever the terminal's encoding: a message may have signs that it lacks."""
    typer.echo(f"{text}\n".encode(), nl=False)


def to_json(value: Any) -> str:
    """Return one line of JSON."""
    return json.dumps(value, separators=(",", ":"))


def styled(text: str, colour: str) -> str:
    """Colour a text for a terminal, unless ``NO_COLOR`` asks for none (no-color.org)."""
    return text if os.environ.get("NO_COLOR") or not sys.stdout.isatty() else typer.style(text, fg=colour)


def moment(at: float) -> str:
    """Return a time of this machine's zone in 14 columns."""
    return time.strftime("%m-%d %H:%M:%S", time.localtime(at))


def arrived(modem: str, receiver: str, text: str) -> None:
    """Print an SMS that an emulated modem sends."""
    try:
        write(f"{modem} -> {receiver}: {printable(text)}")
    except BrokenPipeError:
        # Nobody reads any more; the service goes on, and so do all further lines, to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_answer(answer: Mapping[str, Any], *, as_json: bool, hint: str = "") -> None:
    """Print the answer to a command.

    Args:
        answer: As it came.
        as_json: Print it as it came.
        hint: What else there is to say where the outcome is not known (1111).

    Raises:
        typer.Exit: With 1, unless the code is 0000 or 1111.
    """
    result = Result.from_answer("", answer)
    if as_json:
        typer.echo(to_json(answer))
        if not result.ok:
            raise typer.Exit(FAILED)
        return
    line = f"{result.response_code.value} {printable(result.message)}"
    if not result.ok:
        raise fail(line)
    number = result.data.get("journal")
    write(f"{line}{f' Row {number} of the journal.' if number else ''}")
    if result.response_code is ResponseCode.HANDED_OVER and hint:
        write(f"     {hint}")


def console() -> "Console":
    """Return where tables are printed: in colour on a terminal, plain and wide elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - few commands print tables, and it takes 0.1 s

    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_columns())


def _columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdigit() and int(columns) else _PLAIN_WIDTH
