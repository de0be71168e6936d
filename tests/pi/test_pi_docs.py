"""The OTP-Pi's pages against the code: everything has its line, every line has its thing, every example works."""

import ast
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from otp import http
from otp.codes import ResponseCode
from otp.incoming import ALIASES, NEEDED
from otp.pi import answers, events, metrics, model
from otp.pi.cli import app
from otp.pi.config.schema import REPEATED, TABLES, TOP, heading
from otp.pi.config.template import _toml, _unit
from otp.pi.counts import Counts
from otp.pi.guards import Alarms
from otp.pi.housekeeping import Watch
from otp.pi.importing import convert
from otp.pi.journal.rows import Row
from otp.pi.model import FINAL, Origin, State
from otp.pi.modems import cms, status
from otp.pi.modems.news import Received, Reported
from otp.pi.modems.status import ModemState
from otp.pi.rest import Api
from otp.pi.settings import Settings
from otp.pi.status import Snapshot
from otp.pi.webhook import sign
from tests.docs.pages import DOCS, REFERENCE, ROOT, Block, blocks, code, prose, tables

SETTINGS = REFERENCE / "otp-pi-settings.md"
CLI = REFERENCE / "otp-pi-cli.md"
HTTP = REFERENCE / "otp-pi-http.md"
STATES = REFERENCE / "otp-pi-states.md"
METRICS = REFERENCE / "otp-pi-metrics.md"
LOG = REFERENCE / "otp-pi-log.md"
EVENTS = DOCS / "how-to" / "otp-pi-events.md"
IMPORT = DOCS / "how-to" / "otp-pi-replace-java.md"
DELIVERY = DOCS / "explanation" / "delivery.md"
PAGES = [
    *sorted(REFERENCE.glob("otp-pi-*.md")),
    *sorted((DOCS / "how-to").glob("otp-pi-*.md")),
    DELIVERY,
    DOCS / "tutorial" / "sms-gateway.md",
]
FOREIGN = {"group_add", "file_get_contents"}
"""Names of Compose and of PHP."""

SOURCES = [*sorted((ROOT / "otp").rglob("*.py")), *sorted((ROOT / "broker").glob("*.py"))]


def first(row: dict[str, str], column: str) -> str:
    """Return the first word in backticks of a cell."""
    return code(row[column])[0]


# -- settings


def test_pi_settings_page_has_every_table_in_order() -> None:
    """The headings are the tables of the file, those that may come several times last."""
    written = re.findall(r"^### `(.+)`$", prose(SETTINGS), flags=re.MULTILINE)
    single = [name for name in TABLES if name not in REPEATED]
    assert written == [heading(name) for name in (*single, *(name for name in TABLES if name in REPEATED))]


def test_pi_settings_page_tells_the_truth() -> None:
    """Every key stands there, in the order of `otp-pi default-config`, with its default and its unit."""
    known = [(name, Settings.model_fields[name]) for name in TOP]
    for repeated in (False, True):
        for table, kind in TABLES.items():
            if (table in REPEATED) is repeated:
                known += kind.model_fields.items()
    wanted = [
        (name, "required" if field.is_required() else f"`{_toml(field.default, _unit(field))}`", _unit(field) or "-")
        for name, field in known
    ]
    rows = tables(SETTINGS, "Setting")
    assert [(first(row, "Setting"), row["Default"], row["Unit"]) for row in rows] == wanted


def test_pi_settings_page_says_what_each_does() -> None:
    """The words are those of the code."""
    said = [row["What it does"] for row in tables(SETTINGS, "Setting")]
    kinds: list[type[BaseModel]] = [Settings, *TABLES.values()]
    for kind in kinds:
        for name, field in kind.model_fields.items():
            if name not in TABLES:
                assert any(text.startswith(str(field.description)) for text in said), name


# -- the command line


def commands() -> dict[str, Any]:
    group = typer.main.get_command(app)
    found: dict[str, Any] = group.commands  # type: ignore[attr-defined]
    return found


def test_pi_cli_page_lists_every_command() -> None:
    """Every command has its line with its arguments, in the order of `otp-pi --help`."""
    known = []
    for name, command in commands().items():
        words = [each.make_metavar() if each.metavar is None else each.metavar for each in arguments(command)]
        known.append(" ".join(["otp-pi", name, *words]))
    assert [first(row, "Command") for row in tables(CLI, "Command")] == known


def arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def test_pi_cli_page_lists_every_option() -> None:
    """Every option of every command has its line, and no line is left over; the emulator's are in its help."""
    written: dict[str, set[str]] = {}
    for row in tables(CLI, "Option"):
        for owner in code(row["Of"]):
            written.setdefault(owner, set()).update(word.split()[0] for word in code(row["Option"]))
    assert written.pop("otp-pi") == {"--version"}
    real = {}
    for name, command in commands().items():
        flags = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)}
        real[name] = {flag for flag in flags if flag.startswith("-")} - {"--help"}
    assert real.pop("emulate")
    assert written == {name: flags for name, flags in real.items() if flags}


def test_pi_cli_page_lists_exit_codes_and_signals() -> None:
    """The exit codes are those that the commands' own text names; the signals are all that are handled."""
    assert [row["Code"] for row in tables(CLI, "Code")] == ["0", "1", "2", "130"]
    assert {word for row in tables(CLI, "Signal") for word in code(row["Signal"])} == {"HUP", "TERM", "INT"}


# -- HTTP


def test_pi_http_page_lists_every_request() -> None:
    """Every route has its line, and no other has; the synonyms of /api/otp stand in the text."""
    application = Api(None, None, None, Counts()).application(max_body=1024)  # type: ignore[arg-type]
    routes = {(route.method, route.resource.canonical) for route in application.router.routes() if route.resource}
    synonyms = {path for method, path in routes if method == "*"}
    assert synonyms == set(http.PATHS)
    assert synonyms <= set(code(prose(HTTP)))
    written = {tuple(word.split()) for row in tables(HTTP, "Request") for word in code(row["Request"])}
    asked = {(method, path) for method, path in routes if method == "GET"}
    assert written == asked | {(method, "/api/otp") for method in http.METHODS}


def test_pi_http_page_lists_every_command() -> None:
    """Every command has its line with the fields that it needs."""
    written: dict[str, set[str]] = {}
    for row in tables(HTTP, "`command`"):
        written |= dict.fromkeys(code(row["`command`"]), set(code(row["`data` needs"])) - {"msisdn"})
    wanted = {command.value: set(needs) for command, needs in NEEDED.items()}
    assert written == wanted | {alias: wanted[command] for alias, command in ALIASES.items()}


def test_pi_http_page_lists_every_status() -> None:
    """The statuses and their response codes are those of the module."""
    written = [(row["Status"], first(row, "`response_code`")) for row in tables(HTTP, "Status")]
    assert written == re.findall(r"^\| (\d{3})\s+\| (\d{4}) ", http.__doc__ or "", flags=re.MULTILINE)


def test_pi_http_page_lists_every_field_of_the_journal() -> None:
    """A row in JSON has the keys that the page names, in their order."""
    rows = [first(row, "Field") for row in tables(HTTP, "Field")]
    assert rows[rows.index("number") :] == [each.name for each in fields(Row)]


def test_pi_http_page_lists_every_event() -> None:
    """The events have the keys that the page names."""
    received = Received(modem="m", sender="s", text="t", sent_at=1.0)
    report = Reported(modem="m", reference=1, receiver="r", outcome="delivered", status=0, at=1.0)
    known = [events.received(1, received), events.report(1, report)]
    alarms = Alarms(TABLES["guards"].model_validate({"total_hour": 1}))  # type: ignore[arg-type]
    Watch(alarms, None, known.append, lambda: 1.0).refused("budget:total_hour", Origin(road="rest"))  # type: ignore[arg-type]
    written = {first(row, "`event`"): set(code(row["Other keys"])) for row in tables(HTTP, "`event`")}
    assert written == {each["event"]: each.keys() - {"event"} for each in known}


# -- states, codes, reasons


def documented(module: Any) -> list[tuple[str, str]]:
    """Return state and meaning from the table in a docstring."""
    found = re.findall(r"^ *\| ([a-z_]+) +\| ([^|]+)\|", module.__doc__, re.MULTILINE)
    return [(name, text.strip()) for name, text in found][1:]


def test_pi_states_page_has_every_state() -> None:
    """States, meanings, and what becomes of the text are those of the model."""
    rows = tables(STATES, "State")
    said = [(name, text.replace("the body", "the text")) for name, text in documented(model)]
    assert [(first(row, "State"), row["Means"]) for row in rows] == said
    assert [first(row, "State") for row in rows] == [each.value for each in State]
    kept = {first(row, "State") for row in rows if row["Text kept"] != "no"}
    assert kept == {each.value for each in set(State) - FINAL}


def test_pi_states_page_has_every_state_of_a_modem() -> None:
    """The states of modems are those of the code."""
    assert [first(row, "Modem") for row in tables(STATES, "Modem")] == [each.value for each in ModemState]
    assert [name for name, _ in documented(status.ModemState)] == [each.value for each in ModemState]


def test_pi_states_page_has_every_response_code() -> None:
    """The response codes are all there are."""
    assert [first(row, "Code") for row in tables(STATES, "Code")] == [each.value for each in ResponseCode]


def test_pi_states_page_sorts_cms_codes_as_the_code_does() -> None:
    """Each number in the table is put down to the kind of its line, and every other one is tried elsewhere once."""
    kinds = list(cms.Kind)
    order = ["RECIPIENT", "MODEM", "NETWORK", "ONCE_ELSEWHERE", "DUPLICATE_SENT", "UNKNOWN"]
    assert [kind.name for kind in kinds] == order
    left = set(range(512))
    for row, kind in zip(tables(STATES, "`cms_N`"), kinds, strict=True):
        named = numbers(row["`cms_N`"])
        assert {cms.kind(each) for each in named} == {kind}, row
        left -= named
    assert {cms.kind(each) for each in left} == {cms.Kind.ONCE_ELSEWHERE}


def numbers(cell: str) -> set[int]:
    found = {int(each) for each in re.findall(r"\d+", cell)}
    for low, high in re.findall(r"(\d+) to (\d+)", cell):
        found |= set(range(int(low), int(high) + 1))
    return found


def literals() -> Iterator[tuple[str, str]]:
    """Yield (name of what is called, first text it is given) of every call in the OTP-Pi."""
    for file in sorted((ROOT / "otp" / "pi").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if isinstance(node.args[0].value, str):
                    yield name, node.args[0].value


def reasons() -> set[str]:
    """Return every reason on the page."""
    return {first(row, "Reason").partition(":")[0] for row in tables(STATES, "Reason")}


def test_pi_states_page_has_every_reason() -> None:
    """What errors of modems, texts and mail are made with, and what answers have a sentence for, has its line."""
    kinds = {"NotSentError", "OutcomeUnknownError", "SmsTextError", "SmtpError", "MailNotSentError", "MailUnknownError"}
    raised = {text for name, text in literals() if name in kinds} - {"no_pdu"}  # a fault of ours, and never seen
    spoken = set(answers._SENTENCES)
    assert raised | spoken <= reasons() | {"internal_error"}


def test_pi_states_page_has_no_reason_of_its_own() -> None:
    """Each reason on the page stands in the code."""
    source = "\n".join(file.read_text() for file in SOURCES)
    patterns = {"cms_N": "cms_", "cme_N": "cme", "smtp_NNN": "smtp_{code}"}
    assert [each for each in reasons() if patterns.get(each, each) not in source] == []


# -- metrics, log


def test_pi_metrics_page_tells_the_truth() -> None:
    """Every metric has its line, with type, labels and the meaning that the code gives it."""
    snapshot = Snapshot(
        version="1",
        started=0.0,
        uptime=1.0,
        stopping=False,
        inputs=(),
        modems=(),
        mail=(),
        queue={},
        oldest_waiting=0.0,
        journal_error="",
        events=(),
    )
    known = {}
    for family in metrics.Collector(Counts(), snapshot).collect():
        name = family.name + "_total" * (family.type == "counter")
        known[name] = (family.type, list(getattr(family, "_labelnames", ())))
    rows = tables(METRICS, "Metric")
    assert {first(row, "Metric"): (row["Type"], code(row["Labels"])) for row in rows} == known
    assert [first(row, "Metric") for row in rows] == [metrics.PREFIX + name for name in metrics.HELP]
    for row, text in zip(rows, metrics.HELP.values(), strict=True):
        plain = re.sub(r"\[(\w+)\]\([^)]+\)", r"\1", row["Meaning"]).replace("`", "")
        assert plain.startswith(text.rstrip(".")), row


def logged() -> set[tuple[str, str]]:
    """Return every event that the OTP-Pi logs, with its level; two calls choose the name as they go."""
    found = {("budget_near", "warning"), ("budget_used_up", "warning")}
    for file in sorted((ROOT / "otp" / "pi").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner, level = getattr(node.func.value, "id", ""), node.func.attr
            if owner in {"LOG", "_LOG"} and level in {"debug", "info", "warning", "error"}:
                if isinstance(node.args[0], ast.Constant):
                    found.add((str(node.args[0].value), level))
                elif isinstance(node.args[0], ast.Name):
                    assert file.name == "healing.py"
                    found |= {("input_lost", level), ("input_not_connected", level)}
    return found


def test_pi_log_page_lists_every_event() -> None:
    """Every event that the code logs stands in the table with its level, and no other."""
    assert {(first(row, "Event"), row["Level"]) for row in tables(LOG, "Event")} == logged()


# -- all pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pi_pages_use_names_that_exist(page: Path) -> None:
    """Every name with an underscore on a page is one of the code."""
    source = "\n".join(file.read_text() for file in SOURCES)
    names = {word for text in code(prose(page)) for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text)}
    ours = {name for name in names if not name.startswith("otp_pi_")}
    assert {name for name in ours if not re.search(rf"\b{name}\b", source)} - FOREIGN == set()
    scraped = {re.sub(r"_bucket$", "", name) for name in names - ours}
    assert scraped <= {metrics.PREFIX + name for name in metrics.HELP}


TOML = [block for page in PAGES for block in blocks(page) if block.language == "toml"]


@pytest.mark.parametrize("block", TOML, ids=lambda block: block.place)
def test_pi_examples_are_settings(block: Block) -> None:
    """Every TOML example loads as it stands."""
    given = tomllib.loads(block.text)
    loaded = Settings.model_validate(given)
    assert loaded.model_fields_set == given.keys()


def test_pi_pages_name_commands_that_exist() -> None:
    """Every `otp-pi` command line on a page is a command with options it has."""
    known = commands()
    for page in PAGES:
        for block in blocks(page):
            for line in block.text.replace("\\\n", " ").splitlines() if block.language == "sh" else ():
                found = re.search(r"(?:^|\s|&& )otp-pi ([a-z][a-z-]+)( .*)?$", line)
                if found and "docker" not in line and "systemctl" not in line and "-u otp-pi" not in line[:-1]:
                    options = {flag for each in known[found[1]].params for flag in (*each.opts, *each.secondary_opts)}
                    used = set(re.findall(r"\s(--[a-z][a-z-]*)", (found[2] or "").split(" | ")[0].split(" && ")[0]))
                    assert used <= options, line


# -- examples in other languages, and the import


SECRET, BODY = "a long random text", b'{"event":"alarm","alarm":"budget_near"}'


def example(language: str) -> str:
    [found] = [block for block in blocks(EVENTS) if block.language == language]
    return found.text


def test_pi_webhook_example_in_python_checks_the_signature() -> None:
    """The example takes what the OTP-Pi signs, and refuses a body that somebody changed."""
    scope: dict[str, Any] = {}
    exec(example("python"), scope)
    assert scope["read_event"](SECRET, BODY, sign(SECRET, BODY)) == json.loads(BODY)
    with pytest.raises(PermissionError):
        scope["read_event"](SECRET, BODY + b" ", sign(SECRET, BODY))


@pytest.mark.parametrize(("body", "said"), [(BODY, "budget_near"), (BODY + b" ", "not from our OTP-Pi")])
def test_pi_webhook_example_in_php_checks_the_signature(body: bytes, said: str) -> None:
    """The same in PHP, where it is installed."""
    if shutil.which("php") is None:
        pytest.skip("php is not installed")
    call = f"read_event({SECRET!r}, {body.decode()!r}, {sign(SECRET, BODY)!r})"
    program = (
        f'{example("php")}\ntry {{ echo {call}["alarm"]; }} catch (RuntimeException $e) {{ echo $e->getMessage(); }}'
    )
    ended = subprocess.run(["php"], input=program, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout.strip() == said


def test_pi_import_page_shows_what_the_import_makes(tmp_path: Path) -> None:
    """Each JSON example on the page becomes the TOML beside it."""
    files = ["gsm/devices.json", "subscriber/subscriber-ws.json"]
    examples = [block for block in blocks(IMPORT) if block.language == "json"]
    for name, block in zip(files, examples, strict=True):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(block.text)
    made = tomllib.loads(convert(tmp_path).config_toml)
    for block in (each for each in blocks(IMPORT) if each.language == "toml"):
        for table, items in tomllib.loads(block.text).items():
            assert made[table] == items


def test_pi_import_page_names_keys_that_exist() -> None:
    """The right column names settings of ours, the left one keys that the import knows."""
    importing = "\n".join(file.read_text() for file in (ROOT / "otp" / "pi" / "importing").glob("*.py"))
    kinds: list[type[BaseModel]] = [Settings, *TABLES.values()]
    ours = {name for kind in kinds for name in kind.model_fields}
    for row in tables(IMPORT, "Java, `resource/data`"):
        for word in code(row["Java, `resource/data`"]):
            key = word.removeprefix("...").split("/")[-1]
            assert key.removesuffix(".json") in importing or key == "subscriber-ws.json", word
        for word in code(row["Here"]):
            if re.fullmatch(r"[a-z]+(_[a-z]+)*", word):
                assert word in ours, word
