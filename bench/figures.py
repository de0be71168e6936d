"""Rows of the fan-out table as they stand in a JSON file, and which of them belong side by side (pure)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.load import BUSY_SHARE
from bench.shapes import Shape

Rows = Sequence[dict[str, Any]]
"""Rows of the fan-out table, each with its shape as a `Shape`; where results were merged, with its source's number."""


def source_of(row: dict[str, Any]) -> int:
    """Return the number of the result that a row comes from: 0 for the full run, then those added to it."""
    return int(row.get("source", 0))


def found(rows: Rows, shape: Shape) -> dict[str, dict[str, Any]]:
    """Return the row of each broker in a shape."""
    return {row["peer"]: row for row in rows if row["shape"] == shape}


def of_group(rows: Rows, shapes: Iterable[Shape]) -> list[dict[str, Any]]:
    """Return the rows of shapes that are compared with each other.

    A shape that several results have comes from the one that has most of the group, the first one of equals: what
    stands side by side was measured side by side.
    """
    wanted = set(shapes)
    own = [row for row in rows if row["shape"] in wanted]
    sizes = Counter(source_of(row) for row in own)
    best: dict[Shape, int] = {}
    for shape, source in sorted({(row["shape"], source_of(row)) for row in own}, key=lambda pair: pair[1]):
        if shape not in best or sizes[source] > sizes[best[shape]]:
            best[shape] = source
    return [row for row in own if source_of(row) == best[row["shape"]]]


def load_bound(row: dict[str, Any]) -> bool:
    """Tell whether the load generator was so busy that it may have set the pace."""
    return bool(row["busiest_load"] > BUSY_SHARE)
