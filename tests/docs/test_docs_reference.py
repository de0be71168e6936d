"""The reference against the code: everything has its line, and every line has its thing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from broker.admin import Admin
from broker.config import toml_value
from broker.errors import CLOSURES, REFUSALS
from broker.metrics import HELP, PREFIX, render
from broker.request import RESERVED_PARAMETERS
from broker.settings import Settings, about
from tests.conftest import MakeBroker
from tests.docs.pages import REFERENCE, ROOT, code, prose, tables

SETTINGS = {code(row["Setting"])[0]: row for row in tables(REFERENCE / "settings.md", "Setting")}
METRICS = {code(row["Metric"])[0]: row for row in tables(REFERENCE / "metrics.md", "Metric")}
CODES = REFERENCE / "close-codes.md"


def test_settings_page_has_every_setting_in_order() -> None:
    """The tables list exactly the settings, in the order of `wsbroker default-config`."""
    assert list(SETTINGS) == list(Settings.model_fields)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_settings_page_tells_the_truth(name: str) -> None:
    """Default, unit, consequence and whether a reload takes it are those of the code."""
    row, extra = SETTINGS[name], about(name)
    assert code(row["Default"]) == [toml_value(name, Settings.model_fields[name].default)]
    assert row["Unit"] == (extra.unit or "-")
    assert (extra.crossed or "-") in row["When crossed"].replace("`", "")
    assert row["Change"] == ("reload" if extra.reload else "restart")


async def test_metrics_page_tells_the_truth(make_broker: MakeBroker) -> None:
    """Every metric of a scrape has its line, with its type and its labels, and no line is left over."""
    broker = await make_broker()
    counters = broker.core.counters
    for kinds in (counters.closed, counters.rejected, counters.auth_failures, counters.dropped, counters.reloads):
        kinds["any"] += 1
    page = render(Admin(broker.core, lambda: True, "asyncio").collector).decode()
    scraped = {}
    for family in text_string_to_metric_families(page):
        if not family.name.startswith(PREFIX):
            continue  # process_*, the library's own
        name = family.name + "_total" * (family.type == "counter")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        scraped[name] = (family.type, labels)
    written = {name: (row["Type"], set(code(row["Labels"]))) for name, row in METRICS.items()}
    assert written == scraped


def test_metrics_page_lists_what_the_code_declares() -> None:
    """The names are those of `broker.metrics.HELP`, in its order."""
    assert list(METRICS) == [PREFIX + name for name in HELP]


def test_refusals_page_tells_the_truth() -> None:
    """Status, token and advice of every refusal are those of the code, in its order."""
    rows = [row for row in tables(CODES, "Status") if "Token" in row]
    written = [(code(row["Token"])[0], int(row["Status"]), row["Advice to the client"]) for row in rows]
    assert written == [(each.token, each.status, each.advice) for each in REFUSALS]


def test_closures_page_tells_the_truth() -> None:
    """Code, token and advice of every closure are those of the code, in its order."""
    rows = tables(CODES, "Code")
    written = [(code(row["Token"])[0], int(row["Code"]), row["Advice to the client"]) for row in rows]
    assert written == [(each.token, each.code, each.advice) for each in CLOSURES]


def calls(*names: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield every call in `broker/` of a function or method with one of these names."""
    for file in sorted((ROOT / "broker").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in names:
                    yield node, name


def test_reasons_page_lists_the_finer_words() -> None:
    """Every `reason=` that the code gives a refusal stands in the table, and no other."""
    found = {
        keyword.value.value
        for call, _ in calls("Refused")
        for keyword in call.keywords
        if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant)
    }
    rows = tables(CODES, "Reason")
    assert {code(row["Reason"])[0] for row in rows} == found
    assert {code(row["Token"])[0] for row in rows} <= {each.token for each in REFUSALS}


def test_log_page_lists_every_event() -> None:
    """Every event that the code logs stands in the table with its level, and no other."""
    logged = {
        (call.args[0].value, level)
        for call, level in calls("debug", "info", "warning", "error")
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    rows = tables(REFERENCE / "log.md", "Event")
    assert {(code(row["Event"])[0], row["Level"]) for row in rows} == logged


def test_http_page_names_the_reserved_parameters() -> None:
    """What the query must not hold is written down."""
    rows = tables(REFERENCE / "http.md", "part")
    assert RESERVED_PARAMETERS in [set(code(row["part"])) for row in rows]


def test_http_page_lists_every_admin_page() -> None:
    """Every route of the admin listener has its line, with its method, and no other has."""
    routes = {
        (call.func.attr.removeprefix("add_").upper(), call.args[0].value)
        for call, _ in calls("add_get", "add_post", "add_put", "add_delete")
        if isinstance(call.func, ast.Attribute) and isinstance(call.args[0], ast.Constant)
    }
    written = {tuple(code(row["Request"])[0].split("?")[0].split()) for row in tables(REFERENCE / "http.md", "Request")}
    assert written == routes


def mentioned(page: Path) -> set[str]:
    """Words in backticks on a page that look like names of settings, and everything that looks like a metric."""
    text = prose(page)
    names = {word for word in code(text) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)}
    return names | set(re.findall(rf"\b{PREFIX}\w+", text))


def known_words() -> set[str]:
    """Every name with an underscore that a page may use: settings, tokens, reasons, events, metrics, files."""
    events = {code(row["Event"])[0] for row in tables(REFERENCE / "log.md", "Event")}
    reasons = {code(row["Reason"])[0] for row in tables(CODES, "Reason")}
    tokens = {each.token for each in REFUSALS} | {each.token for each in CLOSURES}
    return {*Settings.model_fields, *HELP, *(PREFIX + name for name in HELP), *events, *reasons, *tokens, "no_accounts"}


BROKER_PAGES = (
    *(REFERENCE / f"{name}.md" for name in ("settings", "metrics", "close-codes", "http", "cli", "promises", "log")),
    *sorted(page for page in (ROOT / "docs" / "how-to").glob("*.md") if not page.name.startswith("otp-pi-")),
    *(ROOT / "docs" / "explanation" / f"{name}.md" for name in ("fan-out", "slow-consumers", "security")),
)


@pytest.mark.parametrize("page", BROKER_PAGES, ids=lambda page: page.name)
def test_pages_use_names_that_exist(page: Path) -> None:
    """No page speaks of a setting, token or metric that the broker no longer has."""
    assert mentioned(page) - known_words() - {"worker_connections"} == set(), "nginx' own name is the one exception"
