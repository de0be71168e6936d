"""Tell those who wait how a message ended."""

import asyncio
from collections import defaultdict

from otp.pi.model import Outcome


class Outcomes:
    """Who waits for which message; nothing is kept of a message that nobody waits for."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: defaultdict[int, set[asyncio.Future[Outcome]]] = defaultdict(set)

    def __len__(self) -> int:
        """Return how many wait."""
        return sum(len(waiters) for waiters in self._waiters.values())

    def numbers(self) -> list[int]:
        """Return the messages that somebody waits for."""
        return list(self._waiters)

    def expect(self, number: int) -> "asyncio.Future[Outcome]":
        """Return what will hold the outcome of a message; ``forget`` it afterwards."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiters[number].add(future)
        return future

    def forget(self, number: int, future: "asyncio.Future[Outcome]") -> None:
        """Let go of what ``expect`` returned."""
        waiters = self._waiters[number]
        waiters.discard(future)
        if not waiters:
            del self._waiters[number]

    def settle(self, outcome: Outcome) -> None:
        """Tell everybody who waits for this message."""
        for future in self._waiters.get(outcome.number, ()):
            if not future.done():
                future.set_result(outcome)
