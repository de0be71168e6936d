"""This broker, with authentication, metrics and limits switched on."""

import functools
import importlib.util
import sys
from pathlib import Path

import bcrypt

from bench.peers.base import ACCOUNT, Peer
from examples.ports import free_port


@functools.cache
def _line(user: str, password: str, cost: int) -> str:
    """Make a line of the password file; kept, since a dear one would look like a slow start of the broker."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()
    return f"{user}:{hashed}\n"


class Ours(Peer):
    """`wsbroker serve` with a bcrypt password file, the admin listener and a rate limit that is never hit."""

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

        return f"wsmessagebroker {__version__}"

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
            "message-rate": 100_000_000,
        }
        if self.certificate:
            settings |= {"tls-certificate": self.certificate.chain, "tls-key": self.certificate.key}
        flags = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        return [sys.executable, "-m", "broker.cli", "serve", *flags]
