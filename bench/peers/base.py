"""What the benchmark needs to know of a broker."""

import importlib.util
import shutil
from abc import ABC, abstractmethod
from pathlib import Path

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


def missing_module(name: str) -> str | None:
    """Say that a Python module is not installed, or return None."""
    if importlib.util.find_spec(name) is None:
        return f"the Python module {name} is not installed: pip install {name}"
    return None


def missing_program(name: str, install: str) -> str | None:
    """Say that a program is not on the path, or return None."""
    return None if shutil.which(name) else f"{name} is not installed: {install}"


def npm_package(name: str) -> Path:
    """Return where `npm install --prefix bench` puts a package."""
    return BENCH / "node_modules" / name
