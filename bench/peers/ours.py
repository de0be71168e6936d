"""This broker, with authentication, metrics and limits switched on."""

import functools
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import bcrypt

from bench.peers.base import ACCOUNT, REPOSITORY, Peer
from examples.ports import free_port


@functools.cache
def _line(user: str, password: str, cost: int) -> str:
    """Make a line of the password file; kept, since a dear one would look like a slow start of the broker."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()
    return f"{user}:{hashed}\n"


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command says of a checkout; None where there is no git, or the folder is no checkout itself."""
    # Without the ceiling git would go up, and a copy inside another repository would call itself by that one's commit.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent), "GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def commit(folder: Path) -> str:
    """Name the commit of a checkout as ` (abc1234)`, or ` (abc1234, changed)` when the broker's files differ from it.

    Returns:
        An empty string where there is no commit to name.
    """
    name = _git(folder, "rev-parse", "--short", "HEAD")
    if not name:
        return ""
    return f" ({name}, changed)" if _git(folder, "status", "--porcelain", "--", "broker") else f" ({name})"


class Ours(Peer):
    """`wsbroker serve` with a bcrypt password file and the admin listener, without pings, otherwise as it comes."""

    name = "ours"

    def __init__(self, *, accounts: tuple[tuple[str, str], ...] = (ACCOUNT,), cost: int = 5) -> None:
        """Choose who may connect and how dear a verification is (bcrypt cost, doubles the time per step)."""
        self.accounts = accounts
        self.cost = cost

    def unavailable(self) -> str | None:
        if importlib.util.find_spec("broker.cli") is None:
            return "broker/cli.py is not there"
        return None

    def version(self) -> str:
        from broker.version import __version__  # noqa: PLC0415 - the other peers run without the broker

        return f"wsmessagebroker {__version__}{commit(REPOSITORY)}"

    def command(self, port: int, workdir: Path) -> list[str]:
        passwords = workdir / ".htpasswd"
        passwords.write_text("".join(_line(*account, self.cost) for account in self.accounts))
        settings = {
            "host": "127.0.0.1",
            "port": port,
            "password-file": passwords,
            "admin-host": "127.0.0.1",
            "admin-port": free_port(),
            "log-format": "text",
            "ping-interval": 0,  # nor do the others ping
        }
        if self.certificate:
            settings |= {"tls-certificate": self.certificate.chain, "tls-key": self.certificate.key}
        flags = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        return [sys.executable, "-m", "broker.cli", "serve", *flags]
