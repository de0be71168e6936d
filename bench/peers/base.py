"""What the benchmark needs to know of a broker."""

import copy
import functools
import importlib.util
import shutil
import subprocess
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Self

from bench.shapes import Flow, Shape
from bench.tls import Certificate
from bench.wire import PLAIN, Dialect

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
ACCOUNT = ("bench", "not-a-secret")


class Peer(ABC):
    """A broker that can be started on a port of 127.0.0.1 and loaded.

    Each runs in the most favourable sensible configuration: no compression, no pings of its own where they can
    be turned off, and a check of the credentials that is as cheap as its library allows.
    """

    name: str
    dialect: Dialect = PLAIN
    accounts: tuple[tuple[str, str], ...] = (ACCOUNT,)
    """Who may connect, as (user, password); empty when the peer asks nobody."""
    certificate: Certificate | None = None
    """What it serves TLS with; None for plain connections."""
    speaks_tls = True
    most_clients: int | None = None
    """How many clients it lets in within the time of a run, where that is a matter of minutes; None otherwise."""
    answers_publishers = False
    """Whether a publisher reads a word about each message, and joins no topic itself."""

    @abstractmethod
    def unavailable(self) -> str | None:
        """Say why this peer cannot run here and what would help, or return None when it can."""

    @abstractmethod
    def version(self) -> str:
        """Name what is being measured, with its version."""

    @abstractmethod
    def command(self, port: int, workdir: Path) -> list[str]:
        """Build the command that serves on 127.0.0.1:`port`; files it needs are written to `workdir`."""

    def target(self, topic: str) -> str:
        """Return the request target that joins a topic."""
        return f"/ws?topic={topic}"

    def publishing_target(self, topic: str) -> str:
        """Return the request target of a client that only publishes."""
        return self.target(topic)

    def cannot(self, shape: Shape) -> str | None:
        """Say why this peer cannot take part in a shape, or return None."""
        if self.most_clients and shape.connections > self.most_clients:
            return f"letting {shape.connections:,} clients in takes it minutes"
        if shape.tls:
            return missing_program("openssl", "install openssl") if self.speaks_tls else "it speaks no TLS"
        if shape.flow is Flow.CROWD and self.answers_publishers:
            return "a publisher is no member of its topic"
        return None

    @functools.cached_property
    def tls_agreed(self) -> set[str]:
        """Protocol versions and ciphers that clients agreed on with this peer, however often it was `secured`."""
        return set()

    def secured(self, certificate: Certificate) -> Self:
        """Return this peer, serving TLS."""
        other = copy.copy(self)
        other.certificate = replace(certificate, agreed=self.tls_agreed)
        return other

    def tls_files(self) -> list[str]:
        """Return certificate and key for a command line; nothing for plain connections."""
        return [str(self.certificate.chain), str(self.certificate.key)] if self.certificate else []


def missing_module(name: str) -> str | None:
    """Say that a Python module is not installed, or return None."""
    if importlib.util.find_spec(name) is None:
        return f"the Python module {name} is not installed: pip install {name}"
    return None


def missing_program(name: str, install: str) -> str | None:
    """Say that a program is not on the path, or return None."""
    return None if shutil.which(name) else f"{name} is not installed: {install}"


def debian_package(name: str) -> str:
    """Say which Debian package a program came in, ` (package nginx 1.22.1-9)`; nothing where none is known."""
    program = shutil.which(name)
    if program is None or shutil.which("dpkg-query") is None:
        return ""
    owner = _output("dpkg-query", "-S", program).partition(":")[0]
    version = _output("dpkg-query", "-W", "-f", "${Version}", owner) if owner else ""
    return f" (package {owner} {version})" if version else ""


def _output(*command: str) -> str:
    """Return what a command prints, nothing when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def npm_package(name: str) -> Path:
    """Return where `npm install --prefix bench` puts a package."""
    return BENCH / "node_modules" / name
