"""Do now and then what nobody waits for: forget what is old, and look whether a budget is nearly used up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol

from broker.logs import Log
from otp.pi import events
from otp.pi.guards import EVERYTHING, Alarm, Alarms
from otp.pi.model import Origin

SWEEP_EVERY: Final = 600.0
"""Seconds between two sweeps of journal and codes."""

LOOK_EVERY: Final = 10.0
"""Seconds between two looks at the totals: an alarm that is this late still comes long before the window ends."""

_LOG: Final = Log("otp.pi")
_TOTALS: Final[tuple[tuple[str, Literal["hour", "day"]], ...]] = (("total_hour", "hour"), ("total_day", "day"))


class Budgets(Protocol):
    """What is needed of the journal."""

    async def used(self, scope: str, name: str, span: Literal["hour", "day", "month"]) -> int:
        """Return what was counted in the present window."""
        ...

    async def sweep(self, keep: float) -> int:
        """Forget what is older than ``keep`` seconds."""
        ...


class Watch:
    """Raise alarms.

    Args:
        alarms: Decides which are due.
        budgets: Where messages are counted.
        emit: Tells others, see ``events.Events.emit``.
        clock: Returns Unix seconds.
    """

    def __init__(
        self, alarms: Alarms, budgets: Budgets, emit: Callable[[events.Event], None], clock: Callable[[], float]
    ) -> None:
        self._alarms = alarms
        self._budgets = budgets
        self._emit = emit
        self._clock = clock

    async def look(self) -> None:
        """Look at the totals.

        Raises:
            StorageError: The journal cannot be read.
        """
        used = {scope: await self._budgets.used(scope, EVERYTHING, span) for scope, span in _TOTALS}
        for alarm in self._alarms.near(used, self._clock()):
            self._raise(alarm)

    def refused(self, reason: str, origin: Origin) -> None:
        """Take note that a guard refused a message."""
        alarm = self._alarms.used_up(reason, origin.user or origin.road, self._clock())
        if alarm is not None:
            self._raise(alarm)

    def _raise(self, alarm: Alarm) -> None:
        told = {"scope": alarm.scope, "user": alarm.name or None, "used": alarm.used, "limit": alarm.limit}
        _LOG.warning(alarm.event, **told)
        self._emit(events.alarm(alarm.event, self._clock(), **told))


async def every(
    seconds: float, work: Callable[[], Awaitable[object]], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Do something now and then, for ever; what it raises ends it.

    Args:
        seconds: Between two times.
        work: What is done.
        sleep: Waits; for tests.
    """
    while True:
        await sleep(seconds)
        await work()
