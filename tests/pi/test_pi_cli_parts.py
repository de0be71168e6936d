"""What the commands of ``otp-pi`` share, and those that deal with files."""

import asyncio
import shutil
import signal
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from broker.version import __version__
from otp.errors import InvalidInput
from otp.pi.cli import faults, output, reach
from otp.pi.cli.run import broker, with_more
from otp.pi.config import ConfigError, load
from otp.pi.control import NotRunningError
from otp.pi.emulator import Emulator, Knobs, Ussd
from otp.pi.importing import ImportFault
from otp.pi.journal import StorageError
from otp.pi.settings import Settings
from otp.roads import errors as roads
from tests.pi.cli_process import Process, fault, good, own, run

__all__ = ["own"]  # a fixture that every test here uses

JAVA = Path(__file__).parent / "java_data"
RECEIVER = "+628123456789"

COMMANDS = [
    "run", "status", "monitor", "modems", "send-sms", "send-email", "ussd", "block", "unblock", "blocked", "journal",
    "inbox", "check-config", "default-config", "import", "emulate",
]  # fmt: skip


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Settings with an emulated modem; no service runs with them."""
    file = tmp_path / "pi.toml"
    file.write_text('data_dir = "data"\n[numbers]\nregion = "ID"\n[[modem]]\nname = "sim-1"\nport = "emulate"\n')
    return file


# -- the whole


def test_version() -> None:
    """Name and version, for bug reports."""
    assert good("--version") == f"otp-pi {__version__}\n"


def test_help_names_every_command_and_how_to_begin() -> None:
    """Nobody has to know a name by heart."""
    text = good("--help")
    assert "otp-pi run --modem emulate" in text
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert run().code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_lines_to_paste(command: str) -> None:
    """The examples stand unfilled, each on its line, and begin with the command itself."""
    text = good(command, "--help")
    examples = text.partition("Examples:\n")[2].splitlines()
    assert examples
    assert all(f"otp-pi {command}" in line for line in examples)


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (ConfigError(["pi.toml:3: wrong", "pi.toml:4: wrong too"]), "pi.toml:3: wrong\npi.toml:4: wrong too", 2),
        (roads.ConfigError("already running"), "already running", 2),
        (InvalidInput("no digits"), "no digits", 1),
        (StorageError("disk full"), "disk full", 1),
        (NotRunningError("nobody"), "nobody", 1),
        (ImportFault("nothing there"), "nothing there", 1),
        (PermissionError(13, "Permission denied", "x.toml"), "x.toml: Permission denied", 1),
        (OSError(24, "Too many open files"), "Too many open files", 1),
    ],
)
def test_error_becomes_one_line_and_a_code(error: Exception, text: str, code: int) -> None:
    """Whatever ends a command, it is a sentence."""
    assert faults.explain(error) == (text, code)


def fails_with(error: BaseException) -> tuple[int, str]:
    """Return exit code and words of a command that raises."""
    tool = typer.Typer(cls=faults.Commands, pretty_exceptions_enable=False, rich_markup_mode=None)

    @tool.callback()
    def _main() -> None:
        pass

    @tool.command()
    def go() -> None:
        raise error

    result = CliRunner().invoke(tool, ["go"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stderr


def test_fault_of_ours_has_no_traceback_and_no_text() -> None:
    """The text of an unexpected error may quote a message."""
    code, said = fails_with(ValueError("Kode: 123456"))
    assert code == 1
    assert said.startswith("otp-pi: this is a fault of otp-pi itself: ValueError at go:")
    assert "123456" not in said


def test_interrupt_and_broken_pipe_are_quiet() -> None:
    """Whoever ends it knows why."""
    assert fails_with(KeyboardInterrupt()) == (130, "")
    assert fails_with(BrokenPipeError(32, "Broken pipe")) == (1, "")


def test_reader_that_goes_away_is_no_fault(alone: Path) -> None:
    """`otp-pi default-config | head -1` says nothing on standard error."""
    with Process("default-config", deaf=True) as process:
        assert process.end() == 1
    assert process.err == ""


# -- files


def test_default_config_is_good(tmp_path: Path) -> None:
    """What is printed can be used as it stands."""
    file = tmp_path / "pi.toml"
    file.write_text(good("default-config"))
    assert good("check-config", str(file)) == f"{file}: good\n"


def test_check_config_names_every_fault(tmp_path: Path) -> None:
    """One line a fault, exit code 1; also for what only shows in use."""
    file = tmp_path / "pi.toml"
    file.write_text("foo = 1\n[rest]\nport = 99999\n")
    first, second = sorted(fault("check-config", str(file)).splitlines())
    assert first.startswith(f"{file}:1: unknown key foo")
    assert second.startswith(f"{file}:3: rest.port = 99999")
    file.write_text('[numbers]\nregion = "XX"\n')
    assert fault("check-config", str(file)).startswith(f"{file}: numbers: ")
    file.write_text('[guards]\ncountries = "Atlantis"\n')
    assert "guards.countries" in fault("check-config", str(file))
    assert "cannot be read" in fault("check-config", "nix.toml")


def test_check_config_warns(tmp_path: Path) -> None:
    """A file with secrets that everybody can read is good, but."""
    file = tmp_path / "pi.toml"
    file.write_text('[[ws]]\npassword = "hunter2"\n')
    file.chmod(0o644)
    done = run("check-config", str(file))
    assert (done.code, done.out) == (0, f"{file}: good\n")
    assert done.err.startswith("otp-pi: warning: ")
    assert "hunter2" not in done.err


def test_import_takes_over_a_java_otp_pi(tmp_path: Path) -> None:
    """Settings that load, accounts with their new passwords shown once, and the block list in the journal."""
    out = good("import", str(JAVA), "--to", "etc")
    assert f"written: {Path('etc/pi.toml')}" in out
    assert "new password, shown this once: " in out
    assert "receivers are on the block list now" in out
    data = load(Path("etc/pi.toml")).settings.data_dir
    assert data == Path("etc/otp-pi-data")
    assert good("blocked", "-c", "etc/pi.toml").count("\n") > 0
    assert good("check-config", "etc/pi.toml") == "etc/pi.toml: good\n"
    assert "is not overwritten" in fault("import", str(JAVA), "--to", "etc")
    assert fault("import", "nix")


def test_import_without_a_block_list(tmp_path: Path) -> None:
    """Nothing is made that is not needed."""
    copy = tmp_path / "java"
    shutil.copytree(JAVA, copy)
    from otp.pi.importing import general

    (copy / "resource" / "data" / general.BLOCKING).unlink()
    assert "block list now" not in good("import", str(copy), "--to", "etc")
    assert not Path("etc/otp-pi-data").exists()


# -- more modems and brokers


def test_options_add_modems_and_brokers() -> None:
    """What the file has stays; names are made that nobody has yet."""
    given = Settings.model_validate({"modem": [{"name": "emulated", "port": "emulate"}]})
    ports = [
        "emulate",
        "/dev/ttyUSB0",
        "/dev/pts/3",
        "/dev/serial/by-id/usb-HUAWEI_Mobile-if00-port0",
        "/dev/pts/3",
        "/",
    ]
    found = with_more(given, ports, ["ws://h/ws"])
    names = [each.name for each in found.modem]
    assert names[:4] == ["emulated", "emulated-2", "ttyUSB0", "pts-3"]
    assert names[4:] == ["usb-HUAWEI_Mobile-if00-port0", "pts-3-2", "modem"]
    assert [each.host for each in found.ws] == ["h"]


def test_broker_of_a_url() -> None:
    """Everything a URL says arrives, and what it leaves out is the usual."""
    full = broker("wss://al%40ice:p%3Ass@example.org:9001/socket?topic=otp&key=1")
    assert (full.host, full.port, full.tls, full.topic, full.path) == (
        "example.org",
        9001,
        True,
        "otp",
        "/socket?key=1",
    )
    assert (full.username, full.password.get_secret_value()) == ("al@ice", "p:ss")
    short = broker("ws://h")
    assert (short.port, short.tls, short.topic, short.path, short.username) == (0, False, "sms", "/ws", "")
    assert broker("wss://h/").port == 443


@pytest.mark.parametrize("url", ["http://h/", "ws://", "ws://h:port/", "ws://[h/", "h"])
def test_broker_of_what_is_no_url(url: str) -> None:
    """What is refused is not repeated: there may be a password in it."""
    with pytest.raises(ConfigError, match=r"^option --ws: must be a URL such as ws://user:password@127\.0\.0\.1"):
        broker(url)


def test_broker_with_a_topic_that_none_can_have() -> None:
    """Limits of the settings hold for a URL too."""
    with pytest.raises(ConfigError, match=r"^option --ws: "):
        broker("ws://h/ws?topic=" + "x" * 300)


def test_brokers_of_one_name() -> None:
    """A name that the file has given already is told."""
    given = Settings.model_validate({"ws": [{"name": "ws-2"}]})
    with pytest.raises(ConfigError, match="two ways in have the same name"):
        with_more(given, [], ["ws://h/ws"])


# -- printing


def test_answer_whose_outcome_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    """1111 is no failure; what to do about it is said."""
    answer = {"response_code": "1111", "message": "Stored.", "data": {"journal": 7}}
    output.show_answer(answer, as_json=False, hint="Look again.")
    assert capsys.readouterr().out == "1111 Stored. Row 7 of the journal.\n     Look again.\n"
    output.show_answer(answer, as_json=False)
    assert capsys.readouterr().out == "1111 Stored. Row 7 of the journal.\n"


def test_columns_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS is believed where it is a number."""
    assert output.console().width == 120
    for text, width in (("90", 90), ("0", 120), ("wide", 120)):
        monkeypatch.setenv("COLUMNS", text)
        assert output.console().width == width


def test_service_alone_keeps_its_mail() -> None:
    """A service for one command has no way in, no events and, where it needs none, no modems."""
    given = Settings.model_validate(
        {
            "ws": [{}],
            "modem": [{"name": "a", "port": "emulate"}],
            "mail": [{"name": "m", "host": "h", "sender": "a@b.cd"}],
            "events": {"topic": "news", "road": "ws"},
        }
    )
    found = reach.alone(given, modems=False)
    assert (found.inputs(), found.modem, found.rest.enabled, found.events.topic) == ({}, (), False, "")
    assert len(found.mail) == 1
    assert reach.alone(given, modems=True).modem == given.modem


def test_emulate_is_the_emulators_command() -> None:
    """Its options are checked here too."""
    assert run("emulate", "--maker", "nobody").code == 2
    with Process("emulate") as process:
        process.until(lambda: "/dev/" in process.out)
        process.signal(signal.SIGTERM)
        assert process.end() == 0


async def test_modem_that_another_process_emulates(tmp_path: Path) -> None:
    """It is driven like one that is plugged in, and the answer to a USSD code is printed."""
    arrived: list[str] = []
    knobs = Knobs(ussd={"*123#": Ussd("Hi")})
    async with Emulator(name="other", knobs=knobs, on_message=lambda each: arrived.append(each.text)) as emulator:
        variables = {"OTP_PI_MODEM_1_NAME": "x", "OTP_PI_MODEM_1_PORT": emulator.port}
        sent = await asyncio.to_thread(lambda: run("send-sms", RECEIVER, "through a pty", stdin=b"", **variables))
        asked = await asyncio.to_thread(lambda: run("ussd", "*123#", stdin=b"", **variables))
    assert (sent.code, arrived) == (0, ["through a pty"])
    assert (asked.code, asked.out.splitlines()[1:]) == (0, ["Hi"])
