"""Tables for people and JSON for plots."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.base import BENCH

RESULTS = BENCH / "results"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be shown on a terminal, kept in JSON, and put on a page."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """What makes a figure doubtful."""

    @classmethod
    def of(cls, title: str, head: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> "Table":
        """Build a table from any sequences."""
        return cls(title, tuple(head), tuple(tuple(row) for row in rows), tuple(notes))

    def text(self) -> str:
        """Lay the table out for a terminal."""
        if not self.rows:
            return f"{self.title}: nothing was measured"
        return "\n".join([self.title, table(self.head, self.rows), *self.notes])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows under a head: the first two columns to the left, the others to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    laid = []
    for line in lines:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        laid.append("  ".join(cells).rstrip())
    laid.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(laid)


def number(value: float | None) -> str:
    """Write a number with three significant digits and no exponent, thousands separated; a dash for None."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}"


def percent(share: float | None) -> str:
    """Write a fraction as whole per cent; a dash for None."""
    return "-" if share is None else f"{share * 100:.0f}%"


def ratio(value: float, base: float | None) -> str:
    """Write how many times `base` a value is; a dash where there is nothing to compare with."""
    return f"{number(value / base)}x" if base else "-"


def progress(text: str) -> None:
    """Tell the person who waits what was just measured."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def save(folder: Path, command: str, document: Mapping[str, Any]) -> Path:
    """Write a command's results as JSON, under a name with its time, and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path
