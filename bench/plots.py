"""Plots of a result, as SVG and PNG.

Colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart; every broker has a
marker of its own as well. This broker is black and drawn thick.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.budget import BenchError
from bench.figures import Rows, found, of_group
from bench.peers import PEERS
from bench.shapes import BASE, GROUPS, Shape

_STYLES: dict[str, tuple[str, str]] = {
    "ours": ("#000000", "o"),
    "websockets": ("#E69F00", "s"),
    "nodews": ("#56B4E9", "^"),
    "bun": ("#009E73", "D"),
    "nats": ("#0072B2", "v"),
    "nchan": ("#D55E00", "P"),
    "mosquitto": ("#CC79A7", "X"),
    "picows": ("#8C6D1F", "<"),
    "floor": ("#888888", "."),
}
_LEVELS = ("1", "50", "90", "99", "99.9")


def unavailable() -> str | None:
    """Say why nothing can be drawn, or return None."""
    if importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed: pip install 'wsmessagebroker[bench]'"
    return None


def rows_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the fan-out rows of a result of any command; none when it has none.

    Raises:
        BenchError: The result lacks figures that are needed now.
    """
    rows = document.get("parts", {}).get("fanout", document).get("rows", ())
    if any("levels" not in row for row in rows):
        raise BenchError("the result is of an older version of this benchmark: measure again")
    return [{**row, "shape": Shape(**row["shape"])} for row in rows]


def draw(rows: Rows, folder: Path) -> list[Path]:
    """Draw every plot there are figures for.

    Args:
        rows: See `rows_of`.
        folder: Where the files go; made where missing.

    Returns:
        The files written.
    """
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra, and slow to import

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "bench", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
    written: list[Path] = []
    for name, plot in _PLOTS.items():
        figure = plot(rows)
        if figure is not None:
            written += _save(figure, folder, name)
    return written


def _save(figure: Any, folder: Path, name: str) -> list[Path]:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.svg", folder / f"{name}.png"]
    figure.savefig(files[0], metadata={"Date": None})
    figure.savefig(files[1], dpi=130)
    plt.close(figure)
    # matplotlib leaves blanks at the ends of lines, which a repository need not keep.
    files[0].write_text("".join(line.rstrip() + "\n" for line in files[0].read_text().splitlines()))
    return files


def _panels(count: int, columns: int, height: float) -> tuple[Any, list[Any]]:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    lines = -(-count // columns)
    size = (4.2 * columns, height * lines)
    figure, grid = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    panels = [panel for line in grid for panel in line]
    for panel in panels[count:]:
        panel.set_visible(False)
    return figure, panels[:count]


def _bars(rows: Rows) -> Any:
    """Draw what a delivery costs in the standard shapes, a panel for each."""
    rows = of_group(rows, BASE)
    shapes = [shape for shape in BASE if found(rows, shape)]
    if not shapes:
        return None
    figure, panels = _panels(len(shapes), 3, 2.7)
    for panel, shape in zip(panels, shapes, strict=True):
        present = found(rows, shape)
        names = [name for name in PEERS if name in present]
        values = [present[name]["per_delivery"] for name in names]
        bars = panel.barh(names, values, color=[_STYLES[name][0] for name in names])
        panel.bar_label(bars, labels=[f"{value:.3g}" for value in values], padding=3, fontsize=8)
        panel.invert_yaxis()
        panel.set_xscale("log")
        panel.set_xlim(min(values) / 2, max(values) * 5)
        panel.tick_params(axis="x", which="minor", labelbottom=False)
        panel.grid(visible=False, axis="y")
        many = "" if shape.subscribers == 1 else "s"
        panel.set_title(f"{shape.subscribers:,} subscriber{many}, {shape.name.split(', ', 1)[1]}", fontsize=9)
        panel.set_xlabel("broker CPU per delivery, µs (less is better)", fontsize=8)
    return figure


def _line(panel: Any, name: str, points: Sequence[tuple[float, float]]) -> None:
    colour, marker = _STYLES[name]
    panel.plot(
        *zip(*points, strict=True),
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=2.4 if name == "ours" else 1.2,
        linestyle="--" if name == "floor" else "-",
        zorder=3 if name == "ours" else 2,
        label=name,
    )


def _lines(
    rows: Rows, panels: Sequence[Any], series: Sequence[Sequence[Shape]], place: Callable[[Shape], float], value: str
) -> None:
    """Draw a line per broker through the shapes of each series, on log axes."""
    for panel, shapes in zip(panels, series, strict=True):
        own = of_group(rows, shapes)
        for name in PEERS:
            spots = [(place(shape), found(own, shape).get(name)) for shape in shapes]
            points = [(at, row[value]) for at, row in spots if row]
            if points:
                _line(panel, name, points)
        panel.set_xscale("log")
        panel.set_yscale("log")


def _legend(figure: Any, panel: Any) -> None:
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)


def _plain_numbers(panel: Any, values: Sequence[float]) -> None:
    panel.set_xticks(values, [f"{value:,}" for value in values])
    panel.minorticks_off()


def _by_subscribers(rows: Rows, window: int) -> list[Shape]:
    """Return the measured shapes that differ in their subscribers alone: a line never mixes windows."""
    measured = {row["shape"] for row in rows}
    alike = [shape for shape in measured if shape == Shape(shape.subscribers, window)]
    return sorted(alike, key=lambda shape: shape.subscribers)


def _subscribers(rows: Rows) -> Any:
    """Draw the cost of a delivery against the number of subscribers, a panel for each window."""
    windows = sorted({row["shape"].window for row in rows}, reverse=True)
    series = [shapes for window in windows if len(shapes := _by_subscribers(rows, window)) > 2]
    if not series:
        return None
    figure, panels = _panels(len(series), 2, 3.6)
    _lines(rows, panels, series, lambda shape: shape.subscribers, "per_delivery")
    for panel, shapes in zip(panels, series, strict=True):
        panel.set_title(shapes[0].name.split(", ", 1)[1], fontsize=10)
        panel.set_xlabel("subscribers")
        panel.set_ylabel("broker CPU per delivery, µs")
        _plain_numbers(panel, [shape.subscribers for shape in shapes])
    _legend(figure, panels[0])
    return figure


def _messages(rows: Rows) -> Any:
    """Draw the cost of a message, one at a time, against the number of subscribers."""
    label = "broker CPU per message, one at a time, µs"
    return _per_message(rows, _by_subscribers(rows, 1), lambda shape: shape.subscribers, "subscribers", label)


def _sizes(rows: Rows) -> Any:
    """Draw the cost of a message against its size."""
    shapes = [shape for shape in sorted(GROUPS["sizes"], key=lambda shape: shape.size) if found(rows, shape)]
    label = "broker CPU per message to 10 subscribers, µs"
    return _per_message(rows, shapes, lambda shape: shape.size, "payload, bytes", label)


def _per_message(rows: Rows, shapes: Sequence[Shape], place: Callable[[Shape], int], across: str, upwards: str) -> Any:
    """Draw a line for each broker through what a message costs in some shapes; None for fewer than two."""
    if len(shapes) < 2:
        return None
    figure, panels = _panels(1, 1, 3.8)
    figure.set_figwidth(6.4)
    _lines(rows, panels, [shapes], place, "per_message")
    panels[0].set_xlabel(across)
    panels[0].set_ylabel(upwards)
    _plain_numbers(panels[0], [place(shape) for shape in shapes])
    _legend(figure, panels[0])
    return figure


def _latency(rows: Rows) -> Any:
    """Draw the distribution of latencies, paced where that was measured, one at a time otherwise."""
    shapes = [shape for shape in GROUPS["paced"] if found(rows, shape)]
    shapes = shapes or [shape for shape in BASE if shape.window == 1 and found(rows, shape)]
    if not shapes:
        return None
    rows = of_group(rows, shapes)
    figure, panels = _panels(len(shapes), 2, 3.6)
    for panel, shape in zip(panels, shapes, strict=True):
        for name, row in found(rows, shape).items():
            spots = [(at, row["levels"][level]) for at, level in enumerate(_LEVELS)]
            _line(panel, name, [(at, spot) for at, spot in spots if spot is not None])
        panel.set_yscale("log")
        panel.set_xticks(range(len(_LEVELS)), [f"p{level}" for level in _LEVELS])
        many = "" if shape.subscribers == 1 else "s"
        panel.set_title(f"{shape.subscribers:,} subscriber{many}, {shape.name.split(', ', 1)[1]}", fontsize=10)
        panel.set_xlabel("share of deliveries that are at least as fast, per cent")
        panel.set_ylabel("time from due to delivered, ms" if shape.rate else "time until all have it, ms")
    _legend(figure, panels[0])
    return figure


def _idle(rows: Rows) -> Any:
    """Draw the cost of a delivery against connections and topics that do nothing."""
    series = [GROUPS["idle"], GROUPS["idle topics"]]
    if sum(bool(found(rows, shape)) for shapes in series for shape in shapes) < 3:
        return None
    figure, panels = _panels(2, 2, 3.6)
    _lines(rows, panels, series, lambda shape: shape.idle + shape.idle_topics, "per_delivery")
    for panel, what in zip(panels, ("connections", "topics"), strict=True):
        panel.set_xscale("symlog", linthresh=1000)
        panel.set_xlabel(f"idle {what} beside the load")
        panel.set_ylabel("broker CPU per delivery, µs")
        _plain_numbers(panel, [0, 1000, 8000])
    _legend(figure, panels[0])
    return figure


_PLOTS: dict[str, Callable[[Rows], Any]] = {
    "fan-out": _bars,
    "latency": _latency,
    "subscribers": _subscribers,
    "messages": _messages,
    "sizes": _sizes,
    "idle": _idle,
}
