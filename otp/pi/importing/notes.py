"""Keep account of every key: what was read from it, and what became of it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_NUMBER: Final = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SHOWN: Final = 60


class Notes:
    """What is said about an import, a line each.

    Attributes:
        lines: ``file: key: what became of it``.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, place: str, text: str) -> None:
        """Say something about a place."""
        self.lines.append(f"{place}: {text}")


class Record:
    """One object of a file, read as leniently as the original does, and an account of its keys.

    Args:
        place: File, and which object of it, for the notes.
        values: The object.
        notes: Where it is said what became of a key.
    """

    def __init__(self, place: str, values: Mapping[str, Any], notes: Notes) -> None:
        self.place = place
        self._values = values
        self._notes = notes
        self._known: set[str] = set()

    def text(self, key: str) -> str:
        """Return a text without surrounding blanks; empty where there is none or it cannot be one."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int):
            return ""
        found = str(value)[:4096] if isinstance(value, str) or abs(value) < 10**40 else ""
        return found.encode("utf-8", "replace").decode().strip()

    def number(self, key: str) -> int:
        """Return a whole number, also one in quotes; 0 where there is none."""
        value = self._values.get(key)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 10**18:
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18 else 0

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Return true or false, also in quotes; the default where it is neither."""
        value = self._values.get(key)
        if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
            return value.strip().lower() == "true"
        return value if isinstance(value, bool) else default

    def port(self, key: str) -> int:
        """Return a port; 0, which means the usual one, for what is none."""
        found = self.number(key)
        return found if 0 < found <= 65535 else 0  # noqa: PLR2004 - 16 bits

    def note(self, keys: str | Iterable[str], text: str) -> None:
        """Say what became of keys, of those that are there."""
        names = keys.split() if isinstance(keys, str) else list(keys)
        self._known.update(names)
        present = [name for name in names if name in self._values]
        if present:
            self._notes.add(self.place, f"{', '.join(present)}: {text}")

    def done(self) -> None:
        """Say of every key that was not spoken of that nobody knows it."""
        left = sorted(shown(key) for key in self._values.keys() - self._known)
        if left:
            self._notes.add(self.place, f"{', '.join(left)}: not known, not taken")


def shown(text: str) -> str:
    """Return a text from a file as it can stand in a line: short, and without control characters."""
    return _CONTROL.sub("?", text.encode("utf-8", "replace").decode())[:_SHOWN]
