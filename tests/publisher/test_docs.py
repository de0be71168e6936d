"""The publisher's pages against the code: every setting, method, option, code, reason, and the tutorial's end."""

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from examples.ports import free_ports
from otp import errors as otp_errors
from otp.codes import ResponseCode
from otp.publisher import AsyncPublisher, cli
from otp.publisher.settings import SECTIONS, Broker, General, Road
from otp.roads import errors
from tests.docs.pages import DOCS, blocks, code, prose, tables
from tests.publisher.certificates import Certificates
from tests.publisher.rigs import WsRig
from tests.publisher.servers import BrokerServer

PAGE = DOCS / "reference" / "publisher.md"
TUTORIAL = DOCS / "tutorial" / "send-your-first-otp.md"
ROOT = Path(__file__).parents[2]


def shown(value: object) -> str:
    """Return a default as the page writes it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    if isinstance(value, float):
        return f"`{value:g}s`"
    return f"`{value}`" if value not in (None, "") else "-"


def settings() -> list[tuple[str, str]]:
    """Return every setting with its default, in the page's order of sections."""
    found: list[tuple[str, str]] = []
    kinds: list[tuple[Any, Any]] = [(General, None), (Road, None), (SECTIONS["REST"], Road), (Broker, Road)]  # type: ignore[index]
    kinds += [(SECTIONS[name], Broker) for name in ("REDIS", "AMQP", "MQTT", "WS")]  # type: ignore[index]
    for kind, base in kinds:
        inherited = {setting.name for setting in fields(base)} if base else set()
        found += [(each.name, shown(each.default)) for each in fields(kind) if each.name not in inherited]
    return found


def test_every_setting_has_its_line() -> None:
    """The tables list exactly the settings, with their defaults; only ``method`` has to be set."""
    written = [(code(row["setting"])[0], row["default"]) for row in tables(PAGE, "setting")]
    assert written == [(name, "-" if name == "method" else default) for name, default in settings()]


def test_every_method_has_its_line() -> None:
    """The table lists exactly the public methods, with their arguments: those in brackets have a default."""
    written = {}
    for row in tables(PAGE, "method"):
        needed, _, optional = (code(row["arguments"]) or [""])[0].replace(",", "").partition("[")
        written[code(row["method"])[0]] = (set(needed.split()), set(optional.rstrip("]").split()))
    found = {}
    for name, method in inspect.getmembers(AsyncPublisher, inspect.iscoroutinefunction):
        if not name.startswith("_") and name != "close":
            parameters = [each for each in inspect.signature(method).parameters.values() if each.name != "self"]
            free = {each.name for each in parameters if each.default is not inspect.Parameter.empty}
            found[name] = ({each.name for each in parameters} - free, free)
    assert written == found


def test_every_option_has_its_line() -> None:
    """The table lists exactly the commands, with their options: those in brackets have a default."""
    written = {}
    for row in tables(PAGE, "command"):
        needed, _, optional = (code(row["options"]) or [""])[0].partition("[")
        written[code(row["command"])[0]] = (set(needed.split()), set(optional.rstrip("]").split()))
    group = typer.main.get_command(cli.app)
    found = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        options = [each for each in command.params if each.name != "help"]
        asked = {each.opts[0] for each in options if each.required}
        found[name] = (asked, {each.opts[0] for each in options} - asked)
    assert written == found


def test_every_response_code_has_its_line() -> None:
    """The table lists exactly the response codes, in their order."""
    written = [code(row["code"])[0] for row in tables(PAGE, "code")]
    assert written == [each.value for each in ResponseCode]


def raised_reasons() -> set[str]:
    """Return every reason a road gives, from the calls in the code."""
    found = set()
    for file in [each for part in ("publisher", "roads") for each in (ROOT / "otp" / part).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RoadError":
                first = node.args[0]
                found |= {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else set()
    return found


def test_every_reason_has_its_line() -> None:
    """Every reason a road can give is in the table here and in the module that defines them, and is used."""
    written = {name for row in tables(PAGE, "reason") for name in code(row["reason"])}
    defined = set(re.findall(r"^\| ([a-z_]+) ", errors.__doc__ or "", flags=re.MULTILINE)) - {"reason"}
    assert raised_reasons() == defined
    own = {"unreadable_answer", "invalid_input", "rate_limited", "duplicate_reference", "store_unavailable", "key_file"}
    assert written == defined | own
    known = {each.reason for each in vars(otp_errors).values() if isinstance(each, type) and hasattr(each, "reason")}
    assert own - {"unreadable_answer"} <= known


def test_statuses_of_the_server() -> None:
    """The page's table of statuses is the one of the module."""
    from otp import http

    written = {row["status"] for row in tables(PAGE, "status")}
    assert written == set(re.findall(r"^\| (\d{3}) ", http.__doc__ or "", flags=re.MULTILINE))


def test_what_roads_keep_names_every_road() -> None:
    """The table of what is kept has a column for every road."""
    page = DOCS / "explanation" / "what-each-road-keeps.md"
    [row, *_] = tables(page, "the message was taken, and then")
    for method in SECTIONS:
        assert any(method.value in heading for heading in row), method
    assert "tests/publisher/test_what_roads_keep.py" in prose(page)


PYTHON = [block for page in (PAGE, TUTORIAL) for block in blocks(page) if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_examples_call_what_there_is(block: Any) -> None:
    """Every example is Python, and calls methods that exist with arguments they have."""
    tree = ast.parse(block.text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    ours = [call for call in calls if call.func.attr in vars(AsyncPublisher)]  # type: ignore[attr-defined]
    assert ours
    for call in ours:
        method = getattr(AsyncPublisher, call.func.attr)  # type: ignore[attr-defined]
        parameters = inspect.signature(method).parameters
        assert {keyword.arg for keyword in call.keywords} <= parameters.keys()


@pytest.fixture
def served(broker: BrokerServer, certificates: Certificates, tmp_path: Path) -> Iterator[int]:
    """The port of a server as the tutorial starts it, with its account."""
    keywords = WsRig(broker, certificates).keywords()
    lines = [f"{name} = {value}" for name, value in keywords.items() if name != "method"]
    (tmp_path / "otp.ini").write_text("\n".join(["[GENERAL]", "method = WS", "manage_otp = true", "[WS]", *lines]))
    command = next(block for block in blocks(TUTORIAL) if "serve --password-file" in block.text).text.split()
    [port] = free_ports(1)
    passwords = [sys.executable, "-m", "htpasswd", "add", "--file", str(tmp_path / ".htpasswd"), "--stdin", "shop"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(passwords, input=b"secret\n", check=True, env=environment, capture_output=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "otp.publisher.cli", *command[1:], "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert next(line for line in process.stderr if line.startswith("serving"))
    yield port
    process.terminate()
    process.wait(20)
    process.stderr.close()


@pytest.mark.parametrize(
    ("program", "language", "needle", "expected"),
    [("curl", "sh", "curl --user", '"response_code": "1111"'), ("php", "php", "<?php", "1111\nwrong\n")],
)
def test_other_languages(program: str, language: str, needle: str, expected: str, served: int) -> None:
    """The tutorial's examples for the shell and for PHP do what it says, where the program is installed."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    block = next(block for block in blocks(TUTORIAL) if block.language == language and needle in block.text)
    text = block.text.replace("8898", str(served))
    command = ["php"] if language == "php" else ["bash", "-s"]
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=True)
    assert expected in ended.stdout
