"""The commands ``monitor`` and ``status``."""

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from otp.pi.cli import output, where

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from otp.pi.control import ControlClient

_STATUS: Final = "/status"


def status(
    as_json: where.Json = False,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Say whether all that is configured works: exit 0 when it does, 1 with one line per reason when not."""
    found = asyncio.run(_ask(where.find(config, data_dir, changes).settings.data_dir))
    if as_json:
        typer.echo(output.to_json(found))
        if not found["ready"]:
            raise typer.Exit(output.FAILED)
    elif found["ready"]:
        output.write(f"ready: {len(found['inputs'])} inputs, {len(found['modems'])} modems")
    else:
        raise output.fail("\n".join(f"not ready: {output.printable(reason)}" for reason in found["reasons"]))


def monitor(
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, print, and end; so it is without a terminal.")
    ] = False,
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
) -> None:
    """Watch the service that runs on the data directory: inputs, modems, mail, queue, last events. Ctrl-C ends it."""
    directory = where.find(config, data_dir, changes).settings.data_dir
    with contextlib.suppress(KeyboardInterrupt):
        if once or not sys.stdout.isatty():
            _print(asyncio.run(_ask(directory)))
        else:
            asyncio.run(_watch(directory, interval))


async def _ask(directory: "Path") -> dict[str, Any]:
    from otp.pi.control import ControlClient  # noqa: PLC0415 - brings an HTTP client, which few commands need

    async with ControlClient(directory) as client:
        return await client.get(_STATUS)


def _print(snapshot: dict[str, Any]) -> None:
    from otp.pi.cli.screen import screen  # noqa: PLC0415 - few commands print tables

    output.console().print(screen(snapshot))


async def _watch(directory: "Path", interval: float) -> None:
    from otp.pi.control import ControlClient  # noqa: PLC0415 - brings an HTTP client, which few commands need

    async with ControlClient(directory) as client:
        await live(client, output.console(), interval)


async def live(client: "ControlClient", console: "Console", interval: float) -> None:
    """Show how the service is, again and again; a service that ends is waited for.

    Raises:
        NotRunningError: There is no service to begin with.
    """
    from rich.live import Live  # noqa: PLC0415 - few commands print tables

    from otp.pi.cli.screen import screen  # noqa: PLC0415
    from otp.pi.control import NotRunningError  # noqa: PLC0415

    snapshot, lost = await client.get(_STATUS), ""
    with Live(console=console, screen=True, auto_refresh=False) as view:
        while True:
            view.update(screen(snapshot, height=console.height, lost=lost), refresh=True)
            await asyncio.sleep(interval)
            try:
                snapshot, lost = await client.get(_STATUS), ""
            except NotRunningError as error:
                lost = str(error)
