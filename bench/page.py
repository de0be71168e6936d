"""The page on performance: its tables come from the JSON of a full run, its words are written by people (pure).

A block of the page that is made here stands between `<!-- bench:NAME -->` and `<!-- bench:end -->`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.budget import BenchError
from bench.peers import PEERS
from bench.plots import Rows, rows_of
from bench.report import number, percent
from bench.selection import BASELINE
from bench.shapes import GROUPS, Shape

_BLOCK = re.compile(r"<!-- bench:(?!end)([a-z-]+) -->\n.*?<!-- bench:end -->", re.DOTALL)
_FLOOR = "floor"
PARTS = {
    "memory": "Memory",
    "handshakes": "Handshakes",
    "passwords": "Passwords",
    "restart": "Restart",
    "floods": "A pair's round trip",
    "path": "The whole path",
}
"""Blocks that show a table as it was printed, with the beginning of its title."""
MACHINES = (
    ("one core of the machine above", 1.0, "computed from the measured processor time"),
    ("Raspberry Pi 5, one core taken as half as fast", 0.5, "computed, the factor is an assumption"),
    ("Raspberry Pi 4, one core taken as a quarter as fast", 0.25, "computed, the factor is an assumption"),
    ("sixteen such cores, sixteen brokers, topics shared out", 16.0, "computed, nothing is shared between brokers"),
)
"""Whom the capacity table is for: the name, how many times the measured core it is, and how sure that is."""


def refreshed(page: str, made: Mapping[str, str]) -> str:
    """Replace every block of a page by what was made for it.

    Raises:
        BenchError: The page has a block that nobody makes, or none at all.
    """
    names = _BLOCK.findall(page)
    unknown = [name for name in names if name not in made]
    if unknown or not names:
        found = f"unknown block {unknown[0]!r}" if unknown else "no block"
        raise BenchError(f"{found} in the page; blocks are: {', '.join(made)}")
    return _BLOCK.sub(lambda match: f"<!-- bench:{match[1]} -->\n{made[match[1]]}\n<!-- bench:end -->", page)


def merged(document: dict[str, Any], more: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add the shapes of fan-out results to a full run that lacks them, say because its time was up.

    What the full run has stays as it is; where the additions come from is kept beside them.

    Raises:
        BenchError: An addition has no shapes, or was not measured on the same machine.
    """
    if "parts" not in document:
        raise BenchError("the page needs the result of `python -m bench full`")
    fanout = document["parts"].setdefault("fanout", {"rows": [], "runs": [], "failures": [], "pace": {}})
    added = []
    for addition in more:
        machine = addition["machine"]
        if "rows" not in addition or machine["processor"] != document["machine"]["processor"]:
            raise BenchError("only results of `python -m bench fanout` on the same machine can be added")
        known = [(row["shape"], row["peer"]) for row in fanout["rows"]]
        rows = [row for row in addition["rows"] if (row["shape"], row["peer"]) not in known]
        names = list(dict.fromkeys(row["name"] for row in rows))
        fanout["rows"] += rows
        fanout["runs"] += [run for run in addition["runs"] if (run["shape"], run["peer"]) not in known]
        fanout["failures"] += addition["failures"]
        added.append(
            {"date": machine["date"], "shapes": names, "pace": addition["pace"], "load": machine["load_average"]}
        )
    return {**document, "added": added}


def blocks(document: dict[str, Any]) -> dict[str, str]:
    """Make every block from the JSON of a full run.

    Raises:
        BenchError: It is the result of another command.
    """
    if "parts" not in document:
        raise BenchError("the page needs the result of `python -m bench full`")
    rows = rows_of(document)
    made = {"facts": _facts(document), "capacity": _capacity(rows), "details": _details(document)}
    made |= {f"shapes-{name.replace(' ', '-')}": _pivot(rows, shapes) for name, shapes in GROUPS.items()}
    made["latencies"] = _pivot(rows, GROUPS["paced"], _latencies, "broker; p50 / p99 / p99.9, ms")
    made["slow-memory"] = _slow(rows)
    for name, title in PARTS.items():
        tables = [table for table in document["tables"] if table["title"].startswith(title)]
        made[name] = "\n\n".join(_table_block(table) for table in tables) or "Not measured in this run."
    return made


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Write a table: the first columns to the left, the others to the right."""
    rule = ["---" if column < left else "--:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *rows])


def _table_block(table: Mapping[str, Any]) -> str:
    notes = "".join(f"\n\n{note.strip()}" for note in table["notes"])
    return markdown(table["head"], table["rows"], left=2) + notes


def _facts(document: dict[str, Any]) -> str:
    machine = document["machine"]
    pinned = machine["pinned"]
    pace = document["parts"]["fanout"]["pace"]
    lines = [
        f"- Date: {machine['date']}; the run took {document['seconds'] / 60:.0f} minutes",
        f"- Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_mib']:,} MiB",
        f"- System: {machine['kernel']}, Python {machine['python']}",
        f"- Broker on core {pinned['broker']}, load on core {pinned['load']}",
        f"- Load average before the run: {machine['load_average']:.2f}",
        f"- Rounds per shape and broker: {pace['rounds']} of {pace['seconds']:g} s, fewer above 2,500 connections",
        *(f"- `{name}`: {version}" for name, version in document["versions"].items()),
        *(f"- `{name}`: skipped, {reason}" for name, reason in document["skipped"].items()),
    ]
    lines += [
        f"- Added at {added['date']}, {added['pace']['rounds']} rounds of {added['pace']['seconds']:g} s: "
        + "; ".join(added["shapes"])
        for added in document.get("added", ())
    ]
    if document["cut_short"]:
        lines.append(f"- The full run did not reach its end: {document['cut_short']}")
    return "\n".join(lines)


def _found(rows: Rows, shape: Shape) -> dict[str, dict[str, Any]]:
    return {row["peer"]: row for row in rows if row["shape"] == shape}


def _cost(row: Mapping[str, Any]) -> str:
    return number(row["per_delivery"])


def _latencies(row: Mapping[str, Any]) -> str:
    spots = (row["completion_p50"], row["completion_p99"], row["completion_p999"])
    return " / ".join(number(spot) for spot in spots)


def _best(found: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Name the peer that needs least, apart from this broker and the floor."""
    others = {name: row["per_delivery"] for name, row in found.items() if name not in (BASELINE, _FLOOR)}
    return min(others, key=lambda name: others[name]) if others else None


def _against_best(found: Mapping[str, Mapping[str, Any]]) -> str:
    best = _best(found)
    if best is None or BASELINE not in found:
        return "-"
    return f"{number(found[BASELINE]['per_delivery'] / found[best]['per_delivery'])} ({best})"


def _pivot(
    rows: Rows,
    shapes: Sequence[Shape],
    cell: Callable[[Mapping[str, Any]], str] = _cost,
    corner: str = "subscribers and load; CPU per delivery, µs",
) -> str:
    """Put brokers beside each other, a line per shape."""
    by_shape = {shape: _found(rows, shape) for shape in shapes}
    present = {row["peer"] for row in rows}
    names = [name for name in PEERS if name in present]
    lines = []
    for shape, found in by_shape.items():
        if found:
            cells = [cell(found[name]) if name in found else "-" for name in names]
            lines.append([shape.name, *cells, *([_against_best(found)] if cell is _cost else [])])
    head = [corner, *names, *(["ours / best peer"] if cell is _cost else [])]
    return markdown(head, lines) if lines else "Not measured in this run."


def _slow(rows: Rows) -> str:
    (shape,) = [shape for shape in GROUPS["slow"] if shape.slow]
    calm = _found(rows, next(shape for shape in GROUPS["slow"] if not shape.slow))
    lines = [
        [
            name,
            f"{number(row['per_delivery'] / calm[name]['per_delivery'])}x" if name in calm else "-",
            number(max(row["grown_kib"], 0) / 1024),
            str(row["cut_off"]),
            number(row["messages_per_second"]),
        ]
        for name, row in _found(rows, shape).items()
    ]
    head = ("broker", "CPU per delivery, against none slow", "memory grew, MiB", "cut off, all rounds", "messages/s")
    return markdown(head, lines) if lines else "Not measured in this run."


def _capacity(rows: Rows) -> str:
    """Say what the measured processor time allows, for machines of other sizes."""
    wanted = {shape: _found(rows, shape).get(BASELINE) for shape in GROUPS["base"]}
    measured = {shape: row for shape, row in wanted.items() if row}
    names = [f"{shape.subscribers:,}, {shape.name.split(', ', 1)[1]}" for shape in measured]
    lines = [["this run, one core", *(_round(row["deliveries_per_second"]) for row in measured.values()), "measured"]]
    lines += [
        [name, *(_round(factor * 1e6 / row["per_delivery"]) for row in measured.values()), sure]
        for name, factor, sure in MACHINES
    ]
    return markdown(["deliveries per second", *names, "how sure"], lines)


def _round(value: float) -> str:
    """Write a computed number with no more digits than it deserves: two."""
    digits = len(str(int(value))) - 2
    return f"{round(value, -digits):,.0f}" if digits > 0 else f"{value:.0f}"


def _details(document: dict[str, Any]) -> str:
    """Show the fan-out table as it was printed, with what makes figures doubtful."""
    part = document["parts"]["fanout"]
    head = (
        "subscribers and load", "broker", "µs/delivery", "spread", "best", "messages/s", "deliveries/s",
        "p50 ms", "p99 ms", "p99.9 ms", "broker CPU", "load CPU", "disturbed",
    )  # fmt: skip
    lines = [
        (
            row["name"],
            row["peer"],
            number(row["per_delivery"]),
            percent(row["spread"]),
            number(row["best"]),
            number(row["messages_per_second"]),
            number(row["deliveries_per_second"]),
            number(row["completion_p50"]),
            number(row["completion_p99"]),
            number(row["completion_p999"]),
            percent(row["broker_share"]),
            percent(row["load_share"]) + ("!" if row["load_share"] > 0.9 else ""),
            percent(row["disturbed"]),
        )
        for row in part["rows"]
    ]
    notes = "".join(f"- {failure}\n" for failure in part["failures"])
    return markdown(head, lines, left=2) + (
        f"\n\nNot everyone took part in everything:\n\n{notes.rstrip()}" if notes else ""
    )
