"""From flags, environment and file to one `Settings` object, with errors that name file, line and nearest key."""

import difflib
import os
import re
import textwrap
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from broker.settings import About, Duration, Settings, Size, about
from broker.units import format_duration, format_size

PREFIX: Final = "WSBROKER_"
CONFIG_VARIABLE: Final = "WSBROKER_CONFIG"
URL_VARIABLE: Final = "WSBROKER_URL"
"""What `pub` and `sub` connect to; whoever exported it can still start a broker."""

_HEAD: Final = """\
# Settings of wsbroker. Each can also be given as a flag (--max-message-size 2MiB) or as a variable
# (WSBROKER_MAX_MESSAGE_SIZE=2MiB); flags win over variables, variables over this file.
# Durations: 500ms 25s 2m 1h. Sizes: 64KiB 1MiB 500kB. Check a file with: wsbroker check-config FILE
"""


class ConfigError(ValueError):
    """Say what is wrong with the configuration: one line per fault, each with its place."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: str | Path | None = None,
) -> Settings:
    """Build the settings: flags over environment over file over defaults.

    Args:
        flags: setting name to value, as typed; a value of None counts as not given.
        environment: where `WSBROKER_*` variables are looked up.
        file: a TOML file; None reads the one that `WSBROKER_CONFIG` names, or none.

    Raises:
        ConfigError: something is unknown, malformed or out of bounds.
    """
    environment = environment or {}
    values: dict[str, Any] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    file = file or environment.get(CONFIG_VARIABLE)
    if file:
        _read_file(Path(file), values, places, problems)
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable not in {CONFIG_VARIABLE, URL_VARIABLE}:
            _put(variable.removeprefix(PREFIX).lower(), value, f"variable {variable}", values, places, problems)
    for name, value in (flags or {}).items():
        if value is not None:
            _put(name, value, f"option --{name.replace('_', '-')}", values, places, problems)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise ConfigError([*problems, *(_explain(fault, places) for fault in error.errors())]) from None
    if problems:
        raise ConfigError(problems)
    return settings


def nearest(name: str) -> str:
    """Suggest the setting that was probably meant, as the end of a sentence."""
    close = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; `wsbroker default-config` lists them all"


def _put(
    name: str, value: Any, place: str, values: dict[str, Any], places: dict[str, str], problems: list[str]
) -> None:
    if name in Settings.model_fields:
        values[name] = value
        places[name] = place
    else:
        problems.append(f"{place}: unknown setting {name}{nearest(name)}")


def _read_file(path: Path, values: dict[str, Any], places: dict[str, str], problems: list[str]) -> None:
    try:
        text = path.read_text(encoding="utf-8-sig")
        table = tomllib.loads(text)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(path, error)]) from None
    for key, value in table.items():
        place = f"{path}:{_line_of(key, text)}"
        if isinstance(value, dict):
            problems.append(f"{place}: table [{key}] is unknown: settings stand at the top of the file, without tables")
        else:
            _put(key, value, place, values, places, problems)


def _syntax_problem(path: Path, error: tomllib.TOMLDecodeError) -> str:
    """Put the line where the other problems have it; tomllib names it in its text only."""
    text, _, place = str(error).partition(" (at ")
    line = re.search(r"line (\d+)", place)
    return f"{path}:{line[1] if line else 'end'}: is not TOML: {text}"


def _line_of(key: str, text: str) -> int:
    pattern = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}["']?\s*(=|\]|\.)""")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), 1)


def _explain(fault: Any, places: Mapping[str, str]) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        names = [name for name in places if re.search(rf"\b{name}\b", message)]
        where = f"{places[names[0]]}: " if names else ""
        return f"{where}{message}"
    name = str(fault["loc"][0])
    message = message[:1].lower() + message[1:]
    return f"{places.get(name, 'default')}: {name} = {_shown(fault['input'])}: {message}"


def _shown(value: object) -> str:
    text = repr(value)
    return textwrap.shorten(text, 60, placeholder="...")


def toml_value(name: str, value: Any) -> str:
    """Write a setting's value as TOML, durations and sizes with their unit."""
    kind = Settings.__annotations__[name]
    if isinstance(value, tuple):
        return "[" + ", ".join(_quoted(word) for word in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is Duration or about(name).unit == "duration":
        return _quoted(format_duration(value))
    if kind is Size or about(name).unit.startswith("size"):
        return _quoted(format_size(value)) if value else "0"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def default_config() -> str:
    """Write a TOML file with every setting at its default, each with its explanation."""
    parts = [_HEAD]
    for name, field in Settings.model_fields.items():
        lines = textwrap.wrap(_sentence(field.description or "", about(name)), 108)
        comment = "".join(f"# {line}\n" for line in lines)
        parts.append(f"{comment}{name} = {toml_value(name, field.default)}\n")
    return "\n".join(parts)


def _sentence(text: str, extra: About) -> str:
    if extra.unit:
        text += f" Unit: {extra.unit}."
    if extra.crossed:
        text += f" When crossed: {extra.crossed}."
    return text if extra.reload else text + " Another value needs a restart."


def from_environment(file: str | Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """Build the settings of this process."""
    return load_settings(flags, os.environ, file)
