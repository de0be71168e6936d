"""The command line: exit codes, output, options, and the server as a process."""

import base64
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from typer.testing import CliRunner

from otp.publisher import cli
from tests.publisher.certificates import Certificates
from tests.publisher.rigs import RestRig, RestStandIn, WsRig
from tests.publisher.servers import BrokerServer

ROOT = Path(__file__).parents[2]
NUMBER = "08126666666"
CREATE = ("create-otp", "--receiver", NUMBER, "--reference", "t-1", "--message", "Kode %s")


@dataclass
class Output:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Output]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process."""

    def call(*arguments: str | Path) -> Output:
        monkeypatch.setattr(sys, "argv", ["otp-publisher", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        found = capsys.readouterr()
        return Output(int(ended.value.code or 0), found.out, found.err)

    return call


@pytest.fixture
def config(broker: BrokerServer, certificates: Certificates, tmp_path: Path) -> Path:
    """A configuration for our broker with codes of our own."""
    rig = WsRig(broker, certificates)
    file = tmp_path / "otp.ini"
    file.write_text(as_ini(rig.keywords(callback_timeout="300ms")))
    return file


def as_ini(keywords: dict[str, Any]) -> str:
    lines = [f"{name} = {value}" for name, value in keywords.items() if name != "method"]
    method = keywords["method"]
    return "\n".join(["[GENERAL]", f"method = {method}", "manage_otp = true", f"[{method}]", *lines, ""])


def test_create_and_verify(run: Run, config: Path) -> None:
    """Creating is 1111 and exit code 0; a wrong code is 1202 and exit code 1."""
    created = run("--config", config, *CREATE, "--param", "1", "--param", "2", "--lifetime", "60")
    assert (created.code, created.out[:4]) == (0, "1111")
    assert "can be asked for again in 30 s" in created.out
    assert not re.search(r"\b[0-9]{6}\b", created.out)
    wrong = run("--config", config, "verify-otp", "--receiver", NUMBER, "--reference", "t-1", "--otp", "12345")
    assert (wrong.code, wrong.out, wrong.err[:4]) == (1, "", "1202")


@pytest.mark.parametrize("place", [0, 2, 3, 9])
def test_json_anywhere(place: int, run: Run, config: Path) -> None:
    """``--json`` prints the result object, wherever it stands."""
    arguments = ["--config", str(config), *CREATE]
    arguments.insert(place, "--json")
    found = run(*arguments)
    result = json.loads(found.out)
    assert (found.code, result["response_code"], result["command"]) == (0, "1111", "request-otp")


@pytest.mark.parametrize(
    "arguments",
    [
        ("send-sms", "--receiver", NUMBER, "--message", "hello"),
        ("send-email", "--receiver", "a@b.example", "--message", "hello", "--subject", "s", "--id", "7"),
        ("send-message", "--receiver", NUMBER, "--message", "hello", "--lifetime", "60"),
        ("block", "--receiver", NUMBER),
        ("unblock", "--receiver", NUMBER),
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_need_no_answer(arguments: tuple[str, ...], run: Run, config: Path) -> None:
    """Commands the broker took are 0000 and exit code 0."""
    found = run("--config", config, *arguments)
    assert (found.code, found.out[:4]) == (0, "0000")


@pytest.mark.parametrize("arguments", [("modems",), ("ussd", "--ussd-code", "*123#", "--modem-id", "1")])
def test_question_nobody_answers(arguments: tuple[str, ...], run: Run, config: Path) -> None:
    """A question without an answer is 1102 and exit code 1."""
    found = run("--config", config, *arguments)
    assert (found.code, found.err[:4]) == (1, "1102")


def test_resend_and_cancel(run: Run, config: Path) -> None:
    """A code can be cancelled once; a resend too early says when."""
    run("--config", config, *CREATE)
    who = ("--receiver", NUMBER, "--reference", "t-1")
    early = run("--config", config, "resend-otp", *who, "--message", "%s")
    assert (early.code, "can be asked for again in" in early.err) == (1, True)
    assert [run("--config", config, "cancel-otp", *who).code for _ in range(2)] == [0, 1]


def test_text_from_standard_input(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` reads a text or a code from standard input, where nobody else can see it."""
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("Kode %s\n"))
    assert run("--config", config, *CREATE[:-1], "-").code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("000\n"))
    found = run("--config", config, "verify-otp", "--receiver", NUMBER, "--reference", "t-1", "--otp", "-")
    assert found.err[:4] == "1202"


@pytest.mark.parametrize("as_json", [False, True])
def test_settings_at_fault(as_json: bool, run: Run, tmp_path: Path) -> None:
    """A mistake in the settings is exit code 2, one sentence with file and line, and no traceback."""
    file = tmp_path / "otp.ini"
    file.write_text("[GENERAL]\nmethod = WS\n[WS]\nhots = x\n")
    found = run("--config", file, "block", "--receiver", NUMBER, *(["--json"] if as_json else []))
    assert found.code == 2
    text = json.loads(found.out)["message"] if as_json else found.err
    assert "otp.ini, line 4: [WS] has no setting 'hots'. Did you mean 'host'?" in text
    assert "Traceback" not in found.err


def test_missing_option(run: Run, config: Path) -> None:
    """A command line without what it needs is exit code 2."""
    found = run("--config", config, "send-sms", "--receiver", NUMBER)
    assert (found.code, "--message" in found.err) == (2, True)


def test_check_works(run: Run, config: Path) -> None:
    """A check says what works and how long it took."""
    found = run("--config", config, "check")
    assert found.code == 0
    lines = [line.split() for line in found.out.splitlines()]
    assert [(line[0], line[1], line[3]) for line in lines] == [("store", "ok", "ms"), ("WS", "ok", "ms")]


def test_check_fails(run: Run, config: Path) -> None:
    """What does not work is named, and the exit code is 1; the rest is looked at all the same."""
    config.write_text(re.sub(r"port = \d+", "port = 1", config.read_text()))
    found = run("--config", config, "check", "--json")
    result = json.loads(found.out)
    assert (found.code, result["ok"]) == (1, False)
    assert [(each["name"], each["ok"]) for each in result["findings"]] == [("store", True), ("WS", False)]
    assert "connection refused" in result["findings"][1]["text"]


def test_check_says_warnings(run: Run, tmp_path: Path) -> None:
    """What looks wrong in the settings is in the output of a check."""
    file = tmp_path / "otp.ini"
    file.write_text("[GENERAL]\nmethod = WS\n[WS]\nport = 1\n")
    found = run("--config", file, "check")
    assert "warning: manage_otp is off" in found.out


def test_configuration_from_the_environment(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may be named by a variable."""
    monkeypatch.setenv("OTP_PUBLISHER_CONFIG", str(config))
    assert run("block", "--receiver", NUMBER).code == 0


@pytest.fixture
async def answering(rest: RestStandIn, certificates: Certificates, tmp_path: Path) -> list[str]:
    """The arguments that reach a stand-in for an OTP-Pi with two modems."""

    def reply(command: dict[str, Any]) -> dict[str, Any]:
        modems = {
            "1": {"id": "1", "name": "Huawei", "connected": True, "signalStrength": {"value": 20}},
            "2": {"id": "2", "connected": False},
        }
        data = {"modem_list": modems, "ussd_content": "Pulsa Anda 5000"}
        return {"command": command["command"], "response_code": "0000", "data": data}

    rest.reply = reply
    file = tmp_path / "rest.ini"
    file.write_text(as_ini(RestRig(rest, certificates).keywords()))
    return [sys.executable, "-m", "otp.publisher.cli", "--config", str(file)]


async def output_of(*arguments: str) -> str:
    """Run a command line as a process, so that the stand-in here can answer it."""
    import asyncio

    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return out.decode()


async def test_modems_and_ussd(answering: list[str]) -> None:
    """Modems are listed a line each, and what the network said to a USSD code is shown."""
    listed = (await output_of(*answering, "modems")).splitlines()
    assert listed[:2] == ["1  Huawei  signal 20  connected", "2  not connected"]
    assert "Pulsa Anda 5000" in await output_of(*answering, "ussd", "--code", "*888#")
    shown = json.loads(await output_of(*answering, "modems", "--json"))
    assert shown["data"]["modem_list"]["2"]["connected"] is False


@pytest.fixture
def served(config: Path, tmp_path: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The URL of ``otp-publisher serve`` and its process."""
    accounts = tmp_path / ".htpasswd"
    accounts.write_text(f"app:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "otp.publisher.cli", "--config", str(config), "serve"),
            *("--password-file", str(accounts), "--port", "0"),
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if line.startswith("serving "))
    yield line.split()[1], process
    process.kill()
    process.wait(10)
    process.stderr.close()


def test_serve(served: tuple[str, "subprocess.Popen[str]"]) -> None:
    """The server makes codes for whoever has an account, and ends properly when told to."""
    url, process = served
    data = {"receiver": NUMBER, "reference": "r", "message": "Your OTP is %s", "param1": "", "param2": ""}
    request = urllib.request.Request(
        url,
        data=json.dumps({"command": "request-otp", "data": data}).encode(),
        headers={"Authorization": "Basic " + base64.b64encode(b"app:secret").decode()},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        assert json.load(response)["response_code"] == "1111"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--password-file", "missing"), "there is no such file"),
        (("--tls-certificate", "missing.pem"), "missing.pem: No such file or directory."),
    ],
)
def test_serve_that_cannot_start(arguments: tuple[str, ...], message: str, run: Run, config: Path) -> None:
    """A server that cannot start says why, in one line and exit code 2."""
    found = run("--config", config, "serve", *arguments)
    assert (found.code, message in found.err, "Traceback" in found.err) == (2, True, False)


def test_help_names_every_command() -> None:
    """The help lists every command, and every command explains itself."""
    runner = CliRunner()
    text = runner.invoke(cli.app, ["--help"]).output
    names = [command.name for command in cli.app.registered_commands]
    assert len(names) == 13
    for name in names:
        assert name is not None
        assert name in text
        assert runner.invoke(cli.app, [name, "--help"]).exit_code == 0
