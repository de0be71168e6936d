"""Say which OTP-Pi is meant: the options that every command has, and the settings they lead to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from otp.pi.config import CONFIG_VARIABLE, Loaded, load
from otp.pi.config.schema import REPEATED

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help=f"TOML file with the settings (or variable {CONFIG_VARIABLE}).")
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Directory of journal, keys and control socket (data_dir).")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as rest.port=8900; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def find(
    config: Path | None, data_dir: Path | None, changes: list[str] | None, more: Mapping[str, Any] | None = None
) -> Loaded:
    """Return the settings that file, variables and options make.

    Args:
        config: ``--config``.
        data_dir: ``--data-dir``.
        changes: ``--set``.
        more: Dotted name to value of further options; ``None`` was not given.

    Raises:
        ConfigError: Something in them is wrong.
        typer.BadParameter: A change is none.
    """
    options = dict(map(_change, changes or ()))
    given = {"data_dir": None if data_dir is None else str(data_dir), **(more or {})}
    return load(config, os.environ, options | {name: value for name, value in given.items() if value is not None})


def _change(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    table = name.partition(".")[0]
    if not (separator and name):
        raise typer.BadParameter(f"{text} is not NAME=VALUE, such as rest.port=8900.", param_hint="--set")
    if table in REPEATED:
        variable = f"OTP_PI_{name.replace('.', '_1_', 1).upper()}"
        raise typer.BadParameter(
            f"[[{table}]] may come several times: set it in the file, or with a variable such as {variable}.",
            param_hint="--set",
        )
    return name, value
