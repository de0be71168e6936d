"""The command ``otp-pi``.

Exit codes: 0 done, 1 refused, failed or not ready, 2 when the command line, the settings or the start is at fault.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from broker.version import __version__
from otp.pi.cli import blocklist, config, importing, journal, modems, monitor, run, send
from otp.pi.cli.faults import Commands
from otp.pi.emulator.cli import emulate

app = typer.Typer(
    name="otp-pi",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="OTP-Pi: from WebSocket, RabbitMQ, Redis, MQTT and HTTP to GSM modems and mail, once and in time.\n\n"
    "\b\n"  # keeps the lines from being filled
    "Try it:     python -m htpasswd add --file .htpasswd alice\n"
    "            otp-pi run --modem emulate\n"
    "Send:       otp-pi send-sms +628123456789 'Hello'\n"
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


def _add(name: str, function: Callable[..., None], *examples: str) -> None:
    """Add a command, with lines to paste at the end of its help; the backspace keeps them from being filled."""
    app.command(name, epilog="\n  ".join(["\b\nExamples:", *examples]))(function)


_add(
    "run",
    run.run,
    "otp-pi run --config pi.toml",
    "otp-pi run --modem emulate --password-file .htpasswd",
    "otp-pi run --no-rest --modem /dev/ttyUSB0 --ws 'ws://pi:PASSWORD@127.0.0.1:9000/ws?topic=sms'",
)
_add("status", monitor.status, "otp-pi status", "otp-pi status --config pi.toml --json")
_add("monitor", monitor.monitor, "otp-pi monitor", "otp-pi monitor --once > snapshot.txt")
_add("modems", modems.modems, "otp-pi modems", "otp-pi modems --config pi.toml --json")
_add(
    "send-sms",
    send.send_sms,
    "otp-pi send-sms +628123456789 'Hello'",
    "echo 'Hello' | otp-pi send-sms --config pi.toml --lifetime 60 +628123456789 -",
)
_add(
    "send-email",
    send.send_email,
    "otp-pi send-email --subject 'A word' ann@example.org 'Hello'",
    "otp-pi send-email --config pi.toml ann@example.org - < text.txt",
)
_add("ussd", send.ussd, "otp-pi ussd '*123#'", "otp-pi ussd --modem sim-2 '*123#'")
_add("block", blocklist.block, "otp-pi block +628123456789")
_add("unblock", blocklist.unblock, "otp-pi unblock +628123456789")
_add("blocked", blocklist.blocked, "otp-pi blocked", "otp-pi blocked --json")
_add(
    "journal",
    journal.journal,
    "otp-pi journal --limit 50 --state failed",
    "otp-pi journal --follow --receiver +628123456789",
    "otp-pi journal --json --limit 1000 > journal.jsonl",
)
_add("inbox", journal.inbox, "otp-pi inbox", "otp-pi inbox --json --limit 5")
_add("check-config", config.check_config, "otp-pi check-config pi.toml")
_add("default-config", config.default_config, "otp-pi default-config > pi.toml")
_add("import", importing.import_java, "otp-pi import /var/otp-pi/resource/data --to /etc/otp-pi")
_add("emulate", emulate, "otp-pi emulate --modems 2 --link-dir modems", "otp-pi emulate --cms 38 --cms-times 2 --json")


def main() -> None:
    """Run the command line."""
    app(prog_name="otp-pi")
