"""Split a command line into commands (V.250, 5.2 to 5.4)."""

import re
from dataclasses import dataclass

from otp.pi.emulator.refusals import RefusedError

_BASIC = re.compile(r"(&?[A-Z])([0-9]*)", re.IGNORECASE)
_EXTENDED = re.compile(r"([+^][A-Z0-9]+)(=\?|\?|=|)((?:\"[^\"]*\"|[^;\"])*)(?:;|$)", re.IGNORECASE)
_ARGUMENT = re.compile(r'(?:^|,)((?:"[^"]*"|[^,"])*)')

READ, TEST, SET, RUN = "read", "test", "set", "run"
_KINDS = {"?": READ, "=?": TEST, "=": SET, "": RUN}


@dataclass(frozen=True, slots=True)
class Request:
    """One command: its name, whether it is read, tested, set or run, and its arguments without quotes."""

    name: str
    kind: str
    arguments: tuple[str, ...] = ()

    def number(self, place: int, default: int | None = None, *, among: range = range(256)) -> int:
        """Return an argument as a number.

        Raises:
            RefusedError: It is none, out of range, or missing without a default.
        """
        text = self.arguments[place] if place < len(self.arguments) else ""
        if not text and default is not None:
            return default
        if not (text.isascii() and text.isdigit()) or int(text) not in among:
            raise RefusedError
        return int(text)

    def text(self, place: int) -> str:
        """Return an argument, empty where it is missing."""
        return self.arguments[place] if place < len(self.arguments) else ""


def requests(line: str) -> list[Request]:
    """Split what stands behind ``AT``.

    Raises:
        RefusedError: It is no command.
    """
    found: list[Request] = []
    rest = line.strip()
    while rest:
        basic = _BASIC.match(rest)
        piece = _EXTENDED.match(rest)
        if basic is not None:
            found.append(Request(basic[1].upper(), SET, (basic[2] or "0",)))
            rest = rest[basic.end() :]
        elif piece is not None:
            found.append(Request(piece[1].upper(), _KINDS[piece[2]], _arguments(piece[3])))
            rest = rest[piece.end() :]
        else:
            raise RefusedError
    return found


def _arguments(text: str) -> tuple[str, ...]:
    return tuple(argument.strip().strip('"') for argument in _ARGUMENT.findall(text))
