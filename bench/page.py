"""The page on performance: its tables come from the JSON of a full run, its words are written by people (pure).

A block of the page that is made here stands between `<!-- bench:NAME -->` and `<!-- bench:end -->`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.budget import BenchError
from bench.figures import Rows, found, load_bound, of_group, source_of
from bench.load import BUSY_SHARE
from bench.peers import PEERS
from bench.plots import rows_of
from bench.report import number, percent
from bench.selection import BASELINE
from bench.shapes import GROUPS, Shape

_BLOCK = re.compile(r"<!-- bench:(?!end)([a-z-]+) -->\n.*?<!-- bench:end -->", re.DOTALL)
_FLOOR = "floor"
_LEGENDS = {
    "! |": (
        f"`!`: the load generator used over {percent(BUSY_SHARE)} of its core in a quarter of the rounds or more"
        " and may have set the pace."
    ),
    " + |": "`+`: from a result that was added, see the list of facts.",
}
"""What is said below a table that has a mark in a cell, by the mark at the cell's end."""
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
    """Add fan-out results to a full run that lacks shapes, say because its time was up.

    Every row keeps the number of its source; which source a table shows is decided by `figures.of_group`.

    Raises:
        BenchError: An addition was measured on another machine or at another pace; or there is no fan-out at all.
    """
    parts = document["parts"]
    fanout = parts.get("fanout") or {"rows": [], "runs": [], "failures": []}
    paces = [fanout["pace"]] if "pace" in fanout else []
    for source, addition in enumerate(more, 1):
        if addition["machine"]["processor"] != document["machine"]["processor"]:
            raise BenchError(f"result {source} to be added was measured on another machine")
        paces.append(addition["pace"])
        if paces[-1] != paces[0]:
            raise BenchError(f"result {source} to be added has another pace, {_pace(paces[-1])}, not {_pace(paces[0])}")
        fanout = {
            "pace": paces[0],
            "rows": [*fanout["rows"], *({**row, "source": source} for row in addition["rows"])],
            "runs": [*fanout["runs"], *({**run, "source": source} for run in addition["runs"])],
            "failures": [*fanout["failures"], *addition["failures"]],
        }
    if not paces:
        raise BenchError("the full run did not reach the fan-out: add a result of `python -m bench fanout`")
    whole = {**document, "parts": {**parts, "fanout": fanout}}
    used = _used(rows_of(whole))
    return {**whole, "added": [_added(used, source, addition) for source, addition in enumerate(more, 1)]}


def _pace(pace: Mapping[str, Any]) -> str:
    return f"{pace['rounds']} rounds of {pace['seconds']:g} s after {pace['warm_up']:g} s of warming up"


def _used(rows: Rows) -> list[dict[str, Any]]:
    """Return the rows that some table shows, in their order."""
    shown = [row for shapes in GROUPS.values() for row in of_group(rows, shapes)]
    return [row for row in rows if any(row is other for other in shown)]


def _added(used: Rows, source: int, addition: Mapping[str, Any]) -> dict[str, Any]:
    names = dict.fromkeys(row["name"] for row in used if source_of(row) == source)
    machine = addition["machine"]
    return {
        "date": machine["date"],
        "shapes": list(names),
        "pace": addition["pace"],
        "load": machine["load_average"],
    }


def blocks(document: dict[str, Any]) -> dict[str, str]:
    """Make every block from the JSON of a full run."""
    rows = rows_of(document)
    made = {"facts": _facts(document), "capacity": _capacity(rows), "details": _details(document, rows)}
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


def _explained(table: str) -> str:
    """Say below a table what the marks in its cells mean."""
    return "\n\n".join([table, *(words for mark, words in _LEGENDS.items() if mark in table)])


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
        f"- Rounds per shape and broker: {pace['rounds']} of {pace['seconds']:g} s, or two longer (`bench/README.md`)",
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


def _mark(row: dict[str, Any]) -> str:
    return "!" if load_bound(row) else ""


def _cost(row: dict[str, Any]) -> str:
    return number(row["per_delivery"]) + _mark(row)


def _latencies(row: dict[str, Any]) -> str:
    spots = (row["completion_p50"], row["completion_p99"], row["completion_p999"])
    return " / ".join(number(spot) for spot in spots) + _mark(row)


def _best(present: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Name the peer that needs least, apart from this broker and the floor."""
    others = {name: row["per_delivery"] for name, row in present.items() if name not in (BASELINE, _FLOOR)}
    return min(others, key=lambda name: others[name]) if others else None


def _against_best(present: Mapping[str, Mapping[str, Any]]) -> str:
    best = _best(present)
    if best is None or BASELINE not in present:
        return "-"
    return f"{number(present[BASELINE]['per_delivery'] / present[best]['per_delivery'])} ({best})"


def _pivot(
    rows: Rows,
    shapes: Sequence[Shape],
    cell: Callable[[dict[str, Any]], str] = _cost,
    corner: str = "subscribers and load; CPU per delivery, µs",
) -> str:
    """Put brokers beside each other, a line per shape."""
    own = of_group(rows, shapes)
    everyone = {row["peer"] for row in rows}
    names = [name for name in PEERS if name in everyone]
    lines = []
    for shape in shapes:
        if present := found(own, shape):
            cells = [cell(present[name]) if name in present else "-" for name in names]
            lines.append([shape.name, *cells, *([_against_best(present)] if cell is _cost else [])])
    head = [corner, *names, *(["ours / best peer"] if cell is _cost else [])]
    return _explained(markdown(head, lines)) if lines else "Not measured in this run."


def _slow(rows: Rows) -> str:
    (shape,) = [shape for shape in GROUPS["slow"] if shape.slow]
    rows = of_group(rows, GROUPS["slow"])
    calm = found(rows, next(shape for shape in GROUPS["slow"] if not shape.slow))
    lines = [
        [
            name,
            f"{number(row['per_delivery'] / calm[name]['per_delivery'])}x" if name in calm else "-",
            number(max(row["grown_kib"], 0) / 1024),
            str(row["cut_off"]),
            number(row["messages_per_second"]),
        ]
        for name, row in found(rows, shape).items()
    ]
    head = ("broker", "CPU per delivery, against none slow", "memory grew, MiB", "cut off, all rounds", "messages/s")
    return markdown(head, lines) if lines else "Not measured in this run."


def _capacity(rows: Rows) -> str:
    """Say what the measured processor time allows, for machines of other sizes."""
    own = of_group(rows, GROUPS["base"])
    wanted = {shape: found(own, shape).get(BASELINE) for shape in GROUPS["base"]}
    measured = {shape: row for shape, row in wanted.items() if row}
    names = [f"{shape.subscribers:,}, {shape.name.split(', ', 1)[1]}" for shape in measured]
    rates = [_round(row["deliveries_per_second"]) + _mark(row) for row in measured.values()]
    lines = [["this run, one core", *rates, "measured"]]
    lines += [
        [name, *(_round(factor * 1e6 / row["per_delivery"]) for row in measured.values()), sure]
        for name, factor, sure in MACHINES
    ]
    return _explained(markdown(["deliveries per second", *names, "how sure"], lines))


def _round(value: float) -> str:
    """Write a computed number with no more digits than it deserves: two."""
    digits = len(str(int(value))) - 2
    return f"{round(value, -digits):,.0f}" if digits > 0 else f"{value:.0f}"


def _details(document: dict[str, Any], rows: Rows) -> str:
    """Show the fan-out table as it was printed, with what makes figures doubtful."""
    part = document["parts"]["fanout"]
    head = (
        "subscribers and load", "broker", "µs/delivery", "spread", "best", "µs/message", "messages/s",
        "deliveries/s", "p50 ms", "p99 ms", "p99.9 ms", "broker CPU", "user / system", "disturbed", "load CPU",
        "load disturbed",
    )  # fmt: skip
    lines = [
        (
            row["name"] + (" +" if source_of(row) else ""),
            row["peer"],
            number(row["per_delivery"]),
            percent(row["spread"]),
            number(row["best"]),
            number(row["per_message"]),
            number(row["messages_per_second"]),
            number(row["deliveries_per_second"]),
            number(row["completion_p50"]),
            number(row["completion_p99"]),
            number(row["completion_p999"]),
            percent(row["broker_share"]),
            f"{percent(row['user_share'])} / {percent(row['system_share'])}",
            percent(row["disturbed"]),
            percent(row["load_share"]) + _mark(row),
            percent(row["load_disturbed"]),
        )
        for row in _used(rows)
    ]
    notes = "".join(f"- {failure}\n" for failure in part["failures"])
    return _explained(markdown(head, lines, left=2)) + (
        f"\n\nNot everyone took part in everything:\n\n{notes.rstrip()}" if notes else ""
    )
