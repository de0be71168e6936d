"""The commands ``check-config`` and ``default-config``."""

from pathlib import Path
from typing import Annotated

import typer

from otp.errors import OtpError
from otp.pi.cli import output
from otp.pi.config import ConfigError, load
from otp.pi.config import default_config as template
from otp.pi.settings import Settings


def check_config(file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file with settings.")]) -> None:
    """Check a settings file: exit 0 when it is good, 1 with one line per fault when it is not."""
    try:
        loaded = load(file)
        _check_rules(loaded.settings)
    except ConfigError as error:
        raise output.fail(str(error)) from None
    except OtpError as error:
        raise output.fail(f"{file}: {error}") from None
    for warning in loaded.warnings:
        typer.echo(f"otp-pi: warning: {warning}", err=True)
    typer.echo(f"{file}: good")


def _check_rules(settings: Settings) -> None:
    """Check what a table alone cannot: whether regions and countries exist.

    Raises:
        OtpError: They do not.
    """
    from otp.pi.cli.reach import numbers  # noqa: PLC0415 - brings the service, which default-config does without
    from otp.pi.guards import Guards  # noqa: PLC0415

    Guards(settings.guards, numbers(settings))


def default_config() -> None:
    """Print a TOML file with every setting at its default, explained."""
    typer.echo(template(), nl=False)
