"""Order what waits to be sent. Pure: knows neither journal nor modems, and is told the time.

Messages that can go to the same modems stand in one lane, in order of (priority, number). Only the first of each lane
is looked at: when it finds no modem free, neither does the one behind it, and lanes do not hold up each other.

    lane       "+62812"   12 15 16 20        receivers that the same prefixes fit
    lane       ""         11 13 14
    lane       "+62812" avoiding sim-1   9   was tried there: it must not hold up 12, which may go to sim-1
    resting    8 (until 17.5)                comes back to its lane then, free to go to every modem again
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from otp.pi.model import Message

MAIL = "@"
"""The lane of mail; no telephone number begins like this."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message that waits or is under way, and what was learnt on the way.

    Attributes:
        message: Without its body, which stays in the journal until it is sent.
        lane: Messages of one lane can go to the same modems.
        avoid: Modems that it is not given to before it has rested.
        pin: Modem that has sent parts of it and shall send the others; empty when there is none.
        failures: How often a modem took it on and failed, since the start.
        rests: How often it had to rest.
        moved: It had its one try on another SIM card.
        resumed: It had its one try to send the missing parts.
        pause: Seconds to rest before it goes back to its lane.
        ticket: Set by the queue; what bears an older one in a heap is gone.
    """

    message: Message
    lane: str
    avoid: frozenset[str] = frozenset()
    pin: str = ""
    failures: int = 0
    rests: int = 0
    moved: bool = False
    resumed: bool = False
    pause: float = 0.0
    ticket: int = 0

    @property
    def number(self) -> int:
        """Row of the journal."""
        return self.message.number


_Key = tuple[str, frozenset[str], str]
_Item = tuple[float, int, int, Entry]


@dataclass(slots=True)
class Queue:
    """Messages that wait, by lane.

    Attributes:
        entries: Those that wait, by number.
        sizes: How many wait, by lane and priority, resting ones included.
    """

    entries: dict[int, Entry] = field(default_factory=dict)
    sizes: Counter[tuple[str, int]] = field(default_factory=Counter)
    _lanes: dict[_Key, list[_Item]] = field(default_factory=dict)
    _resting: list[_Item] = field(default_factory=list)
    _deadlines: list[_Item] = field(default_factory=list)
    _ticket: int = 0

    def add(self, entry: Entry, now: float) -> None:
        """Put an entry into its lane, or to rest first when it has a pause.

        Args:
            entry: What waits from now on.
            now: Seconds of the clock that ``wake`` and ``next_rest`` are in too.
        """
        self._ticket += 1
        entry.ticket = self._ticket
        self.entries[entry.number] = entry
        self.sizes[entry.lane, entry.message.priority] += 1
        heappush(self._deadlines, (entry.message.deadline, entry.number, entry.ticket, entry))
        if entry.pause > 0:
            heappush(self._resting, (now + entry.pause, entry.number, entry.ticket, entry))
        else:
            self._line_up(entry)

    def remove(self, entry: Entry) -> None:
        """Forget an entry; it is about to be sent, or has ended."""
        del self.entries[entry.number]
        entry.ticket = 0
        self.sizes[entry.lane, entry.message.priority] -= 1

    def rest(self, entry: Entry, now: float) -> None:
        """Take an entry out of its lane until its pause is over."""
        self.remove(entry)
        self.add(entry, now)

    def wake(self, now: float) -> None:
        """Put those whose rest is over back into their lanes, free to go to every modem again."""
        while (item := _first(self._resting)) and item[0] <= now:
            entry = heappop(self._resting)[3]
            entry.avoid, entry.pause = frozenset(), 0.0
            self._line_up(entry)

    def heads(self) -> Iterator[Entry]:
        """Yield the first of each lane, the most urgent first; entries may be removed or put to rest meanwhile."""
        firsts = []
        for key, lane in list(self._lanes.items()):
            item = _first(lane)
            if item is None:
                del self._lanes[key]
            else:
                firsts.append(item)
        yield from (item[3] for item in sorted(firsts, key=lambda item: item[:3]))

    def expired(self, now: float) -> list[Entry]:
        """Remove and return those whose deadline has come; ``now`` in Unix seconds."""
        found = []
        while (item := _first(self._deadlines)) and item[0] <= now:
            heappop(self._deadlines)
            self.remove(item[3])
            found.append(item[3])
        return found

    def next_deadline(self) -> float | None:
        """Return when the first of all expires, in Unix seconds; ``None`` when nothing waits."""
        item = _first(self._deadlines)
        return item and item[0]

    def next_rest(self) -> float | None:
        """Return when the first rest is over; ``None`` when nothing rests."""
        item = _first(self._resting)
        return item and item[0]

    def _line_up(self, entry: Entry) -> None:
        key = (entry.lane, entry.avoid, entry.pin)
        heappush(self._lanes.setdefault(key, []), (entry.message.priority, entry.number, entry.ticket, entry))


def _first(heap: list[_Item]) -> _Item | None:
    """Return the first item that still counts, dropping those before it."""
    while heap and heap[0][3].ticket != heap[0][2]:
        heappop(heap)
    return heap[0] if heap else None
