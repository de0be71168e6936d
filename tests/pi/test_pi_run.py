"""The OTP-Pi as a process: it gets ready, tells the service manager, takes signals, and ends."""

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from otp.pi import run, settings
from otp.pi.inputs.base import InputStatus
from otp.pi.modems.status import ModemState, ModemStatus
from otp.pi.status import InputView, Snapshot
from tests.pi.cli_process import PATIENCE, Process, fault, good


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written beside the tests."""
    monkeypatch.chdir(tmp_path)


def service(*arguments: str, **more: Any) -> Process:
    """A service without HTTP, with an emulated modem."""
    return Process("run", "--no-rest", "--data-dir", "data", "--modem", "emulate", *arguments, **more)


def told(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(PATIENCE)
        yield channel


def test_service_prints_what_its_emulated_modem_sends() -> None:
    """Messages stand on standard output alone, on one line each; the log on standard error has none of them."""
    with service() as process:
        process.ready()
        process.until(lambda: "state=ready" in process.err)
        assert good("send-sms", "--data-dir", "data", "+6281234567890", "Kode: 1234\n\x1b[31mé 🎉").startswith("0000 ")
        process.until(lambda: "🎉" in process.out)
        assert process.out == "emulated -> +6281234567890: Kode: 1234\\n\\x1b[31mé 🎉\n"
        assert "Kode" not in process.err
        process.signal(signal.SIGTERM)
        assert process.end() == 0
    assert process.err.splitlines()[-1].endswith(" stopped")


def test_service_goes_on_when_nobody_reads_what_it_prints() -> None:
    """A reader that is gone costs the lines, not the service, and nothing is said about it."""
    with service(deaf=True) as process:
        process.ready()
        process.until(lambda: "state=ready" in process.err)
        for text in ("one", "two"):
            assert good("send-sms", "--data-dir", "data", "+6281234567890", text).startswith("0000 ")
        process.signal(signal.SIGTERM)
        assert process.end() == 0
    assert "error" not in process.err


def test_int_ends_as_term_does() -> None:
    """Ctrl-C stops the service in order."""
    with service() as process:
        process.ready().signal(signal.SIGINT)
        assert process.end() == 0
    assert " stopped" in process.err


def test_hup_reloads_and_leaves_the_service_running() -> None:
    """HUP is answered in the log; the process lives on."""
    with service() as process:
        process.ready().signal(signal.SIGHUP)
        process.until(lambda: " reloaded" in process.err)
        assert process.child.poll() is None


def test_second_signal_ends_at_once() -> None:
    """A message that is under way for longer than anybody waits does not hold up a second TERM; the exit code is 1."""
    silent = "import functools, otp.pi.emulator as m; m.Knobs = functools.partial(m.Knobs, silent_at='body')"
    with service(before=silent) as process:
        process.ready()
        process.until(lambda: "state=ready" in process.err)
        with Process("send-sms", "--data-dir", "data", "+6281234567890", "hi") as sender:
            process.until(lambda: "emulated -> " in process.out or sender.child.poll() is not None)
            process.signal(signal.SIGTERM)
            process.until(lambda: " stopping" in process.err)
            process.signal(signal.SIGTERM)
            assert process.end() == 1
            assert " hurried" in process.err
            assert sender.end() == 1


def test_service_manager_is_told(manager: socket.socket) -> None:
    """READY comes once it serves, then signs of life with how it is, and STOPPING at the end."""
    with service(NOTIFY_SOCKET=manager.getsockname(), WATCHDOG_USEC="200000") as process:
        assert told(manager).startswith("READY=1\nSTATUS=")
        assert told(manager) == "WATCHDOG=1"
        while "STATUS=ready: 0 inputs, 1 modems, 0 messages waiting" not in told(manager):
            pass
        process.signal(signal.SIGTERM)
        while told(manager) != "STOPPING=1\nSTATUS=draining":
            pass
        assert process.end() == 0


def test_service_without_anything_to_do_says_so() -> None:
    """What is missing is in the log, and the service runs: the control socket still takes commands."""
    with Process("run", "--no-rest", "--data-dir", "data") as process:
        process.ready()
        assert "there is no [[modem]] and no [[mail]]" in process.err
        assert "there is no way in but the command line" in process.err


# -- what cannot start


def test_missing_password_file_is_answered_with_the_command_that_makes_one() -> None:
    """The first start of all says what to type."""
    with Process("run", "--modem", "emulate") as process:
        assert process.end() == 2
    assert process.err.splitlines()[-1] == (
        "otp-pi: rest: password file .htpasswd: there is no such file. "
        "Add an account: python -m htpasswd add --file .htpasswd USER"
    )


def test_second_service_on_a_directory_is_refused() -> None:
    """It names the process that is in the way."""
    with service() as first:
        first.ready()
        with service() as second:
            assert second.end() == 2
        last = second.err.splitlines()[-1]
        assert last == f"otp-pi: otp-pi run is already running on data_dir data (process {first.child.pid})"


def test_settings_that_are_wrong_are_named() -> None:
    """One line a fault, exit code 2, and no value of a URL that may hold a password."""
    assert fault("run", "--set", "foo=1", code=2).startswith("option foo: unknown key foo")
    assert "rest.port = 'x'" in fault("run", "--port", "x", code=2)
    url = fault("run", "--ws", "http://alice:hunter2@h/", code=2)
    assert url == "option --ws: must be a URL such as ws://user:password@127.0.0.1:9000/ws?topic=sms"
    assert fault("run", "--ws", "ws://h:port/", code=2) == url
    assert "nope.toml: cannot be read" in fault("run", "--config", "nope.toml", code=2)


# -- in this process


def snapshot(*, modem: ModemState, connected: bool = True) -> Snapshot:
    status = InputStatus(connected=connected, since=0.0, detail="refused\nby the server", received=0)
    return Snapshot(
        version="1",
        started=0.0,
        uptime=1.0,
        stopping=False,
        inputs=(InputView(name="ws", topic="sms", status=status),),
        modems=(ModemStatus(name="one", state=modem),),
        mail=(),
        queue={"queued": 2, "sending": 1},
        oldest_waiting=1.0,
        journal_error="",
        events=(),
    )


def test_summary_is_one_line() -> None:
    """A service manager shows a line; that of a service that is not ready has the reasons."""
    assert run.summary(snapshot(modem=ModemState.READY)) == "ready: 1 inputs, 1 modems, 3 messages waiting"
    assert run.summary(snapshot(modem=ModemState.SIM_MISSING, connected=False)) == (
        "not ready: modem one is sim missing; input ws is not connected: refused by the server"
    )


def test_gaps_of_a_whole_service() -> None:
    """With a modem and a way in there is nothing to say."""

    def gaps(**tables: Any) -> int:
        return len(run._gaps(settings.Settings.model_validate(tables)))

    one = {"name": "one", "port": "emulate"}
    mail = {"name": "m", "host": "h", "sender": "a@b.cd"}
    assert gaps(modem=[one]) == 0
    assert gaps(mail=[mail], ws=[{}], rest={"enabled": False}) == 0
    assert gaps(modem=[{**one, "active": False}]) == 1
    assert gaps(modem=[one], ws=[{"active": False}], rest={"enabled": False}) == 1


def test_loop_without_uvloop_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a wheel of uvloop runs all the same."""
    with_it = run.new_event_loop()
    with_it.close()
    assert type(with_it).__module__.startswith("uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", None)
    without = run.new_event_loop()
    without.close()
    assert type(without).__module__.startswith("asyncio")


class Turning:
    """As much of a loop as the reports need."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


def test_loop_error_is_logged_once_a_minute_and_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's text may quote what a client sent, and the same one may come a thousand times a second."""
    errors, turning = run.LoopErrors(), Turning()
    loop = cast("asyncio.AbstractEventLoop", turning)

    def report(message: str, error: Exception | None = None) -> None:
        context: dict[str, Any] = {"message": message} | ({"exception": error} if error else {})
        errors(loop, context)

    for _ in range(1000):
        report("accept failed", ValueError("hunter2"))
    assert caplog.text.count("loop_error") == 1
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text
    turning.now = 61.0
    report("accept failed", ValueError("hunter2"))
    for number in range(200):
        report(f"other {number}")
    assert caplog.text.count("loop_error") == 202
