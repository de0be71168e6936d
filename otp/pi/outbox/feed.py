"""Fill the queue from the journal, as far as there is room for each lane.

A journal may hold 100,000 messages, the queue holds a few hundred of each lane. So every lane remembers how far it has
read, for each priority: rows only ever come in behind that, since their numbers ascend, and what a lane has taken stays
in memory until it ends. A lane whose modems are all away is full and reads no further; the others read past its rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from otp.pi.model import Message, Priority
from otp.pi.outbox.queue import Entry, Queue
from otp.pi.outbox.storage import persist

PAGE: Final = 500
"""Rows that are read at a time."""

WINDOW: Final = 250
"""Messages of one lane and priority in memory, without their bodies: about 200 KB."""

LOW: Final = 100
"""More are read when so few are left."""

PRIORITIES: Final = (Priority.OTP, Priority.OTHER)

_Key = tuple[str, int]


class Journal(Protocol):
    """What is needed of the journal."""

    async def waiting(self, limit: int, *, after: tuple[int, int]) -> list[Message]:
        """Return messages that wait, in order of (priority, number), beyond ``after``."""
        ...


class Feed:
    """Read what waits.

    Args:
        journal: Where it is read from.
        queue: Where it goes.
        lanes: All lanes there are.
        lane_of: Returns the lane of a message.
    """

    def __init__(self, journal: Journal, queue: Queue, lanes: Sequence[str], lane_of: Callable[[Message], str]) -> None:
        self._journal = journal
        self._queue = queue
        self._lane_of = lane_of
        self._read = {(lane, priority): 0 for lane in lanes for priority in PRIORITIES}
        """How far each lane has read: the number of the last row it took or passed by."""
        self._behind = set(self._read)
        """Lanes for which there may be more."""

    def more(self) -> None:
        """Take note that there are new rows."""
        self._behind.update(self._read)

    async def fill(self, now: float) -> None:
        """Read until every lane has enough, or has all there is; ``now`` as for ``Queue.add``."""
        for priority in PRIORITIES:
            while hungry := self._hungry(priority):
                await self._page(priority, hungry, now)

    def _hungry(self, priority: int) -> set[_Key]:
        return {key for key in self._behind if key[1] == priority and self._queue.sizes[key] <= LOW}

    async def _page(self, priority: int, hungry: set[_Key], now: float) -> None:
        start = min(self._read[key] for key in hungry)
        self._behind -= hungry  # before the journal is asked: rows that come meanwhile set it again
        rows = await persist(lambda: self._journal.waiting(PAGE, after=(priority, start)))
        rows = [row for row in rows if row.priority == priority]
        full = self._take(rows, hungry, now)
        for key in hungry - full:
            self._read[key] = max(self._read[key], rows[-1].number if rows else 0)
        self._behind |= full if len(rows) < PAGE else hungry

    def _take(self, rows: Sequence[Message], hungry: set[_Key], now: float) -> set[_Key]:
        """Put rows into their lanes and return the lanes that had no room for all."""
        full: set[_Key] = set()
        for row in rows:
            key = (self._lane_of(row), row.priority)
            if key not in hungry or key in full or row.number <= self._read[key]:
                continue
            if self._queue.sizes[key] >= WINDOW:
                full.add(key)
                continue
            self._read[key] = row.number
            self._queue.add(_entry(row, key[0]), now)
        return full


def _entry(row: Message, lane: str) -> Entry:
    """Return a row as it waits: its parts bind it to the modem that sent them, and doubt drives it elsewhere."""
    entry = Entry(replace(row, text="", subject=""), lane)
    if row.sent_parts:
        entry.pin = row.modem
    elif row.modem:
        entry.avoid = frozenset({row.modem})
    return entry
