"""Read the settings: options over environment over file over defaults, every fault with its place.

What the file says of paths is relative to the file's directory, and so are the defaults; what options and variables
say, to the working directory. A table that may come several times may also stand there once, as ``[ws]``.
"""

import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from otp.pi.config import schema
from otp.pi.config.environment import CONFIG_VARIABLE, variables
from otp.pi.config.faults import explain
from otp.pi.config.places import Places
from otp.pi.settings import Settings

__all__ = ["CONFIG_VARIABLE", "ConfigError", "Loaded", "load"]


class ConfigError(ValueError):
    """Say what is wrong with the settings: one line a fault, each with its place and never with a secret.

    Attributes:
        problems: The lines.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what should be said about them.

    Attributes:
        settings: All of them.
        warnings: A line each; the service runs all the same.
        file: The file that was read; ``None`` where there is none.
    """

    settings: Settings
    warnings: tuple[str, ...] = ()
    file: Path | None = None


def load(
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read the settings.

    Args:
        file: A TOML file; ``None`` is the one that ``OTP_PI_CONFIG`` names, or none.
        environment: Where ``OTP_PI_*`` is looked up.
        options: Dotted name to value, such as ``rest.port``, or ``modem`` for a whole list; ``None`` is not given.

    Raises:
        ConfigError: Something is unknown, malformed or out of bounds.
    """
    environment = environment or {}
    named = file or environment.get(CONFIG_VARIABLE)
    values = _Values()
    if named:
        values.read(Path(named))
    for variable, path, value in variables(environment, values.warnings):
        values.put(path, value, f"variable {variable}")
    for name, value in (options or {}).items():
        if value is not None:
            values.put(tuple(name.split(".")), value, f"option {name}")
    return Loaded(values.check(), tuple(values.warnings), Path(named) if named else None)


class _Values:
    """What was read so far, unchecked, and where it stands."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._tree: dict[str, Any] = {}
        self._given: dict[schema.Path, str] = {}  # place of what did not come from the file
        self._problems: list[str] = []
        self._file: Path | None = None
        self._places = Places("")

    def read(self, file: Path) -> None:
        """Take over a file."""
        text = _text(file)
        try:
            self._tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError([_syntax(file, error)]) from None
        self._file, self._places = file, Places(text)
        for name in schema.REPEATED & self._tree.keys():
            if isinstance(self._tree[name], dict):
                self._tree[name] = [self._tree[name]]
        secrets = [path for path in _leaves(self._tree) if schema.is_secret(path) and _at(self._tree, path)]
        if secrets and file.stat().st_mode & stat.S_IROTH:
            self.warnings.append(f"{file} can be read by everybody and holds {_name(secrets[0])}: chmod 640 it, or 600")
        self._anchor(file.parent)

    def _anchor(self, directory: Path) -> None:
        """Make paths relative to the file's directory."""
        self._tree.setdefault("data_dir", str(Settings.model_fields["data_dir"].default))
        rest = self._tree.setdefault("rest", {})
        if isinstance(rest, dict):
            rest.setdefault("password_file", schema.TABLES["rest"].model_fields["password_file"].default)
        for path in _leaves(self._tree):
            value = _at(self._tree, path)
            if path[-1] in schema.FILES and isinstance(value, str) and value:
                _at(self._tree, path[:-1])[path[-1]] = str(directory / value)

    def put(self, path: schema.Path, value: Any, place: str) -> None:
        """Take over one value."""
        around: Any = self._tree
        for part, following in pairwise(path):
            if isinstance(part, int) and part >= len(around):
                if part > len(around):
                    self._problems.append(f"{place}: there is no number {len(around) + 1} before it")
                    return
                around.append({})
                self._given[path[:-1]] = place
            elif isinstance(part, str):
                around.setdefault(part, [] if isinstance(following, int) else {})
            around = around[part]
            if not isinstance(around, list if isinstance(following, int) else dict):
                return  # the file has something else there, and is told so
        around[path[-1]] = value
        self._given[path] = place

    def place(self, path: schema.Path) -> str:
        """Say where a value stands, or the table around it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._given:
                return self._given[path[:length]]
        if self._file is None:
            return "settings"
        return f"{self._file}:{self._places.line(path)}" if path else str(self._file)

    def check(self) -> Settings:
        """Return the settings.

        Raises:
            ConfigError: With every fault that was found.
        """
        try:
            settings = Settings.model_validate(self._tree)
        except ValidationError as error:
            found = [explain(fault, self._tree) for fault in error.errors(include_url=False)]
            problems = [*self._problems, *(f"{self.place(path)}: {text}" for path, text in found)]
            raise ConfigError(dict.fromkeys(problems)) from None
        if self._problems:
            raise ConfigError(self._problems)
        return settings


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = f"; make one with: otp-pi default-config > {file}" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([f"{file}: cannot be read: {error.strerror}{hint}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{file}: is not UTF-8 text"]) from None


def _syntax(file: Path, error: tomllib.TOMLDecodeError) -> str:
    """Put the line where the other faults have it; tomllib names it in its text only."""
    text, _, place = str(error).partition(" (at ")
    line = re.search(r"line (\d+)", place)
    return f"{file}:{line[1] if line else 'end'}: is not TOML: {text}"


def _leaves(value: Any, path: schema.Path = ()) -> list[schema.Path]:
    """Return the paths of everything that is no table."""
    if isinstance(value, dict):
        return [leaf for key, each in value.items() for leaf in _leaves(each, (*path, key))]
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return [leaf for index, each in enumerate(value) for leaf in _leaves(each, (*path, index))]
    return [path]


def _at(tree: Any, path: schema.Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _name(path: schema.Path) -> str:
    return ".".join(part for part in path if isinstance(part, str))
