"""Write `grafana-dashboard.json`: `python deploy/dashboard.py` after a change of the table below.

One row of the table is one panel, so that a review reads queries and not two thousand lines of JSON.
"""  # noqa: INP001 - a script beside what it writes, no package

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

TARGET: Final = Path(__file__).with_name("grafana-dashboard.json")
WIDTH: Final = 24
"""Columns of Grafana's grid."""
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
RATE: Final = "$__rate_interval"


class Panel(NamedTuple):
    """One panel: its kind, title, unit, size on the grid, what it tells, and (query, legend) pairs."""

    kind: str
    title: str
    unit: str
    width: int
    height: int
    text: str
    queries: tuple[tuple[str, str], ...]


def _one(name: str) -> str:
    return f'wsbroker_{name}{{instance=~"$instance"}}'


def _rate(name: str, by: str = "") -> str:
    return f"sum by ({by}) (rate({_one(name)}[{RATE}]))" if by else f"sum(rate({_one(name)}[{RATE}]))"


def _stat(title: str, unit: str, text: str, query: str) -> Panel:
    return Panel("stat", title, unit, 4, 4, text, ((query, ""),))


def _graph(title: str, unit: str, text: str, *queries: tuple[str, str], width: int = 12) -> Panel:
    return Panel("timeseries", title, unit, width, 8, text, queries)


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({_one('relay_duration_seconds_bucket')}[{RATE}])))"


ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "At a glance": (
        _stat("Accepting", "bool_yes_no", "No: descriptors ran out.", f"min({_one('accepting')})"),
        _stat("Connections", "short", "Open now, handshakes included.", f"sum({_one('connections')})"),
        _stat("Topics", "short", "Topics with a connection.", f"sum({_one('topics')})"),
        _stat("Messages in", "mps", "Taken from publishers.", _rate("messages_received_total")),
        _stat("Deliveries", "mps", "Handed to subscribers.", _rate("messages_delivered_total")),
        _stat(
            "Slow consumers, last hour",
            "short",
            "Connections that fell behind; 0 is healthy.",
            f"sum(increase({_one('slow_consumers_total')}[1h]))",
        ),
    ),
    "Traffic": (
        _graph(
            "Messages",
            "mps",
            "One message in becomes one delivery per subscriber. In without out: nobody listens.",
            (_rate("messages_received_total"), "in"),
            (_rate("messages_delivered_total"), "delivered"),
        ),
        _graph(
            "Bytes",
            "Bps",
            "Read from clients, written to subscribers.",
            (_rate("received_bytes_total"), "in"),
            (_rate("sent_bytes_total"), "out"),
        ),
        _graph(
            "Relay time",
            "s",
            "From the arrival of a batch's first message to the end of its fan-out.",
            (_quantile(0.5), "median"),
            (_quantile(0.99), "99th percentile"),
        ),
        _graph(
            "Lateness of the event loop",
            "s",
            "The worst of the last 10 s. Above 0.1 s the machine is too busy.",
            (_one("event_loop_lag_seconds"), "{{instance}}"),
        ),
    ),
    "Connections": (
        _graph("Open", "short", "Open now.", (_one("connections"), "{{instance}}"), width=8),
        _graph("Opened", "cps", "WebSockets opened a second.", (_rate("connections_opened_total"), "opened"), width=8),
        _graph(
            "Ended, by Close code",
            "cps",
            "1006 is an end without a Close frame, the habit of simple publishers.",
            (_rate("connections_closed_total", "code"), "{{code}}"),
            width=8,
        ),
        _graph(
            "Refused, by reason",
            "cps",
            "Requests that got an HTTP error instead of a WebSocket.",
            (_rate("handshakes_rejected_total", "reason"), "{{reason}}"),
            width=8,
        ),
        _graph(
            "Failed authentication, by reason",
            "cps",
            "wrong and throttled: somebody guesses, or a client has an old password.",
            (_rate("auth_failures_total", "reason"), "{{reason}}"),
            width=8,
        ),
        _graph(
            "Connections per topic",
            "short",
            "Topics of metrics_topics; all others together are `other`.",
            (f"sum by (topic) ({_one('subscribers')})", "{{topic}}"),
            width=8,
        ),
    ),
    "Trouble": (
        _graph(
            "Bytes that wait for slow connections",
            "bytes",
            "Near 0 is healthy; max_queued_bytes bounds each connection.",
            (_one("send_queue_bytes"), "{{instance}}"),
            width=8,
        ),
        _graph(
            "Messages dropped, by reason",
            "mps",
            "Counted once per subscriber that missed one.",
            (_rate("messages_dropped_total", "reason"), "{{reason}}"),
            width=8,
        ),
        _graph(
            "Reloads, by result",
            "short",
            "error: a file is bad and the old state is kept; the log says why.",
            (f"sum by (result) (increase({_one('config_reloads_total')}[{RATE}]))", "{{result}}"),
            width=8,
        ),
        Panel(
            "table",
            "Versions",
            "short",
            24,
            5,
            "What runs where.",
            ((_one("build_info"), ""),),
        ),
    ),
}


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    table = panel.kind == "table"
    targets = [
        {
            "datasource": DATASOURCE,
            "expr": query,
            "legendFormat": legend,
            "refId": chr(ord("A") + index),
            **({"instant": True, "format": "table"} if table else {}),
        }
        for index, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": targets,
    }


def _layout() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": WIDTH, "x": 0, "y": y}
        panels.append({"id": len(panels) + 1, "type": "row", "title": title, "gridPos": place, "panels": []})
        x, y, height = 0, y + 1, 0
        for panel in row:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            panels.append(_panel(len(panels) + 1, panel, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return panels


def dashboard() -> dict[str, Any]:
    """Build the dashboard as Grafana imports it."""
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    instance = {
        "name": "instance",
        "label": "Broker",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": "label_values(wsbroker_build_info, instance)", "refId": "instances"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": "wsbroker",
        "title": "WSMessageBroker",
        "tags": ["wsbroker"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [datasource, instance]},
        "panels": _layout(),
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
