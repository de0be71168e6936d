"""The Grafana dashboard, the Prometheus rules and scrape config: they name what exists, and Prometheus takes them."""

import asyncio
import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker import WSMessageBroker
from broker.admin import Admin
from broker.metrics import HELP, PREFIX, render
from broker.settings import Settings
from tests.conftest import MakeBroker

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana-dashboard.json"
RULES = DEPLOY / "prometheus-rules.yaml"
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def queries() -> list[str]:
    """Every query of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def metric_names(text: str) -> set[str]:
    """The broker's metrics that a text refers to, without prefix and without the parts of a histogram."""
    found = {name.removeprefix(PREFIX) for name in re.findall(rf"\b{PREFIX}\w+", text)}
    return {next((name.removesuffix(part) for part in HISTOGRAM_PARTS if name.endswith(part)), name) for name in found}


def promtool(*arguments: str, cwd: Path = DEPLOY) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    ended = subprocess.run([program, *arguments], capture_output=True, text=True, cwd=cwd, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_dashboard_is_what_its_script_writes() -> None:
    """Nobody edited the JSON by hand, and nobody forgot to run the script."""
    assert DASHBOARD.read_text() == runpy.run_path(str(DEPLOY / "dashboard.py"))["text"]()


def test_dashboard_shows_every_metric_and_no_other() -> None:
    """Each metric of the broker has its place on the dashboard, and each query asks for metrics that exist."""
    assert metric_names(" ".join(queries())) == set(HELP)


def test_dashboard_panels_lie_side_by_side() -> None:
    """No panel covers another, and none leaves the grid."""
    taken: dict[tuple[int, int], str] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_dashboard_queries_are_promql(tmp_path: Path) -> None:
    """Prometheus itself parses every query, with Grafana's variables filled in."""
    filled = [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for query in queries()]
    rules = [{"record": f"query_{index}", "expr": query} for index, query in enumerate(filled)]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_rules_name_metrics_that_exist() -> None:
    """An alert on a metric that nobody exports would never fire."""
    named = metric_names(re.sub(r"^\s*#.*", "", RULES.read_text(), flags=re.MULTILINE))
    assert named
    assert named <= set(HELP)


async def test_queries_use_labels_that_exist(make_broker: MakeBroker) -> None:
    """Every label that a rule or a panel selects or sums by stands on the metric."""
    broker = await make_broker()
    known = {"instance", "job", "le"} | await asyncio.to_thread(label_names, broker)
    text = RULES.read_text() + " ".join(queries())
    used = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|=)", text))
    for names in re.findall(r"\bby \(([^)]*)\)", text):
        used |= set(re.split(r"\s*,\s*", names))
    assert used
    assert used <= known


def label_names(broker: WSMessageBroker) -> set[str]:
    counters = broker.core.counters
    for kinds in (counters.closed, counters.rejected, counters.auth_failures, counters.dropped, counters.reloads):
        kinds["any"] += 1
    page = render(Admin(broker.core, lambda: True, "asyncio").collector).decode()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {label for sample in samples for label in sample.labels}


def test_rules_fire_and_keep_quiet_as_they_should() -> None:
    """Prometheus' own rule tests: trouble fires every alert, a healthy broker none."""
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", "prometheus-tests.yaml", cwd=Path(__file__).parent)


def test_rules_all_have_a_test() -> None:
    """Each alert is provoked in `prometheus-tests.yaml`."""
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tested = set(re.findall(r'alertname="(\w+)"', (Path(__file__).parent / "prometheus-tests.yaml").read_text()))
    assert alerts == tested


def test_scrape_config_asks_the_admin_listener() -> None:
    """Prometheus takes the config; the target is the admin listener's default address."""
    defaults = Settings()
    assert f'targets: ["{defaults.admin_host}:{defaults.admin_port}"]' in (DEPLOY / "prometheus.yaml").read_text()
    promtool("check", "config", "prometheus.yaml")


def test_dashboard_variables_are_defined() -> None:
    """Every `$name` in a query is a variable of the dashboard or one of Grafana's own."""
    content: dict[str, Any] = json.loads(DASHBOARD.read_text())
    defined = {variable["name"] for variable in content["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text())) - {"__all"} == defined
