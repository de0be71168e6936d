"""Start a peer pinned to a core, wait until it accepts connections, and end it by its process id."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bench.budget import BenchError
from bench.peers.base import REPOSITORY, Peer
from bench.wire import upgrade_request
from examples.ports import free_port

_START_SECONDS = 20.0
_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that accepts connections."""

    peer: Peer
    port: int
    pid: int

    def request(self, topic: str, account: int = 0, *, publishing: bool = False) -> bytes:
        """Build the opening handshake that joins a topic, or only publishes to it, as one of the peer's accounts."""
        accounts = self.peer.accounts
        credentials = accounts[account % len(accounts)] if accounts else None
        target = self.peer.publishing_target(topic) if publishing else self.peer.target(topic)
        return upgrade_request(self.port, target, credentials, self.peer.dialect.subprotocol)


def pin(core: int) -> None:
    """Keep this process, and every child it starts from now on, on one core."""
    os.sched_setaffinity(0, {core})


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spawn(command: list[str], core: int, output: BinaryIO | int) -> subprocess.Popen[bytes]:
    """Start a child on one core; it ends with this process, also when this process is killed.

    The affinity is set before the child exists, so that a runtime which counts its cores counts one.
    """
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "KILL", "--", *command]
    errors = subprocess.STDOUT if output != subprocess.PIPE else None
    with _pinned(core):
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=REPOSITORY)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a child: ask, wait, insist."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout:
            process.stdout.close()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_until_up(peer: Peer, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _accepts(port):
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-2000:].strip()
            raise BenchError(f"{peer.name} does not accept connections on port {port}; it said:\n{said}")
        time.sleep(0.02)


@contextmanager
def running(peer: Peer, core: int, port: int = 0) -> Iterator[Running]:
    """Run a peer pinned to a core, for the length of the block.

    Args:
        peer: Who is started.
        core: Where it runs.
        port: Where it serves on 127.0.0.1; 0 for a private port.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        port = port or free_port()
        command = peer.command(port, Path(folder))
        log = Path(folder, "output.log")
        with log.open("wb") as output:
            process = spawn(command, core, output)
            try:
                _wait_until_up(peer, port, process, log)
                yield Running(peer, port, process.pid)
            finally:
                stop(process)
