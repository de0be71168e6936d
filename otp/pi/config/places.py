"""Find the lines of a TOML file that its keys and tables stand in; `tomllib` does not tell."""

import re

from otp.pi.config.schema import Path

_WORD = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_WORD}(?:\s*\.\s*{_WORD})*)\s*=")
_HEADING = re.compile(rf"\s*(\[\[?)\s*({_WORD}(?:\s*\.\s*{_WORD})*)\s*\]")
_PART = re.compile(_WORD)
_TRIPLE = re.compile(r'"""|' + r"'''")


class Places:
    """The lines of one file.

    Args:
        text: The file, valid TOML.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._counts: dict[str, int] = {}
        table: Path = ()
        within = ""  # the quotes of the multi-line string that is open
        for number, line in enumerate(text.splitlines(), 1):
            if not within:
                table = self._read(line, number, table)
            for quotes in _TRIPLE.findall(line):
                within = quotes if not within else "" if within == quotes else within

    def line(self, path: Path) -> int:
        """Return the line a value stands in; where that is unknown, the one of the table around it."""
        while path:
            plain = tuple(part for part in path if isinstance(part, str))
            for spelling in (path, plain):
                if spelling in self._lines:
                    return self._lines[spelling]
            path = path[:-1]
        return 1

    def _read(self, line: str, number: int, table: Path) -> Path:
        """Note what a line brings; return the table that the next line is in."""
        if heading := _HEADING.match(line):
            table = self._resolve(heading[2], repeated=heading[1] == "[[")
            self._lines.setdefault(table, number)
        elif key := _KEY.match(line):
            self._lines.setdefault((*table, *_parts(key[1])), number)
        return table

    def _resolve(self, dotted: str, *, repeated: bool) -> Path:
        first, *rest = _parts(dotted)
        if repeated and not rest:
            self._counts[first] = self._counts.get(first, 0) + 1
        index = (self._counts[first] - 1,) if first in self._counts else ()
        return (first, *index, *rest)


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]
