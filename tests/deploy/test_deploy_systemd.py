"""The systemd units without systemd: their syntax, what they expose, and their commands against a pretended manager."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from broker.errors import RESTART
from broker.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ("wsbroker.service", "wsbroker.socket")
COMMAND = "/opt/wsbroker/bin/wsbroker"
Unit = dict[tuple[str, str], list[str]]


def read_unit(name: str) -> Unit:
    """Return (section, key) to values, in order: keys of a unit may repeat."""
    unit: Unit = defaultdict(list)
    section = ""
    for line in (DEPLOY / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, f"{name}: {line!r} is no assignment"
            unit[section, key].append(value)
    return unit


SERVICE = read_unit("wsbroker.service")
SOCKET = read_unit("wsbroker.socket")


def one(unit: Unit, section: str, key: str) -> str:
    [value] = unit[section, key]
    return value


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a command that exists here: systemd looks for it."""
    for name in UNITS:
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace(COMMAND, shutil.which("true") or COMMAND))
    return tmp_path


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_units_pass_systemds_own_check(installed: Path) -> None:
    """`systemd-analyze verify` finds nothing to say: no unknown key, no bad value."""
    ended = systemd_analyze("verify", *(str(installed / name) for name in UNITS))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_service_exposes_little(installed: Path) -> None:
    """Hardening: systemd rates the unit 2 or better on its scale from 0 to 10; an unhardened service has 9.6."""
    ended = systemd_analyze(
        "security", "--no-pager", "--offline=true", "--threshold=20", str(installed / "wsbroker.service")
    )
    assert ended.returncode == 0, ended.stdout


def test_service_gives_the_broker_the_time_it_needs() -> None:
    """Stopping has drain_time, 3 s for the last handshakes and something to spare; the watchdog is no hair trigger."""
    assert float(one(SERVICE, "Service", "TimeoutStopSec")) >= Settings().drain_time + 3 + 2
    assert float(one(SERVICE, "Service", "WatchdogSec")) >= 10
    assert int(one(SERVICE, "Service", "LimitNOFILE")) >= 65_536
    assert one(SERVICE, "Service", "ExecReload") == "/bin/kill -HUP $MAINPID"


def test_socket_listens_where_the_settings_say() -> None:
    """With the socket unit clients connect to the same places as without it."""
    port = Settings().port
    assert SOCKET["Socket", "ListenStream"] == [f"127.0.0.1:{port}", f"[::1]:{port}"]
    assert one(SOCKET, "Socket", "BindIPv6Only") == "ipv6-only"


@contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does on NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(path))
        inbox.settimeout(20)
        yield inbox


def heard(inbox: socket.socket, wanted: str) -> str:
    """Return the first message that holds `wanted`."""
    while True:
        message = inbox.recv(4096).decode()
        if wanted in message.split("\n"):
            return message


def test_service_command_tells_the_manager_how_it_is(tmp_path: Path, accounts: Path) -> None:
    """ExecStart as written says READY, reports life to the watchdog, takes ExecReload's HUP, and ends on TERM."""
    words = one(SERVICE, "Service", "ExecStart").replace(COMMAND, f"{sys.executable} -m broker.cli")
    config = tmp_path / "wsbroker.toml"
    config.write_text(f'port = 0\nadmin_port = 0\nhost = ["127.0.0.1"]\npassword_file = "{accounts}"\n')
    words = words.replace("/etc/wsbroker/wsbroker.toml", str(config))
    with manager(tmp_path / "notify") as inbox:
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        process = subprocess.Popen(words.split(), env=environment, stderr=subprocess.DEVNULL, cwd=DEPLOY.parent)
        try:
            assert re.search(r"^STATUS=listening on 127\.0\.0\.1:\d+$", heard(inbox, "READY=1"), re.MULTILINE)
            heard(inbox, "WATCHDOG=1")
            process.send_signal(signal.SIGHUP)
            heard(inbox, "RELOADING=1")
            heard(inbox, "READY=1")
            process.send_signal(signal.SIGTERM)
            heard(inbox, "STOPPING=1")
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def test_service_command_takes_the_socket_that_systemd_opened(accounts: Path, free_port: int) -> None:
    """Started on the first connection, as the socket unit does, it serves that one, and says 1012 when it stops."""
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("systemd-socket-activate is not installed")
    listen = ["--listen", f"127.0.0.1:{free_port}", "--setenv", f"PYTHONPATH={DEPLOY.parent}"]
    serve = [sys.executable, "-m", "broker.cli", "serve", "--admin-port=0", f"--password-file={accounts}"]
    process = subprocess.Popen([program, *listen, *serve], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"Listening on 127.0.0.1:{free_port}")
        with connect(f"ws://alice:secret@127.0.0.1:{free_port}/ws?topic=sms", proxy=None) as client:
            process.terminate()
            with pytest.raises(ConnectionClosedError) as ended:
                client.recv(20)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (RESTART.code, RESTART.token)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
