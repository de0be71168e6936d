"""A broker as a process of its own, started by its command line."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0
"""Seconds until a test gives up waiting for a process."""


def command(*arguments: str) -> list[str]:
    """Return the command line of `wsbroker` with these arguments."""
    return [sys.executable, "-m", "broker.cli", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child: ours without settings, with these variables; output is buffered as usual."""
    alien = ("WSBROKER_", "PYTHONUNBUFFERED")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(alien)}
    return ours | {"PYTHONPATH": str(ROOT)} | variables


class Process:
    """A child whose output is collected while it runs.

    Args:
        arguments: of `wsbroker`, or a whole command line when `whole` is set.
        whole: the arguments are a command line of their own.
        listening: handed over as service managers do: as descriptor 3, with LISTEN_PID and LISTEN_FDS.
        variables: of its environment.
    """

    _ACTIVATE = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True); "
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); os.execv(sys.executable, sys.argv[2:])"
    )

    def __init__(
        self,
        *arguments: str,
        whole: bool = False,
        listening: socket.socket | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        line = list(arguments) if whole else command(*arguments)
        if listening is not None:
            line = [sys.executable, "-c", self._ACTIVATE, str(listening.fileno()), *line]
        self.child = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**(variables or {})),
            pass_fds=[] if listening is None else [listening.fileno()],
        )
        self._out: dict[str, bytes] = {"stdout": b"", "stderr": b""}
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=self._collect, args=(name,), daemon=True) for name in self._out]
        for reader in self._readers:
            reader.start()

    def _collect(self, name: str) -> None:
        pipe = getattr(self.child, name)
        while chunk := os.read(pipe.fileno(), 65536):
            with self._changed:
                self._out[name] += chunk
                self._changed.notify_all()

    @property
    def stdout(self) -> str:
        """What it printed so far."""
        return self._out["stdout"].decode()

    @property
    def stderr(self) -> str:
        """What it logged so far."""
        return self._out["stderr"].decode()

    def wait_for(self, pattern: str, stream: str = "stderr") -> "re.Match[str]":
        """Wait until its output matches; fail with that output when it does not in time, or when it ends."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not (found := re.search(pattern, self._out[stream].decode())):
                ended = self.child.poll() is not None and not any(reader.is_alive() for reader in self._readers)
                assert not ended, f"it ended: {self._out}"
                assert time.monotonic() < deadline, f"no {pattern!r} in {self._out}"
                self._changed.wait(0.1)
        return found

    def port(self) -> int:
        """Wait until the broker listens, and return its port."""
        return int(self.wait_for(r"listening on=\S*?:(\d+)")[1])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.child.send_signal(number)

    def end(self) -> int:
        """Wait for its end, and return the exit code."""
        code = self.child.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def dispose(self) -> None:
        """Kill it if it still runs, and close its pipes."""
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.end()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
