"""The live view, the plain snapshot and the status: what they show, and that it fits."""

import asyncio
import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from otp.pi.cli import modems, monitor
from otp.pi.cli.screen import MOST_ROWS, duration, screen
from otp.pi.control import ControlClient, NotRunningError
from tests.pi.cli_process import Process, fault, good, run

NOW = 1_763_800_000.0


def modem(name: str = "sim-1", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "port": "/dev/serial/by-id/usb-HUAWEI_Mobile-if00-port0",
        "imei": "860000000000011",
        "state": "ready",
        "detail": "",
        "operator": "TELKOMSEL",
        "signal": 18,
        "rssi_dbm": -77,
        "active": True,
        **more,
    }


def snapshot(**more: Any) -> dict[str, Any]:
    return {
        "version": "1.2.3",
        "ready": True,
        "reasons": [],
        "uptime": 75.0,
        "inputs": [{"name": "ws", "topic": "sms", "connected": True, "detail": "", "received": 7}],
        "modems": [modem()],
        "mail": [{"name": "first", "state": "ready", "reason": ""}],
        "queue": {"queued": 0, "unknown": 0},
        "oldest_waiting": 0.0,
        "events": [{"at": NOW, "level": "info", "event": "ready", "url": "http://127.0.0.1:8899"}],
        **more,
    }


def shown(found: dict[str, Any], *, height: int | None = None, lost: str = "", width: int = 80) -> list[str]:
    """Return the lines of a screen."""
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    console.print(screen(found, height=height, lost=lost))
    return [line.rstrip() for line in cast("io.StringIO", console.file).getvalue().splitlines()]


def test_screen_of_a_service_that_is_well() -> None:
    """Everything that is configured has its line."""
    lines = shown(snapshot())
    assert lines[0] == "OTP-Pi 1.2.3  ready  up 1 min 15 s"
    assert lines[1] == "queue  empty"
    assert [line.split()[0] for line in lines[2:]][:6] == ["modem", "sim-1", "input", "ws", "mail", "first"]
    assert "▂▄▆  -77 dBm" in lines[3]
    assert lines[5].split() == ["ws", "sms", "7", "connected"]
    found = {"name": "ws", "topic": "sms", "connected": True, "detail": "connected to 127.0.0.1:9000", "received": 7}
    assert shown(snapshot(inputs=[found]))[5].endswith("7         connected to 127.0.0.1:9000")
    assert lines[-1].endswith("ready  url=http://127.0.0.1:8899")


def test_screen_of_a_service_that_is_not_well() -> None:
    """Reasons come first, then what waits and for how long; colours are not needed to understand it."""
    found = snapshot(
        ready=False,
        reasons=["modem sim-1 is pin wrong: give the right one", "input ws is not connected: refused"],
        modems=[modem(state="pin_wrong", detail="give the right one", signal=None, operator="", port="")],
        inputs=[{"name": "ws", "topic": "sms", "connected": False, "detail": "refused", "received": 0}],
        mail=[{"name": "first", "state": "resting", "reason": "login_refused"}],
        queue={"queued": 3, "unknown": 1, "routed": 0},
        oldest_waiting=4000.0,
        events=[{"at": NOW, "level": "error", "event": "x"}],
    )
    text = "\n".join(shown(found))
    assert "not ready" in text.splitlines()[0]
    assert "  modem sim-1 is pin wrong: give the right one\n  input ws is not connected: refused\n" in text
    assert "queue  3 queued, 1 unknown; the oldest waits for 1 h 6 min" in text
    assert "pin wrong: give the right one" in text
    assert "not connected: refused" in text
    assert "resting: login_refused" in text


def test_screen_fits_into_a_small_terminal() -> None:
    """80 columns and 24 lines hold sixteen modems and inputs in trouble, and the last events."""
    long = "x" * 200
    found = snapshot(
        ready=False,
        reasons=[f"modem sim-{number} is absent: {long}" for number in range(16)],
        modems=[modem(f"sim-{number}", state="absent", detail=long) for number in range(16)],
        inputs=[
            {"name": f"ws-{n}", "topic": long, "connected": False, "detail": long, "received": 0} for n in range(3)
        ],
        mail=[],
        events=[{"at": NOW, "level": "warning", "event": f"event_{number}", "detail": long} for number in range(50)],
    )
    lines = shown(found, height=24)
    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines)
    assert f"  and {16 - MOST_ROWS} more" in lines
    assert "  and 13 more" in lines
    assert "event_49" in lines[-1]
    assert sum("event_" in line for line in lines) >= 3
    plain = shown(found)
    assert sum(line.startswith("sim-") for line in plain) == 16


def test_screen_uses_a_large_terminal() -> None:
    """Where there is room, it goes to events."""
    found = snapshot(events=[{"at": NOW, "level": "info", "event": f"event_{number}"} for number in range(50)])
    assert sum("event_" in line for line in shown(found, height=50)) == 40
    assert len(shown(found, height=50)) < 50


def test_screen_says_that_it_is_not_the_present() -> None:
    """A service that has gone is not shown as if it were there."""
    assert shown(snapshot(), lost="otp-pi run is not running")[0] == "OTP-Pi 1.2.3  gone: otp-pi run is not running"


def test_screen_lets_nothing_control_the_terminal() -> None:
    """What a network or server sent is shown escaped."""
    evil = "\x1b]0;evil\x07"
    found = snapshot(
        reasons=[evil],
        modems=[modem(operator=evil, detail=evil)],
        inputs=[{"name": "ws", "topic": evil, "connected": True, "detail": evil, "received": 0}],
        events=[{"at": NOW, "level": "info", "event": "e", "detail": evil}],
    )
    assert not any("\x1b" in line or "\x07" in line for line in shown(found, width=300))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")],
)
def test_duration_has_two_units(seconds: float, text: str) -> None:
    """As exact as anybody wants to know."""
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "bars"), [(0, "▂   "), (8, "▂▄  "), (23, "▂▄▆ "), (31, "▂▄▆█")])
def test_signal_is_bars_and_dbm(value: int, bars: str) -> None:
    """Four bars share the scale of +CSQ evenly."""
    assert modems.signal({"signal": value, "rssi_dbm": 2 * value - 113}) == f"{bars} {2 * value - 113} dBm"


class Client:
    """A control socket whose service comes and goes."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.answers = list(answers)

    async def get(self, path: str) -> dict[str, Any]:
        assert path == "/status"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class EndError(Exception):
    """The end of a test."""


async def watch(*answers: dict[str, Any] | Exception) -> str:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=80, height=24, color_system=None, _environ={"TERM": "xterm"}
    )
    client = cast("ControlClient", Client(*answers))
    with pytest.raises((EndError, NotRunningError)):
        await monitor.live(client, console, 0.0)
    return file.getvalue()


async def test_live_view_follows_the_service() -> None:
    """Each look is a new screen; a service that ends is told of and waited for."""
    text = await watch(snapshot(), NotRunningError("it has ended"), snapshot(version="2.0.0"), EndError())
    first, second, third = (text.index(each) for each in ("1.2.3  ready", "1.2.3  gone: it has ended", "2.0.0  ready"))
    assert first < second < third
    assert text.index("\x1b[?1049h") < first
    assert text.index("\x1b[?1049l") > third


async def test_live_view_needs_a_service_to_begin_with() -> None:
    """Without one the screen is not even taken."""
    assert await watch(NotRunningError("nobody")) == ""


# -- the real thing


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A service with an emulated modem; its data directory."""
    directory = tmp_path_factory.mktemp("monitored") / "data"
    with Process("run", "--no-rest", "--data-dir", str(directory), "--modem", "emulate") as process:
        process.ready()
        process.until(lambda: "state=ready" in process.err)
        yield directory


def test_monitor_without_a_terminal_prints_one_snapshot(running: Path) -> None:
    """So it can be piped, and no escape sequence gets into a file."""
    out = good("monitor", "--data-dir", str(running))
    assert out.splitlines()[0].startswith("OTP-Pi ")
    assert "TELKOMSEL" in out
    assert "\x1b" not in out
    assert good("monitor", "--once", "--data-dir", str(running)).splitlines()[1:5] == out.splitlines()[1:5]


def test_monitor_on_a_terminal_is_live_until_ctrl_c(running: Path) -> None:
    """It takes the screen, in colour, and gives it back; exit code 0."""
    with Process("monitor", "--data-dir", str(running), "--interval", "0.1", terminal=True) as process:
        process.until(lambda: process.out.count("OTP-Pi ") > 2)
        process.signal(signal.SIGINT)
        assert process.end() == 0
    assert process.err == ""
    assert "\x1b[1;32mready" in process.out
    assert process.out.rstrip().endswith("\x1b[?1049l")


def test_monitor_without_colours(running: Path) -> None:
    """NO_COLOR is honoured on a terminal."""
    with Process("monitor", "--once", "--data-dir", str(running), terminal=True, NO_COLOR="1") as process:
        assert process.end() == 0
    assert "OTP-Pi" in process.out
    assert "\x1b[1;32m" not in process.out


def test_status_of_a_service_that_is_ready(running: Path) -> None:
    """Exit code 0, a line or the whole."""
    assert good("status", "--data-dir", str(running)) == "ready: 0 inputs, 1 modems\n"
    assert json.loads(good("status", "--json", "--data-dir", str(running)))["modems"][0]["name"] == "emulated"


def test_status_of_a_service_that_is_not_ready(tmp_path: Path) -> None:
    """Exit code 1, and a line per reason."""
    with Process(
        "run", "--no-rest", "--data-dir", str(tmp_path / "d"), "--modem", str(tmp_path / "no-port")
    ) as process:
        process.ready()
        process.until(lambda: "state=absent" in process.err)
        said = fault("status", "--data-dir", str(tmp_path / "d"))
        assert said.startswith(f"not ready: modem {_name(tmp_path)} is absent: ")
        done = run("status", "--json", "--data-dir", str(tmp_path / "d"))
        assert (done.code, json.loads(done.out)["ready"]) == (1, False)


def _name(directory: Path) -> str:
    return str(directory / "no-port").replace("/", "-")[-30:].strip("-")


@pytest.mark.parametrize("command", ["status", "monitor"])
def test_nobody_to_look_at(command: str, tmp_path: Path) -> None:
    """What is not running is said in one line."""
    said = fault(command, "--data-dir", str(tmp_path))
    assert said == f"otp-pi run is not running on data_dir {tmp_path}; start it, or give the --config it runs with"


async def test_live_view_ends_when_cancelled() -> None:
    """Whoever cancels it gets the terminal back as it was."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, height=24, color_system=None)
    task = asyncio.ensure_future(monitor.live(cast("ControlClient", Client(snapshot())), console, 3600.0))
    while "OTP-Pi" not in file.getvalue():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert file.getvalue().rstrip().endswith("\x1b[?1049l")
