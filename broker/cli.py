"""The command `wsbroker`."""

import asyncio
import contextlib
import functools
import inspect
import io
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from broker.client import ClientError, publish, subscribe
from broker.config import (
    CONFIG_VARIABLE,
    URL_VARIABLE,
    ConfigError,
    default_config,
    from_environment,
    load_settings,
    toml_value,
)
from broker.lines import lines_of
from broker.listener import ListenError
from broker.logs import configure
from broker.run import run
from broker.settings import Settings, about
from broker.tls import TlsError
from broker.version import __version__
from htpasswd.cli import app as passwd_app

USAGE_ERROR: Final = 2
"""Exit code when the command line, the configuration or the start is at fault."""
FAILED: Final = 1
"""Exit code when the broker said no, or a file is not valid."""

app = typer.Typer(
    name="wsbroker",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="WSMessageBroker: every message a client sends goes to every other connection on its topic.\n\n"
    "Start:      wsbroker passwd add --file .htpasswd alice && wsbroker serve\n\n"
    "Listen:     wsbroker sub --url 'ws://alice:PASSWORD@127.0.0.1:9000/ws?topic=sms'\n\n"
    "Publish:    wsbroker pub --url 'ws://alice:PASSWORD@127.0.0.1:9000/ws?topic=sms' 'hello'",
)
app.add_typer(passwd_app, name="passwd", help="Add, remove, verify and list the accounts of a password file.")


def _fail(message: str, code: int) -> typer.Exit:
    for line in message.splitlines():
        typer.echo(f"wsbroker: {line}", err=True)
    return typer.Exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wsbroker {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per setting, made from `Settings`: text, so that all sources are read alike."""
    parameters = [
        inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option("--config", help=f"TOML file with settings (or variable {CONFIG_VARIABLE})."),
            ],
        )
    ]
    for name, field in Settings.model_fields.items():
        several = isinstance(field.default, tuple)
        flag = f"--{name.replace('_', '-')}"
        names = f"{flag}/--no-{flag[2:]}" if isinstance(field.default, bool) else flag
        kind: Any = bool | None if isinstance(field.default, bool) else list[str] | None if several else str | None
        text = f"{field.description} [default: {_shown(name, field.default)}]"
        option = typer.Option(names, help=text, metavar=None if kind == bool | None else _metavar(name, several))
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
        )

    @functools.wraps(command)
    def wrapper(**options: Any) -> None:
        command(**options)

    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _metavar(name: str, several: bool) -> str:
    unit = about(name).unit
    return "WORDS" if several else unit.split()[0].upper() if unit and not unit.startswith("per") else "VALUE"


def _shown(name: str, default: Any) -> str:
    text = toml_value(name, default).strip('"')
    return text if text not in {"", "[]"} else "none"


@app.command()
@_setting_options
def serve(config: Path | None, **flags: Any) -> None:
    """Run the broker until TERM or INT.

    HUP reads settings, certificate and password file again, USR1 opens the log file again. The first TERM or INT
    closes connections over --drain-time and exits 0; a second one ends at once. Exit code 2: it could not start.
    """

    def load() -> Settings:
        return from_environment(config, {name: value for name, value in flags.items() if value not in (None, [])})

    try:
        settings = load()
        handler = configure(settings.log_format, settings.log_level, settings.log_file)
        _raise_descriptor_limit()
        code = run(settings, load, handler)
    except (ConfigError, ListenError, TlsError) as error:
        raise _fail(str(error), USAGE_ERROR) from None
    except OSError as error:
        raise _fail(f"cannot open {error.filename or 'a file'}: {error.strerror}", USAGE_ERROR) from None
    raise typer.Exit(code)


def _raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one: each client needs a descriptor, and 1,024 are soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@app.command("check-config")
def check_config(file: Annotated[Path, typer.Argument(help="TOML file with settings.")]) -> None:
    """Check a settings file: exit 0 when it is good, 1 with one line per fault when it is not."""
    try:
        load_settings(file=file)
    except ConfigError as error:
        raise _fail(str(error), FAILED) from None
    typer.echo(f"{file}: good")


@app.command("default-config")
def show_default_config() -> None:
    """Print a TOML file with every setting at its default, explained."""
    typer.echo(default_config(), nl=False)


URL = Annotated[str, typer.Option("--url", help="ws://user:password@host:port/ws?topic=NAME", envvar=URL_VARIABLE)]


@app.command()
def pub(
    url: URL,
    text: Annotated[str, typer.Argument(help="The message; - publishes each line of standard input.")],
    whole: Annotated[bool, typer.Option("--whole", help="With -: publish standard input as one message.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for connecting and for the answer.")] = 10.0,
) -> None:
    """Publish, and return once the broker has handed the message on. Exit code 1: it did not."""
    _client(publish(url, _messages(text, whole), timeout))


async def _messages(text: str, whole: bool) -> AsyncIterator[str]:
    if text != "-":
        yield os.fsencode(text).decode()
    elif whole:
        yield sys.stdin.buffer.read().decode()
    else:
        async for line in lines_of(_standard_input()):
            yield line.rstrip(b"\r\n").decode()


def _standard_input() -> BinaryIO:
    """Return a reader of its own: at exit Python locks `sys.stdin`, which a thread that waits for a line holds."""
    try:
        return open(os.dup(sys.stdin.fileno()), "rb")  # noqa: PTH123 - a descriptor; open to the end
    except io.UnsupportedOperation:
        return sys.stdin.buffer


@app.command()
def sub(
    url: URL,
    count: Annotated[int, typer.Option(min=0, help="End after so many messages; 0 goes on.")] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds for connecting.")] = 10.0,
) -> None:
    """Print every message of a topic, one a line. Exit code 1: the broker refused or closed."""
    try:
        _client(_print_messages(url, count, timeout))
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Python still holds the line that nobody took, and would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _print_messages(url: str, count: int, timeout: float) -> None:
    seen = 0
    async with contextlib.aclosing(subscribe(url, timeout)) as messages:
        async for message in messages:
            raw = message.encode() if isinstance(message, str) else message
            sys.stdout.buffer.write(raw + b"\n")
            sys.stdout.buffer.flush()
            seen += 1
            if seen == count:
                return


def _client(job: Coroutine[Any, Any, Any]) -> None:
    try:
        asyncio.run(job)
    except ClientError as error:
        raise _fail(str(error), FAILED) from None
    except UnicodeError:
        raise _fail("a message is not UTF-8 text; only the ones before it were published", FAILED) from None


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
