"""``otp-pi`` as a process of its own, and as a call in this one."""

import logging
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pytest
from typer.testing import CliRunner

from otp.pi.cli import app

PATIENCE = 30.0
ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """What a command that came to its end left behind."""

    code: int
    out: str
    err: str


def run(*arguments: str, stdin: bytes = b"", **variables: str) -> Done:
    """Run a command in this process."""
    result = CliRunner().invoke(app, arguments, input=stdin, env=variables, prog_name="otp-pi")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return Done(result.exit_code, result.stdout, result.stderr)


def good(*arguments: str, stdin: bytes = b"") -> str:
    """Run a command that must do what it was asked for; return what it printed."""
    done = run(*arguments, stdin=stdin)
    assert (done.code, done.err) == (0, ""), done
    return done.out


def fault(*arguments: str, code: int = 1, stdin: bytes = b"", **variables: str) -> str:
    """Run a command that must fail; return what it said on standard error, without its name."""
    done = run(*arguments, stdin=stdin, **variables)
    assert (done.code, done.out) == (code, ""), done
    lines = done.err.splitlines()
    assert lines, done
    assert all(line.startswith("otp-pi: ") for line in lines), lines
    return "\n".join(line.removeprefix("otp-pi: ") for line in lines)


def environment(variables: dict[str, str]) -> dict[str, str]:
    alien = ("OTP_PI_", "NO_COLOR", "PYTHONUNBUFFERED")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(alien)}
    return ours | {"PYTHONPATH": str(ROOT)} | variables


class Process:
    """``otp-pi`` as a child; ended with the block.

    Args:
        arguments: Its command line.
        terminal: Give it a terminal of 80 columns and 24 lines as standard output.
        deaf: Give it a pipe that nobody reads as standard output.
        before: Python that it runs first.
        variables: Of its environment.
    """

    def __init__(
        self, *arguments: str, terminal: bool = False, deaf: bool = False, before: str = "", **variables: str
    ) -> None:
        self._master, slave = pty.openpty() if terminal else os.pipe() if deaf else (-1, subprocess.PIPE)
        size = {"COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color"} if terminal else {}
        program = ["-c", f"{before}; from otp.pi.cli import main; main()"] if before else ["-m", "otp.pi"]
        if deaf:
            os.close(self._master)
            self._master = -1
        self.child = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdout=slave,
            stderr=subprocess.PIPE,
            env=environment(size | variables),
        )
        self._readers: list[threading.Thread] = []
        self._texts = {"out": b"", "err": b""}
        self._changed = threading.Condition()
        assert self.child.stderr is not None
        descriptors = {"err": self.child.stderr.fileno(), "out": self._master}
        if deaf:
            del descriptors["out"]
        if terminal or deaf:
            os.close(slave)
        else:
            assert self.child.stdout is not None
            descriptors["out"] = self.child.stdout.fileno()
        for name, descriptor in descriptors.items():
            reader = threading.Thread(target=self._collect, args=(name, descriptor), daemon=True)
            self._readers.append(reader)
            reader.start()

    def _collect(self, name: str, descriptor: int) -> None:
        while chunk := _read(descriptor):
            with self._changed:
                self._texts[name] += chunk
                self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.child.terminate()
        self.end()
        for stream in (self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()
        if self._master >= 0:
            os.close(self._master)

    @property
    def out(self) -> str:
        return self._texts["out"].decode()

    @property
    def err(self) -> str:
        return self._texts["err"].decode()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until what it printed fulfils a condition."""
        end = time.monotonic() + PATIENCE
        with self._changed:
            while not condition():
                assert time.monotonic() < end, (self.out, self.err)
                self._changed.wait(0.1)

    def ready(self) -> Self:
        """Wait until the service is ready."""
        self.until(lambda: " ready url=" in self.err or " ready modems=" in self.err)
        return self

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def end(self) -> int:
        """Wait for its end, and for all that it printed; return the exit code."""
        code = self.child.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end of a terminal is closed
        return b""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A directory and a log of its own for each test, and no settings of ours."""
    monkeypatch.chdir(tmp_path)
    for name in ("OTP_PI_CONFIG", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("otp.pi")
    kept = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = kept[0], kept[1]
    logger.setLevel(kept[2])
