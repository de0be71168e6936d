"""Tell others what happened: received SMS, delivery reports and alarms, as JSON objects.

    {"event": "received", "journal": 7, "modem": "sim-1", "sender": "+62811...", "message": "...",
     "sent_at": 1763800000.0, "part": 0, "parts": 1}
    {"event": "report", "journal": 5, "modem": "sim-1", "reference": 17, "receiver": "+62812...",
     "outcome": "delivered", "status": 0, "at": 1763800003.0}
    {"event": "alarm", "alarm": "budget", "at": 1763800000.0, "scope": "total_hour", "used": 80, "limit": 100}

``journal`` is the number of the row in the journal; in a report ``null`` when it belongs to no message that is known.
``part`` is 0 for a whole message; a long one of which parts did not come is told part by part, from 1. ``outcome`` is
``delivered``, ``pending`` or ``failed``. An alarm has further fields of its own. No event ever has a key ``command``
(nor ``callback_topic``), so that no receiver can take one for a command.

An event is told at least once while the service runs: a receiver that was busy may see it again, and one that was
away for long, or at the moment the service ended, may miss it. Only the journal is complete.
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from broker.logs import Log, describe
from otp.pi.modems.news import Received, Reported
from otp.pi.supervisor import keep

Event = dict[str, Any]

MAX_WAITING: Final = 1_000
"""Events that wait for a receiver who is away; more are dropped and counted, the newest first. About 1 KB each."""

TRIES: Final = 10
"""How often one event is offered, over about six minutes: then those behind it get their turn."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two tries, doubling from the first to the longest."""

_RESERVED: Final = frozenset({"command", "callback_topic"})
_LOG: Final = Log("otp.pi")


def received(number: int, news: Received) -> Event:
    """Return the event of an SMS that came in and stands in row ``number``."""
    return {
        "event": "received",
        "journal": number,
        "modem": news.modem,
        "sender": news.sender,
        "message": news.text,
        "sent_at": news.sent_at,
        "part": news.part,
        "parts": news.total,
    }


def report(number: int | None, news: Reported) -> Event:
    """Return the event of a delivery report for the message of row ``number``."""
    return {
        "event": "report",
        "journal": number,
        "modem": news.modem,
        "reference": news.reference,
        "receiver": news.receiver,
        "outcome": news.outcome,
        "status": news.status,
        "at": news.at,
    }


def alarm(name: str, at: float, **fields: str | float | None) -> Event:
    """Return the event of an alarm.

    Args:
        name: Token, such as ``budget``.
        at: Unix seconds.
        fields: What else there is to say; no key that makes a command of it.

    Raises:
        ValueError: A key is one that commands have.
    """
    if _RESERVED & fields.keys():
        raise ValueError("an event must not have a key that commands have: " + ", ".join(_RESERVED & fields.keys()))
    return {**fields, "event": "alarm", "alarm": name, "at": at}


class UndeliveredError(Exception):
    """A receiver did not take an event.

    Attributes:
        reason: What happened, for the log; never the event.
        permanent: It will not take it later either.
    """

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent


Deliver = Callable[[bytes], Awaitable[None]]
"""Hands an event to its receiver; whatever it raises means that the receiver did not take it."""


class Courier:
    """Bring events to one receiver, in order, one after the other.

    Args:
        name: What the log calls the receiver.
        deliver: See ``Deliver``.
        sleep: Waits between two tries; for tests.

    Attributes:
        dropped: Events that were not delivered and never will be.
        delivered: Events that were.
    """

    def __init__(
        self, name: str, deliver: Deliver, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.name = name
        self.dropped = 0
        self.delivered = 0
        self._deliver = deliver
        self._sleep = sleep
        self._waiting: deque[bytes] = deque()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        """Return how many events wait."""
        return len(self._waiting)

    def put(self, body: bytes) -> None:
        """Take an event to be delivered; it is dropped when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            self._drop("too_many")
            return
        self._waiting.append(body)
        self._some.set()

    async def run(self) -> None:
        """Deliver until cancelled; an event under way then is lost to the receiver, not to the journal."""
        while True:
            await self._some.wait()
            while self._waiting:
                await self._bring(self._waiting[0])
                self._waiting.popleft()
            self._some.clear()

    async def _bring(self, body: bytes) -> None:
        pause, tries = FIRST_PAUSE, 0
        while True:
            tries += 1
            try:
                await self._deliver(body)
            except Exception as error:  # noqa: BLE001 - whatever a receiver's library raises, the service goes on
                if tries == TRIES or (isinstance(error, UndeliveredError) and error.permanent):
                    self._drop(_reason(error))
                    break
            else:
                self.delivered += 1
                break
            await self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th ... : a receiver that is gone fills no log
            _LOG.warning("event_dropped", receiver=self.name, reason=reason, dropped=self.dropped)


def _reason(error: Exception) -> str:
    return error.reason if isinstance(error, UndeliveredError) else describe(error)


class Events:
    """Tell every receiver that the settings name.

    Args:
        couriers: One for each receiver; none tells nobody.
        close: Called when it ends, to let go of what the receivers hold.
    """

    def __init__(self, couriers: Sequence[Courier] = (), close: Callable[[], Awaitable[None]] | None = None) -> None:
        self.couriers = tuple(couriers)
        self._close = close

    @property
    def dropped(self) -> int:
        """Events that a receiver did not get and never will."""
        return sum(courier.dropped for courier in self.couriers)

    def emit(self, event: Event) -> None:
        """Tell an event to every receiver, soon; never waits and never fails."""
        if not self.couriers:
            return
        body = json.dumps(event, separators=(",", ":")).encode("ascii")
        for courier in self.couriers:
            courier.put(body)

    async def run(self) -> None:
        """Deliver until cancelled; returns at once when nobody is to be told."""
        try:
            async with asyncio.TaskGroup() as group:
                for courier in self.couriers:
                    group.create_task(keep(f"events.{courier.name}", courier.run))
        finally:
            if self._close is not None:
                await self._close()
