"""The commands ``journal`` and ``inbox``; both read the journal's file, whether a service is running or not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from otp.pi.cli import output, where
from otp.pi.model import FINAL, State

if TYPE_CHECKING:
    from otp.pi.journal import Journal, Row

FOLLOW_EVERY: Final = 0.5
"""Seconds between two looks at the journal."""

_PAGE: Final = 1000
_WATCHED: Final = 200
"""Rows that have not ended, and whose end is told as well; the newest."""

_HEADING: Final = f"{'ROW':>6}  {'ARRIVED':14}  {'COMMAND':14}  {'RECEIVER':15}  {'STATE':11}  ROAD -> MODEM: REASON"
_COLOURS: Final = {
    **dict.fromkeys((State.SENT, State.DELIVERED, State.DONE), "green"),
    **dict.fromkeys((State.QUEUED, State.ROUTED, State.SENDING), "cyan"),
    **dict.fromkeys((State.UNKNOWN, State.DUPLICATE, State.EXPIRED), "yellow"),
}

Limit = Annotated[int, typer.Option(min=1, max=1_000_000, help="How many of the last ones.")]


def journal(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, until interrupted.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one row a line.")] = False,
    limit: Limit = 20,
    state: Annotated[State | None, typer.Option(help="Only rows in this state.")] = None,
    receiver: Annotated[str | None, typer.Option(help="Only rows of this receiver.")] = None,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Print what became of the last messages and commands, the newest last; never what they say."""
    settings = where.find(config, data_dir, changes).settings
    key = None
    if receiver is not None:
        from otp.pi.cli.reach import numbers  # noqa: PLC0415 - brings the service, which is seldom needed here

        key = numbers(settings).key(receiver)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_journal(settings.data_dir, limit, state, key, follow=follow, as_json=as_json))


def inbox(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one SMS a line.")] = False,
    limit: Limit = 20,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Print the last SMS that the modems received, with their texts, the newest last."""
    letters = asyncio.run(_inbox(where.find(config, data_dir, changes).settings.data_dir, limit))
    for each in reversed(letters):
        if as_json:
            typer.echo(output.to_json(each))
        else:
            sender, text = output.printable(each["sender"]), output.printable(each["text"])
            output.write(f"{each['number']:>6}  {output.moment(each['arrived'])}  {each['modem']} <- {sender}: {text}")


@asynccontextmanager
async def _opened(directory: Path) -> "AsyncIterator[Journal]":
    from otp.pi.journal import Journal  # noqa: PLC0415 - other commands do without the journal

    journal = await Journal.open(directory, read_only=True)
    try:
        yield journal
    finally:
        await journal.close()


async def _inbox(directory: Path, limit: int) -> list[dict[str, Any]]:
    async with _opened(directory) as journal:
        return [each.to_dict() for each in await journal.inbox(limit)]


async def _journal(
    directory: Path, limit: int, state: State | None, receiver: str | None, *, follow: bool, as_json: bool
) -> None:
    async with _opened(directory) as journal:
        # Read first: what changes while the rows are printed is told by whoever follows.
        seen = await journal.rows(limit=_WATCHED, receiver=receiver)
        if not as_json:
            output.write(_HEADING)
        rows = await journal.rows(limit=limit, state=state, receiver=receiver)
        for row in reversed(rows):
            _show(row, as_json=as_json)
        if follow:
            async for row in changes_of(journal, receiver, seen):
                if state in {None, row.state}:
                    _show(row, as_json=as_json)


async def changes_of(journal: "Journal", receiver: str | None, seen: "Sequence[Row]") -> "AsyncIterator[Row]":
    """Yield every row that is new, and those that have not ended whenever their state changes; does not end.

    Args:
        journal: Where they are.
        receiver: Only rows of this one; ``None`` for all.
        seen: Rows that are known, the newest first.
    """
    last = seen[0].number if seen else 0
    watched = {row.number: row.state for row in reversed(seen) if row.state not in FINAL}
    while True:
        await asyncio.sleep(FOLLOW_EVERY)
        for row in [
            *await _look_again(journal, watched),
            *await journal.rows(limit=_PAGE, after=last, receiver=receiver),
        ]:
            last = max(last, row.number)
            if row.state is watched.get(row.number):
                continue
            yield row
            watched[row.number] = row.state
            if row.state in FINAL:
                del watched[row.number]
        while len(watched) > _WATCHED:
            del watched[min(watched)]


async def _look_again(journal: "Journal", watched: dict[int, State]) -> "list[Row]":
    return [row for number in list(watched) for row in await journal.rows(limit=1, after=number - 1)]


def _show(row: "Row", *, as_json: bool) -> None:
    output.write(output.to_json(row.to_dict()) if as_json else line(row))


def line(row: "Row") -> str:
    """Return a row in columns."""
    state = output.styled(f"{row.state:11}", _COLOURS.get(row.state, "red"))
    receiver = output.printable(row.receiver) or "-"
    command = output.printable(row.command) or "-"
    way = " -> ".join(word for word in (row.road, row.modem) if word)
    again = ", may arrive twice" if row.possible_duplicate else ""
    first = f" of row {row.duplicate_of}" if row.duplicate_of is not None else ""
    why = f": {row.reason}" if row.reason else ""
    moment = output.moment(row.arrived)
    return f"{row.number:>6}  {moment}  {command:14}  {receiver:15}  {state}  {way}{why}{first}{again}"
