"""Lay out how the service is, for 80 columns and 24 lines or more; pure."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from otp.pi.cli.modems import signal, state
from otp.pi.cli.output import printable

MOST_ROWS: Final = 6
"""Rows of a table at most where the height is limited; a last line says how many more there are."""

_FEWEST_EVENTS: Final = 3
_MOST_EVENTS: Final = 15
_REASONS: Final = 3
_WIDEST: Final = {
    "modem": 16,
    "input": 16,
    "mail": 16,
    "port": 18,
    "operator": 12,
    "signal": 12,
    "topic": 18,
    "received": 10,
}
"""Columns at most; what is left of 80 belongs to the last column."""
_LEVELS: Final = {"warning": "yellow", "error": "bold red"}
_HOUR, _MINUTE = 3600, 60


def screen(snapshot: Mapping[str, Any], *, height: int | None = None, lost: str = "") -> Group:
    """Return everything as one renderable.

    Args:
        snapshot: ``Snapshot.to_dict()`` as JSON.
        height: Lines there are; ``None`` for as many as it takes.
        lost: Why this is not the present; empty when it is.
    """
    most = MOST_ROWS if height is not None else len(snapshot["modems"]) + len(snapshot["inputs"]) + 1
    above: list[Text | Table] = [_head(snapshot, lost), *_reasons(snapshot), _queue(snapshot)]
    for heading, rows in (
        (("modem", "port", "operator", "signal", "state"), [_modem(each) for each in snapshot["modems"]]),
        (("input", "topic", "received", "state"), [_input(each) for each in snapshot["inputs"]]),
        (("mail", "state"), [_mail(each) for each in snapshot["mail"]]),
    ):
        above += _table(heading, rows, most)
    used = sum(each.row_count + 1 if isinstance(each, Table) else 1 for each in above)
    room = _MOST_EVENTS if height is None else max(height - used - 2, _FEWEST_EVENTS)
    events = [_event(each) for each in snapshot["events"][-room:]]
    return Group(*_lines([*above, Text("events", style="bold"), *events]))


def _lines(parts: Iterable[Text | Table]) -> Iterable[RenderableType]:
    for part in parts:
        if isinstance(part, Text):
            part.no_wrap, part.overflow = True, "ellipsis"
        yield part


def _head(snapshot: Mapping[str, Any], lost: str) -> Text:
    head = Text(f"OTP-Pi {snapshot['version']}  ", style="bold")
    if lost:
        return head.append(f"gone: {printable(lost)}", style="bold red")
    word, style = ("ready", "bold green") if snapshot["ready"] else ("not ready", "bold red")
    return head.append(word, style=style).append(f"  up {duration(snapshot['uptime'])}", style="default")


def _reasons(snapshot: Mapping[str, Any]) -> list[Text]:
    reasons = list(snapshot["reasons"])
    shown = [Text(f"  {printable(reason)}", style="red") for reason in reasons[:_REASONS]]
    return [*shown, Text(f"  and {len(reasons) - _REASONS} more", style="red")] if len(reasons) > _REASONS else shown


def _queue(snapshot: Mapping[str, Any]) -> Text:
    waiting = {word: number for word, number in snapshot["queue"].items() if number}
    if not waiting:
        return Text("queue  empty")
    states = ", ".join(f"{number} {word}" for word, number in waiting.items())
    return Text(f"queue  {states}; the oldest waits for {duration(snapshot['oldest_waiting'])}")


def _table(heading: Sequence[str], rows: Sequence[Sequence[RenderableType]], most: int) -> list[Text | Table]:
    """Return a table, and how many rows it leaves out; nothing where it would be empty."""
    if not rows:
        return []
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in heading:
        widest = _WIDEST.get(name)
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=widest, ratio=None if widest else 1)
    for row in rows[:most]:
        table.add_row(*row)
    return [table, Text(f"  and {len(rows) - most} more")] if len(rows) > most else [table]


def _modem(modem: Mapping[str, Any]) -> list[RenderableType]:
    port = printable(str(modem["port"] or "-")).removeprefix("/dev/").removeprefix("serial/by-id/")
    return [
        Text(modem["name"]),
        Text(port),
        Text(printable(modem["operator"]) or "-"),
        signal(modem),
        state(modem, detail=True),
    ]


def _input(each: Mapping[str, Any]) -> list[RenderableType]:
    detail = printable(each["detail"])
    word = Text(detail or "connected", style="green") if each["connected"] else Text("not connected", style="red")
    if detail and not each["connected"]:
        word.append(f": {detail}", style="default")
    return [Text(each["name"]), Text(printable(each["topic"])), str(each["received"]), word]


def _mail(account: Mapping[str, Any]) -> list[RenderableType]:
    word = Text(account["state"], style="green" if account["state"] == "ready" else "yellow")
    if account["reason"]:
        word.append(f": {printable(account['reason'])}", style="default")
    return [Text(account["name"]), word]


def _event(event: Mapping[str, Any]) -> Text:
    known = {"at", "level", "event"}
    fields = " ".join(f"{name}={printable(str(value))}" for name, value in event.items() if name not in known)
    clock = time.strftime("%H:%M:%S", time.localtime(event["at"]))
    text = Text(f"{clock}  ").append(printable(event["event"]), style=_LEVELS.get(event["level"], "default"))
    return text.append(f"  {fields}", style="dim") if fields else text


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = round(seconds)
    if whole >= 24 * _HOUR:
        return f"{whole // (24 * _HOUR)} d {whole % (24 * _HOUR) // _HOUR} h"
    if whole >= _HOUR:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _MINUTE} min {whole % _MINUTE} s" if whole >= _MINUTE else f"{whole} s"
