"""The demonstration plays to the end, and nothing it started outlives it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from examples import demo
from examples.rabbit import RabbitServer
from examples.servers import MosquittoServer, RedisServer

ROOT = Path(__file__).parents[2]


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of every process that has something to do with a directory."""
    mark = str(folder).encode()
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (directory / "cmdline").read_bytes(), (directory / "environ").read_bytes()
        except OSError:
            continue
        if mark in command or mark in environment:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def test_demo_without_servers_plays_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing is installed each road says how to get it; our broker and REST lead to the telephone anyway."""
    for kind in (RabbitServer, RedisServer, MosquittoServer):
        monkeypatch.setattr(kind, "missing", classmethod(lambda _: ["it"]))
    before = signal.getsignal(signal.SIGTERM)
    try:
        code = demo.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    output = capsys.readouterr().out
    assert code == 0, output
    for words in ("sudo apt install rabbitmq-server", "redis-server", "mosquitto"):
        assert words in output
    assert output.count("exactly the text sent, once") == 1
    assert "verified the code from the telephone: 0000" in output
    assert max(len(line) for line in output.splitlines()) <= 100


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("made a password file", signal.SIGTERM),
        ("listens on", signal.SIGINT),
        ("is subscribed to", signal.SIGINT),
    ],
)
def test_demo_interrupted_leaves_nothing(
    words: str, number: signal.Signals, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whenever Ctrl-C comes, servers and broker end with the demonstration, and its exit code says so."""
    folder = tmp_path_factory.mktemp("d")  # short: there will be a socket in it
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert any(words in line for line in process.stdout)
        assert processes_of(folder)
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.wait(60) == demo.INTERRUPTED, rest
    assert "everything that was started has ended" in rest
    deadline = time.monotonic() + 10
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert list(folder.iterdir()) == []
