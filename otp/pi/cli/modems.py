"""The command ``modems``."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from otp.pi.cli import output, where
from otp.pi.cli.send import Wait
from otp.pi.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_BARS: Final = "▂▄▆█"
_STRONG: Final = 31
"""The highest signal there is (3GPP TS 27.007, 8.5)."""

_COLOURS: Final = {"ready": "green", "opening": "yellow", "not_registered": "yellow"}


def modems(
    as_json: where.Json = False,
    wait: Wait = 20.0,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """List the modems: where they are, who they are, how they are.

    Those of the service that runs on the data directory; where none runs, this command opens them itself.
    """
    settings = where.find(config, data_dir, changes).settings
    found = asyncio.run(_ask(settings, wait))
    if as_json:
        typer.echo(output.to_json(found))
    elif found:
        output.console().print(table(found))
        for modem in found:
            if modem["detail"]:
                output.write(f"{modem['name']}: {output.printable(modem['detail'])}")
    else:
        raise output.fail("no modem is configured: add a [[modem]] to the settings, or give the --config that has one")


async def _ask(settings: Settings, wait: float) -> list[dict[str, Any]]:
    from otp.pi.cli.reach import reach, runs  # noqa: PLC0415 - other commands do without the service

    if not settings.modem and not await runs(settings.data_dir):
        return []
    async with reach(settings, wait=wait, show_arrived=False) as (client, _):
        found: list[dict[str, Any]] = (await client.get("/status"))["modems"]
        return found


def table(found: Sequence[Mapping[str, Any]]) -> "Table":
    """Return a table of modems; where it is too wide, ports are cut."""
    from rich import box  # noqa: PLC0415 - few commands print tables
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for heading in ("name", "port", "IMEI", "operator", "signal", "state"):
        # What may wrap is made narrower first; a path has no blanks to wrap at, so that it is cut.
        made.add_column(heading, no_wrap=heading != "port", overflow="ellipsis")
    for modem in found:
        shown = [output.printable(str(modem[name] or "-")) for name in ("name", "port", "imei", "operator")]
        made.add_row(*map(Text, shown), signal(modem), state(modem, detail=False))
    return made


def signal(modem: Mapping[str, Any]) -> str:
    """Return the signal as bars and in dBm."""
    value = modem["signal"]
    if value is None:
        return "-"
    return f"{_BARS[: 1 + value * len(_BARS) // (_STRONG + 1)]:<4} {modem['rssi_dbm']} dBm"


def state(modem: Mapping[str, Any], *, detail: bool) -> "Text":
    """Return the state in words and colour, on demand with what is wrong and what to do."""
    from rich.text import Text  # noqa: PLC0415 - few commands print tables

    if not modem["active"]:
        return Text("switched off", style="dim")
    text = Text(modem["state"].replace("_", " "), style=_COLOURS.get(modem["state"], "red"))
    return (
        text.append(f": {output.printable(modem['detail'])}", style="default") if detail and modem["detail"] else text
    )
