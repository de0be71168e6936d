"""The command ``run``."""

import re
from collections.abc import Iterable
from typing import Annotated, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import typer
from pydantic import SecretStr, ValidationError

from broker.logs import configure
from otp.errors import OtpError
from otp.pi.cli import output, where
from otp.pi.config import ConfigError
from otp.pi.emulated import PORT
from otp.pi.settings import Modem, Settings, WebSocket

_EMULATED: Final = "emulated"
_LONGEST_NAME: Final = 30

Modems = Annotated[
    list[str] | None,
    typer.Option("--modem", metavar="emulate|PORT", help="One more modem: in software, or at a port. Repeatable."),
]
Ws = Annotated[
    list[str] | None,
    typer.Option("--ws", metavar="URL", help="One more WebSocket broker: ws://user:password@host:port/ws?topic=sms"),
]
Http = Annotated[bool | None, typer.Option("--rest/--no-rest", help="Serve HTTP.", show_default=False)]


def run(
    config: where.Config = None,
    data_dir: where.DataDir = None,
    changes: where.Changes = None,
    modem: Modems = None,
    ws: Ws = None,
    host: Annotated[str | None, typer.Option(help="Address of the HTTP server (rest.host).")] = None,
    port: Annotated[str | None, typer.Option(help="Port of the HTTP server (rest.port); 0 takes a free one.")] = None,
    password_file: Annotated[str | None, typer.Option(help="Its accounts (rest.password_file).")] = None,
    rest: Http = None,
    log_format: Annotated[str | None, typer.Option(help="text or json (log.format).")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error (log.level).")] = None,
) -> None:
    """Run the OTP-Pi until TERM or INT: take commands from every road and send them through modems and mail.

    What an emulated modem sends is printed; the log goes to standard error. The first TERM or INT lets what is under
    way end (drain_time) and exits 0, a second one ends at once. HUP reads the certificate again. Exit code 2: it could
    not start.
    """
    named = {
        "rest.host": host,
        "rest.port": port,
        "rest.password_file": password_file,
        "rest.enabled": rest,
        "log.format": log_format,
        "log.level": log_level,
    }
    loaded = where.find(config, data_dir, changes, named)
    settings = with_more(loaded.settings, modem or (), ws or ())
    configure(settings.log.format, settings.log.level, root="otp.pi")
    # Here and not above: all other commands do without the service.
    from otp.pi.journal import StorageError  # noqa: PLC0415
    from otp.pi.run import run as serve  # noqa: PLC0415

    try:
        code = serve(settings, warnings=loaded.warnings, arriving=output.arrived)
    except (OtpError, StorageError) as error:
        raise output.fail(str(error), output.USAGE) from None
    raise typer.Exit(code)


def with_more(settings: Settings, ports: Iterable[str], urls: Iterable[str]) -> Settings:
    """Return settings with more modems and WebSocket brokers.

    Raises:
        ConfigError: A URL is none, or together they make no sense.
    """
    modems, brokers = list(settings.modem), list(settings.ws)
    for port in ports:
        taken = {each.name for each in modems}
        modems.append(Modem(name=_free(_EMULATED if port == PORT else _name(port), taken), port=port))
    brokers += [broker(url) for url in urls]
    try:
        # Checked once more, as a whole: two ways in might have got the same name.
        return Settings.model_validate({**dict(settings), "modem": tuple(modems), "ws": tuple(brokers)})
    except ValidationError as error:
        raise ConfigError(str(fault["msg"]).removeprefix("Value error, ") for fault in error.errors()) from None


def _name(port: str) -> str:
    """Return a name for the modem at a port: ``/dev/ttyUSB0`` is ttyUSB0, ``/dev/pts/3`` is pts-3."""
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", port.removeprefix("/dev/").removeprefix("serial/by-id/"))
    return words.strip("-")[-_LONGEST_NAME:] or "modem"


def _free(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def broker(url: str) -> WebSocket:
    """Return the WebSocket broker that a URL means; its topic is sms where it names none.

    Raises:
        ConfigError: It is no ``ws://`` or ``wss://`` URL. The text quotes nothing of it: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        found = _broker(parts) if parts.scheme in {"ws", "wss"} and parts.hostname else None
    except ValueError:  # a port that is none, brackets that do not close
        found = None
    if found is None:
        raise ConfigError(["option --ws: must be a URL such as ws://user:password@127.0.0.1:9000/ws?topic=sms"])
    return found


def _broker(parts: SplitResult) -> WebSocket:
    query = parse_qsl(parts.query, keep_blank_values=True)
    topics = [value for name, value in query if name == "topic"]
    rest = urlencode([(name, value) for name, value in query if name != "topic"])
    return WebSocket(
        host=parts.hostname or "",
        port=parts.port or (443 if parts.scheme == "wss" else 0),
        username=unquote(parts.username or ""),
        password=SecretStr(unquote(parts.password or "")),
        topic=topics[-1] if topics else "sms",
        tls=parts.scheme == "wss",
        path=(parts.path or "/ws") + (f"?{rest}" if rest else ""),
    )


__all__ = ["broker", "run", "with_more"]
