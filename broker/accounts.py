"""The password file as the broker follows it: read at start, watched, and kept when a new version is no good."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from broker.logs import Log
from broker.metrics import Counters
from htpasswd.file import PasswordFileError, load
from htpasswd.lines import Accounts

LOG: Final = Log()
WARN_EVERY: Final = 60.0
"""Seconds between two warnings that the file is still no good."""

Signature = tuple[int, int, int, int] | None
"""Modification time in ns, size, inode, change time in ns (a chmod moves it); None when there is nothing to look at."""


class AccountFile:
    """Follow one password file.

    Args:
        path: the file.
        counters: where reloads are counted.
        take: called with each version that is taken over.
    """

    def __init__(self, path: Path, counters: Counters, take: Callable[[Accounts], None]) -> None:
        self.path = path
        self.counters = counters
        self.take = take
        self.usable = False
        """True once a version was taken that has an account, or deliberately none."""
        self._last_look: Signature = None
        self._read: Signature = None
        self._warned = 0.0
        self._broken: str | None = None

    def signature(self) -> Signature:
        """Look at the file without reading it."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns

    def start(self, now: float, *, allow_plaintext: bool) -> None:
        """Read the file for the first time; a file that is no good refuses everyone, and the broker runs on."""
        self.reload(now, allow_plaintext=allow_plaintext)
        if not self.usable:
            LOG.error("accounts_missing", file=self.path, advice="everyone is refused until the file can be used")

    def watch(self, now: float, *, allow_plaintext: bool) -> None:
        """Look once a second; read when two looks in a row agree that the file changed: nobody is still writing."""
        look = self.signature()
        if look == self._last_look and look != self._read:
            self.reload(now, allow_plaintext=allow_plaintext, watching=True)
        elif self._broken is not None:
            self._keep_warning(self._broken, now)
        self._last_look = look

    def reload(self, now: float, *, allow_plaintext: bool, watching: bool = False) -> bool:
        """Read the file now; on any fault the accounts stay as they are.

        Args:
            now: seconds.
            allow_plaintext: whether bare passwords are accounts.
            watching: nobody asked for it, so the same fault is told once a minute.

        Returns:
            Whether the new version was taken.
        """
        self._last_look = self._read = self.signature()
        try:
            accounts = load(self.path, allow_plaintext=allow_plaintext)
        except PasswordFileError as error:
            self.counters.reloads["error"] += 1
            (self._keep_warning if watching else self._warn)(str(error), now)
            return False
        for problem in accounts.problems:
            LOG.warning("account_unusable", file=self.path, problem=problem)
        self.counters.reloads["ok"] += 1
        self._broken = None
        self.usable = True
        LOG.info("accounts_loaded", file=self.path, accounts=len(accounts))
        self.take(accounts)
        return True

    def _keep_warning(self, problem: str, now: float) -> None:
        if problem != self._broken or now - self._warned >= WARN_EVERY:
            self._warn(problem, now)

    def _warn(self, problem: str, now: float) -> None:
        self._broken, self._warned = problem, now
        LOG.warning(
            "accounts_not_taken",
            problem=problem,
            advice="the accounts stay as they were" if self.usable else "nobody can log in until it can be read",
        )
