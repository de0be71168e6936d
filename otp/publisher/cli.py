"""The command ``otp-publisher``: every method of the publisher, a check, and the server.

Exit codes: 0 for the response codes 0000 and 1111, 1 for every other, 2 when the command line or the settings are at
fault. ``--json`` may stand anywhere and prints the result object; without it, a sentence for a human.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from otp.errors import OtpError
from otp.publisher.check import findings
from otp.publisher.client import DEFAULT_LIFETIME, AsyncPublisher
from otp.publisher.config import CONFIG_VARIABLE
from otp.results import Result

FAILED = 1
USAGE = 2

_JSON_FLAG = "--json"

app = typer.Typer(
    name="otp-publisher",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Send one-time codes, SMS and mail through an OTP-Pi, over REST, RabbitMQ, Redis, MQTT or WebSocket.",
)


@app.callback()
def _main(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", envvar=CONFIG_VARIABLE, help="INI file with the settings.")
    ] = None,
    as_json: Annotated[bool, typer.Option(_JSON_FLAG, help="Print the result object; may stand anywhere.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell more on standard error.")] = False,
) -> None:
    context.obj = _Output(config, as_json)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s")


class _Output:
    """What all commands share: where the settings are, and how results are shown."""

    def __init__(self, config: Path | None, as_json: bool) -> None:
        self.config = config
        self.as_json = as_json

    def publisher(self) -> AsyncPublisher:
        return AsyncPublisher() if self.config is None else AsyncPublisher.from_config(self.config)

    def run(self, command: str, call: Callable[[AsyncPublisher], Coroutine[Any, Any, Result]]) -> None:
        """Call one method, print its result and end with its exit code."""

        async def work() -> Result:
            async with self.publisher() as publisher:
                return await call(publisher)

        try:
            result = asyncio.run(work())
        except OtpError as error:
            self.show(Result.refused(command, error))
            raise typer.Exit(USAGE) from None
        self.show(result)
        raise typer.Exit(0 if result.ok else FAILED)

    def show(self, result: Result) -> None:
        """Print a result."""
        if self.as_json:
            typer.echo(result.to_json())
            return
        typer.echo(f"{result.response_code.value} {result.message}", err=not result.ok)
        if result.expires_at is not None:
            typer.echo(f"     expires at {result.expires_at} (Unix time)")
        if result.resend_after is not None:
            typer.echo(f"     can be asked for again in {result.resend_after} s", err=not result.ok)


Receiver = Annotated[str, typer.Option("--receiver", help="Telephone number or mail address.")]
Number = Annotated[str, typer.Option("--receiver", help="Telephone number.")]
Address = Annotated[str, typer.Option("--receiver", help="Mail address.")]
Text = Annotated[str, typer.Option("--message", help="The text; - reads it from standard input.")]
Template = Annotated[
    str, typer.Option("--message", help="The text, with %s where the code goes; - reads it from standard input.")
]
Reference = Annotated[str, typer.Option("--reference", help="The transaction's number.")]
Params = Annotated[list[str] | None, typer.Option("--param", help="A value that verifying repeats; up to four times.")]
Subject = Annotated[str, typer.Option("--subject", help="Subject of a mail.")]
Lifetime = Annotated[int, typer.Option("--lifetime", help="Seconds after which it is not worth sending.")]
Id = Annotated[str | None, typer.Option("--id", help="Id of the message; a fresh one when left out.")]


def _read(text: str) -> str:
    """Return a text, or standard input for ``-``: what stands on a command line, everyone on the machine can read."""
    return sys.stdin.read().rstrip("\n") if text == "-" else text


@app.command("create-otp")
def create_otp(
    context: typer.Context,
    receiver: Receiver,
    reference: Reference,
    message: Template,
    lifetime: Annotated[int, typer.Option(help="Seconds the code lives.")] = DEFAULT_LIFETIME,
    param: Params = None,
    subject: Subject = "",
    id: Id = None,  # noqa: A002 - the option's name
) -> None:
    """Make a code and send it."""
    text = _read(message)
    context.obj.run(
        "request-otp",
        lambda otp: otp.create_otp(
            receiver=receiver,
            reference=reference,
            message=text,
            lifetime=lifetime,
            params=param or (),
            subject=subject,
            id=id,
        ),
    )


@app.command("verify-otp")
def verify_otp(
    context: typer.Context,
    receiver: Receiver,
    reference: Reference,
    otp: Annotated[str, typer.Option("--otp", help="The code as typed; - reads it from standard input.")],
    param: Params = None,
) -> None:
    """Say whether a code is right: exit code 0 for right, 1 for anything else."""
    code = _read(otp)
    context.obj.run(
        "verify-otp",
        lambda publisher: publisher.verify_otp(receiver=receiver, otp=code, reference=reference, params=param or ()),
    )


@app.command("resend-otp")
def resend_otp(
    context: typer.Context,
    receiver: Receiver,
    reference: Reference,
    message: Template,
    subject: Subject = "",
    id: Id = None,  # noqa: A002 - the option's name
) -> None:
    """Send the same code once more."""
    text = _read(message)
    context.obj.run(
        "resend-otp",
        lambda otp: otp.resend_otp(receiver=receiver, reference=reference, message=text, subject=subject, id=id),
    )


@app.command("cancel-otp")
def cancel_otp(context: typer.Context, receiver: Receiver, reference: Reference) -> None:
    """Forget a code."""
    context.obj.run("cancel-otp", lambda otp: otp.cancel_otp(receiver=receiver, reference=reference))


@app.command("send-sms")
def send_sms(
    context: typer.Context,
    receiver: Number,
    message: Text,
    lifetime: Lifetime = DEFAULT_LIFETIME,
    id: Id = None,  # noqa: A002 - the option's name
) -> None:
    """Send an SMS."""
    text = _read(message)
    context.obj.run("send-sms", lambda otp: otp.send_sms(receiver=receiver, message=text, lifetime=lifetime, id=id))


@app.command("send-email")
def send_email(
    context: typer.Context,
    receiver: Address,
    message: Text,
    subject: Subject = "",
    lifetime: Lifetime = DEFAULT_LIFETIME,
    id: Id = None,  # noqa: A002 - the option's name
) -> None:
    """Send a mail."""
    text = _read(message)
    context.obj.run(
        "send-email",
        lambda otp: otp.send_email(receiver=receiver, message=text, subject=subject, lifetime=lifetime, id=id),
    )


@app.command("send-message")
def send_message(
    context: typer.Context,
    receiver: Receiver,
    message: Text,
    subject: Subject = "",
    lifetime: Lifetime = DEFAULT_LIFETIME,
    id: Id = None,  # noqa: A002 - the option's name
) -> None:
    """Send an SMS or a mail, as the receiver has an @ or not."""
    text = _read(message)
    context.obj.run(
        "send-message",
        lambda otp: otp.send_message(receiver=receiver, message=text, subject=subject, lifetime=lifetime, id=id),
    )


@app.command("block")
def block(context: typer.Context, receiver: Number) -> None:
    """Have the OTP-Pi refuse every message to a number."""
    context.obj.run("block-msisdn", lambda otp: otp.block_msisdn(receiver=receiver))


@app.command("unblock")
def unblock(context: typer.Context, receiver: Number) -> None:
    """Take a number off the block list."""
    context.obj.run("unblock-msisdn", lambda otp: otp.unblock_msisdn(receiver=receiver))


@app.command("modems")
def modems(context: typer.Context) -> None:
    """List the modems of the OTP-Pi."""
    context.obj.run("get-modem-list", lambda otp: _shown(otp.get_modem_list(), context.obj, _modem_lines))


@app.command("ussd")
def ussd(
    context: typer.Context,
    ussd_code: Annotated[str, typer.Option("--ussd-code", "--code", help="What to dial, such as *123#.")],
    modem_id: Annotated[str, typer.Option("--modem-id", "--modem", help="On which modem.")] = "",
) -> None:
    """Dial a USSD code on a modem of the OTP-Pi."""
    context.obj.run(
        "request-ussd",
        lambda otp: _shown(
            otp.request_ussd(ussd_code=ussd_code, modem_id=modem_id),
            context.obj,
            lambda data: [str(data.get("ussd_content", ""))],
        ),
    )


async def _shown(
    asking: Coroutine[Any, Any, Result], output: _Output, lines: Callable[[dict[str, Any]], list[str]]
) -> Result:
    """Print what an answer holds, for humans."""
    result = await asking
    if result.ok and not output.as_json:
        for line in lines(dict(result.data)):
            typer.echo(line)
    return result


def _modem_lines(data: dict[str, Any]) -> list[str]:
    found = data.get("modem_list")
    modems_found = list(found.values()) if isinstance(found, dict) else []
    return [_modem_line(modem) for modem in modems_found if isinstance(modem, dict)] or ["no modems"]


def _modem_line(modem: dict[str, Any]) -> str:
    strength = modem.get("signalStrength")
    level = strength.get("value") if isinstance(strength, dict) else strength
    state = "connected" if modem.get("connected") else "not connected"
    shown = (modem.get("id"), modem.get("name"), modem.get("port"), modem.get("copsOperator"), f"signal {level}", state)
    return "  ".join(str(part) for part in shown if part not in (None, "", "signal None"))


@app.command("check")
def check(context: typer.Context) -> None:
    """Connect, and say what works and how long it took; nothing is sent."""
    output: _Output = context.obj

    async def work() -> bool:
        good, found = True, []
        async with output.publisher() as publisher:
            async for finding in findings(publisher):
                good = good and finding.ok
                found.append(
                    {"name": finding.name, "ok": finding.ok, "text": finding.text, "ms": round(finding.seconds * 1000)}
                )
                if not output.as_json:
                    state = "ok    " if finding.ok else "FAILED"
                    typer.echo(f"{finding.name:8}  {state}  {finding.seconds * 1000:5.0f} ms  {finding.text}")
        if output.as_json:
            typer.echo(json.dumps({"ok": good, "findings": found}, separators=(",", ":")))
        return good

    try:
        good = asyncio.run(work())
    except OtpError as error:
        output.show(Result.refused("check", error))
        raise typer.Exit(USAGE) from None
    raise typer.Exit(0 if good else FAILED)


@app.command("serve")
def serve(
    context: typer.Context,
    password_file: Annotated[Path, typer.Option(help="Accounts that may ask: an .htpasswd file.")] = Path(".htpasswd"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8898,
    max_body: Annotated[int, typer.Option(help="Bytes of a request at most.")] = 1024 * 1024,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file with the certificate; makes it HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, where it is in another file.")] = None,
) -> None:
    """Serve /api/otp until TERM or INT, for applications in any language."""
    # No other command needs the web server and password hashes.
    from otp.http import server_tls  # noqa: PLC0415
    from otp.publisher import server  # noqa: PLC0415

    output: _Output = context.obj
    logging.getLogger("otp.publisher").setLevel(logging.INFO)

    async def work() -> None:
        shown = server_tls(tls_certificate, tls_key) if tls_certificate else None
        async with output.publisher() as publisher:
            await server.serve(
                publisher,
                password_file,
                host=host,
                port=port,
                max_body=max_body,
                tls=shown,
                ready=_announce,
            )

    try:
        asyncio.run(work())
    except (OtpError, OSError) as error:
        typer.echo(f"otp-publisher: {_words(error)}", err=True)
        raise typer.Exit(USAGE) from None


def _announce(url: str) -> None:
    typer.echo(f"serving {url}", err=True)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or ''} {error.strerror}".strip()
    return str(error)


def main() -> None:
    """Run the command line; ``--json`` is taken from wherever it stands."""
    arguments = sys.argv[1:]
    if _JSON_FLAG in arguments:
        arguments = [_JSON_FLAG, *(argument for argument in arguments if argument != _JSON_FLAG)]
    app(args=arguments, prog_name="otp-publisher")


if __name__ == "__main__":
    main()
