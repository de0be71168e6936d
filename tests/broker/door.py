"""An authenticator to knock at, and verifications that can be counted and held up."""

import threading
from collections.abc import Mapping
from typing import Any

from broker.auth import Authenticator
from broker.config import load_settings
from broker.errors import RATE_LIMITED, UNAUTHORIZED, Refused
from broker.metrics import Counters
from broker.request import Credentials
from tests.broker.doubles import Clock

ALICE = Credentials("alice", "secret")
BOB = Credentials("bob", "geheim")
WRONG = Credentials("alice", "wrong")
ACCOUNTS = {"alice": "hash of secret", "bob": "hash of geheim"}


class Verifications:
    """Stands in for `htpasswd.hashes.verify`: counts, notes and can be held up."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        """Password and stored hash of each call, in order."""
        self.inside = 0
        self.most_inside = 0
        self.go_on = threading.Event()
        self.go_on.set()
        self._lock = threading.Lock()

    def __call__(self, password: str, stored: str, *, allow_plaintext: bool = False) -> bool:
        with self._lock:
            self.calls.append((password, stored))
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        assert self.go_on.wait(20)
        with self._lock:
            self.inside -= 1
        return stored == f"hash of {password}"


class Door:
    """An authenticator with its clock and counters."""

    def __init__(self, accounts: Mapping[str, str], **settings: Any) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.auth = Authenticator(load_settings(settings), self.counters, self.clock)
        self.auth.replace(accounts)

    async def lets_in(self, credentials: Credentials, address: str = "192.0.2.1") -> bool:
        """Do as the handshake does: remembered, else verified."""
        if self.auth.remembered(credentials):
            return True
        try:
            await self.auth.verify(credentials, address)
        except Refused as refused:
            if refused.refusal is UNAUTHORIZED:
                return False
            raise
        return True


def make_door(doors: list[Door], accounts: Mapping[str, str] = ACCOUNTS, **settings: Any) -> Door:
    doors.append(Door(accounts, **settings))
    return doors[-1]


async def throttled(door: Door, user: str, address: str = "192.0.2.1", password: str = "wrong") -> float | None:
    """Try once more; return what Retry-After says, None when it was verified."""
    try:
        await door.auth.verify(Credentials(user, password), address)
    except Refused as refused:
        return refused.retry_after if refused.refusal is RATE_LIMITED else None
    return None
