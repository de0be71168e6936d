"""The page on the command line against the commands themselves."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from broker.cli import FAILED, USAGE_ERROR, app
from broker.settings import Settings
from tests.docs.pages import REFERENCE, code, prose, tables

PAGE = REFERENCE / "cli.md"


def commands(command: Any = None, path: str = "wsbroker") -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its full name."""
    command = command or typer.main.get_command(app)
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
    for name, child in (children or {}).items():
        yield from commands(child, f"{path} {name}")


def flags(command: Any) -> set[str]:
    """Return the flags of a command, without `--help`."""
    found = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    return {flag for flag in found if flag.startswith("-")} - {"--help"}


def setting_flags() -> set[str]:
    names = [name.replace("_", "-") for name in Settings.model_fields]
    return {f"--{name}" for name in names} | {f"--no-{name}" for name in names}


def documented() -> dict[str, set[str]]:
    """Return the flags that the page gives each command."""
    found: dict[str, set[str]] = {}
    for row in tables(PAGE, "Flag"):
        words = [word.split()[0] for word in code(row["Flag"])]
        for owner in code(row["Of"]):
            found.setdefault(owner, set()).update(words)
    return found


def test_cli_page_lists_every_command() -> None:
    """Every command has its line, and every line its command."""
    known = [path for path, _ in commands()]
    written = [
        re.split(r" (?=[A-Z-])", code(row["Command"])[0])[0] for row in tables(PAGE, "Command") if "What it does" in row
    ]
    assert written == known


def test_cli_page_lists_every_flag() -> None:
    """Every flag of every command has its line; those of `serve` that are settings have theirs among the settings."""
    written = documented()
    assert written.pop("wsbroker") == {"--version"}
    real = {path.removeprefix("wsbroker "): flags(command) for path, command in commands()}
    assert real["serve"] >= {f"--{name.replace('_', '-')}" for name in Settings.model_fields}
    real["serve"] = real["serve"] - setting_flags() | {"--SETTING"}
    assert written == {path: names for path, names in real.items() if names}


def test_cli_page_lists_signals_and_exit_codes() -> None:
    """The four signals and the three exit codes stand there."""
    signals = {word for row in tables(PAGE, "Signal") for word in code(row["Signal"])}
    assert signals == {"HUP", "USR1", "TERM", "INT"}
    headings = next(row for row in tables(PAGE, "Command") if "0" in row)
    assert {"0", str(FAILED), str(USAGE_ERROR)} <= set(headings)


def test_cli_page_names_the_variables() -> None:
    """The two variables that are no settings are explained."""
    assert {"WSBROKER_CONFIG", "WSBROKER_URL"} <= set(code(prose(PAGE)))
