"""What the examples share: generated accounts, a broker as a process of its own, words on the terminal."""

import contextlib
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from htpasswd.file import edit
from htpasswd.hashes import hash_password

COLOURS: Final = {"good": "32", "name": "36", "bad": "31"}
START_TIME: Final = 15.0
"""Seconds a broker may take until it answers."""


def paint(kind: str, text: str) -> str:
    """Colour text on a terminal; plain everywhere else, and where NO_COLOR asks for it."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m"


def say(who: str, text: str) -> None:
    """Print one step: who does it, and what happens."""
    print(f"  {paint('name', f'{who:<11}')} {text}", flush=True)  # noqa: T201 - this is what the examples are for


def masked(code: str) -> str:
    """Return a code as it may be shown: its first two digits."""
    return code[:2] + "*" * (len(code) - 2)


def make_accounts(file: Path, users: Sequence[str]) -> dict[str, str]:
    """Write a password file with a random password for each user, and return the passwords."""
    passwords = {user: secrets.token_urlsafe(9) for user in users}
    with edit(file, create=True) as accounts:
        for user, password in passwords.items():
            accounts.set(user, hash_password(password))
    return passwords


@contextlib.contextmanager
def broker_process(*options: str, admin_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `wsbroker serve` until the block ends.

    Raises:
        SystemExit: it did not start; its own words are on the terminal.
    """
    command = [sys.executable, "-m", "broker.cli", "serve", "--admin-port", str(admin_port), *options]
    process = subprocess.Popen(command)  # noqa: S603 - our own program
    try:
        _wait_until_ready(process, admin_port)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(process: subprocess.Popen[bytes], admin_port: int) -> None:
    deadline = time.monotonic() + START_TIME
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/readyz", timeout=1)
            return
        time.sleep(0.05)
    raise SystemExit(process.poll() or 1)
