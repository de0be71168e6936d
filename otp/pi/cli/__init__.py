"""The command ``otp-pi``.

Exit codes: 0 done, 1 refused, failed or not ready, 2 when the command line, the settings or the start is at fault.
"""

from typing import Annotated

import typer

from broker.version import __version__
from otp.pi.cli.faults import Commands
from otp.pi.cli.run import run

app = typer.Typer(
    name="otp-pi",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="OTP-Pi: from WebSocket, RabbitMQ, Redis, MQTT and HTTP to GSM modems and mail, once and in time.\n\n"
    "Try it:     python -m htpasswd add --file .htpasswd alice && otp-pi run --modem emulate\n\n"
    "Send:       otp-pi send-sms +628123456789 'Hello'\n\n"
    "Look:       otp-pi monitor",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"otp-pi {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _examples(*commands: str) -> str:
    """Return the end of a help text; the backspace keeps its lines from being filled."""
    return "\n  ".join(["\b\nExamples:", *commands])


app.command(
    epilog=_examples(
        "otp-pi run --config pi.toml",
        "otp-pi run --modem emulate --password-file .htpasswd",
        "otp-pi run --no-rest --modem /dev/ttyUSB0 --ws 'ws://pi:PASSWORD@127.0.0.1:9000/ws?topic=sms'",
    )
)(run)


def main() -> None:
    """Run the command line."""
    app(prog_name="otp-pi")


__all__ = ["app", "main"]
