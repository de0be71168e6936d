"""Deadlines of many connections in one place: a timer wheel. Pure: the caller passes `now`.

One wheel and one tick serve all keepalives and timeouts; a timer per connection would cost a heap entry each and a
reschedule per ping. Idle connections cost nothing between their pings.
"""

import math
from typing import Final, Protocol

RESOLUTION: Final = 0.05
"""Seconds between two ticks: how late a deadline may be noticed."""


class Expiring(Protocol):
    """Something with a deadline."""

    due: float
    """When it wants to be called; the wheel reads it, its owner sets it through `Deadlines.set`. `inf` is never."""

    def expired(self, now: float) -> None:
        """Act on the deadline; may set the next one."""


class Deadlines:
    """Call each item once its deadline is over.

    An item has one deadline at a time. Moving it leaves a stale entry in an older slot, which is dropped when its
    time comes: cheaper than finding and removing it. All items of a slot share its time, one object: 32 bytes less for
    each idle connection.
    """

    __slots__ = ("slots", "ticked")

    def __init__(self, now: float) -> None:
        self.slots: dict[int, tuple[float, list[Expiring]]] = {}
        """Number to when a slot is over, in seconds, and who waits for it."""
        self.ticked = self._slot(now)

    @staticmethod
    def _slot(at: float) -> int:
        return math.ceil(at / RESOLUTION)

    def set(self, item: Expiring, at: float) -> None:
        """Give an item its deadline, at the end of a slot, in place of the one it had; `inf` takes it off."""
        if at == math.inf:
            item.due = at
            return
        number = max(self._slot(at), self.ticked + 1)
        slot = self.slots.get(number)
        if slot is None:
            slot = self.slots[number] = (number * RESOLUTION, [])
        item.due, waiting = slot[0], slot[1]
        waiting.append(item)

    def forget(self, item: Expiring) -> None:
        """Take an item off and let go of it now: for what lives shorter than its deadline is away.

        A stale entry would keep each handshake (300 bytes with what it holds) for the rest of its ten seconds.
        """
        slot = self.slots.get(round(item.due / RESOLUTION)) if item.due != math.inf else None
        if slot is not None:
            slot[1].remove(item)
        item.due = math.inf

    def tick(self, now: float) -> None:
        """Call every item whose deadline is over."""
        current = int(now / RESOLUTION)
        for number in range(self.ticked + 1, current + 1):
            self.ticked = number
            time, waiting = self.slots.pop(number, (math.inf, ()))
            for item in waiting:
                if item.due == time:
                    item.due = math.inf
                    item.expired(now)
