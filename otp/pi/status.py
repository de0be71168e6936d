"""Say how the service is: one snapshot for ``/readyz``, ``/metrics``, the control socket and the live view."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol

from broker.logs import describe
from broker.version import __version__
from otp.pi.inputs.base import InputStatus
from otp.pi.journal import StorageError
from otp.pi.model import WAITING, State
from otp.pi.modems.status import ModemState, ModemStatus

JOURNAL_TIME = 5.0
"""Seconds after which a journal that does not answer counts as failed."""

_OPEN: Final = (*sorted(WAITING), State.UNKNOWN)
"""States of messages that are still kept with their body."""


class Row(Protocol):
    """What is needed of a row of the journal."""

    @property
    def arrived(self) -> float:
        """Unix seconds."""
        ...


class Journal(Protocol):
    """What is needed of the journal."""

    async def counts(self) -> Mapping[State, int]:
        """Return how many messages are in each state."""
        ...

    async def check(self) -> None:
        """Raise ``StorageError`` when nothing can be stored."""
        ...

    async def rows(self, *, limit: int, after: int | None, state: State | None) -> Sequence[Row]:
        """Return rows, with ``after`` those that follow a number, oldest first."""
        ...


class Input(Protocol):
    """What is needed of a way in."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def topic(self) -> str:
        """What commands come from."""
        ...

    @property
    def status(self) -> InputStatus:
        """How it is now."""
        ...


class MailStatus(Protocol):
    """How a mail account stands; a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """What it is called."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InputView:
    """A way in and how it is."""

    name: str
    topic: str
    status: InputStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How the service is at one moment.

    Attributes:
        version: Of the program.
        started: Unix seconds.
        uptime: Seconds since then.
        stopping: Whether it finishes what is under way and takes nothing new.
        inputs: Every configured way in that is active.
        modems: Every configured modem.
        mail: Every mail account.
        queue: State to number of messages that wait or are unknown.
        oldest_waiting: Seconds since the oldest of those that wait arrived; 0 when none waits.
        journal_error: Why the journal could not be asked; empty when it answered.
        events: What happened last, oldest first.
    """

    version: str
    started: float
    uptime: float
    stopping: bool
    inputs: tuple[InputView, ...]
    modems: tuple[ModemStatus, ...]
    mail: tuple[MailStatus, ...]
    queue: Mapping[str, int]
    oldest_waiting: float
    journal_error: str
    events: tuple[Mapping[str, Any], ...]

    def reasons(self) -> list[str]:
        """Return why the service is not ready, each reason with the name of what is at fault; none when it is."""
        found = ["it is stopping"] if self.stopping else []
        if self.journal_error:
            found.append(f"the journal failed: {self.journal_error}")
        found += [
            _about(f"modem {each.name}", _trouble(each.state), each.detail) for each in self.modems if _down(each)
        ]
        found += [
            _about(f"input {each.name}", "not connected", each.status.detail)
            for each in self.inputs
            if not each.status.connected
        ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return all of it by name, ready for JSON but for what fields of events may hold."""
        reasons = self.reasons()
        return {
            "version": self.version,
            "ready": not reasons,
            "reasons": reasons,
            "started": self.started,
            "uptime": self.uptime,
            "inputs": [{"name": each.name, "topic": each.topic, **asdict(each.status)} for each in self.inputs],
            "modems": [each.to_dict() for each in self.modems],
            "mail": [asdict(each) for each in self.mail],
            "queue": dict(self.queue),
            "oldest_waiting": self.oldest_waiting,
            "events": [dict(each) for each in self.events],
        }


def _down(modem: ModemStatus) -> bool:
    return modem.active and modem.state is not ModemState.READY


def _trouble(state: ModemState) -> str:
    return state.value.replace("_", " ")


def _about(what: str, trouble: str, detail: str) -> str:
    return f"{what} is {trouble}: {detail}" if detail else f"{what} is {trouble}"


class Status:
    """Ask everybody how they are.

    Args:
        journal: For what waits.
        inputs: Returns the ways in.
        modems: Returns how each modem is.
        mail: Returns how each mail account stands.
        events: Returns what happened last.
        clock: Returns Unix seconds.

    Attributes:
        stopping: Set once the service takes nothing new.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        inputs: Callable[[], Sequence[Input]] = lambda: (),
        modems: Callable[[], Sequence[ModemStatus]] = lambda: (),
        mail: Callable[[], Sequence[MailStatus]] = lambda: (),
        events: Callable[[], Sequence[Mapping[str, Any]]] = lambda: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._inputs = inputs
        self._modems = modems
        self._mail = mail
        self._events = events
        self._clock = clock
        self._started = clock()
        self._ticks = time.monotonic()
        self.stopping = False

    async def snapshot(self) -> Snapshot:
        """Return how everybody is now; a journal that fails is told of, not raised."""
        queue, oldest, trouble = await self._ask_journal()
        inputs = [InputView(name=each.name, topic=each.topic, status=each.status) for each in self._inputs()]
        return Snapshot(
            version=__version__,
            started=self._started,
            uptime=time.monotonic() - self._ticks,
            stopping=self.stopping,
            inputs=tuple(inputs),
            modems=tuple(self._modems()),
            mail=tuple(self._mail()),
            queue=queue,
            oldest_waiting=oldest,
            journal_error=trouble,
            events=tuple(self._events()),
        )

    async def ready(self) -> tuple[bool, list[str]]:
        """Return whether all that is configured works, and if not, what does not."""
        reasons = (await self.snapshot()).reasons()
        return not reasons, reasons

    async def _ask_journal(self) -> tuple[dict[str, int], float, str]:
        """Return what waits, the age of the oldest in seconds, and what went wrong."""
        try:
            async with asyncio.timeout(JOURNAL_TIME):
                counts = await self._journal.counts()
                queue = {str(state): counts.get(state, 0) for state in _OPEN}
                return queue, await self._oldest(counts), await self._write_trouble()
        except StorageError as error:
            return {}, 0.0, str(error)
        except TimeoutError:
            return {}, 0.0, f"no answer within {JOURNAL_TIME:g} s"
        except Exception as error:  # noqa: BLE001 - a journal that fails in whatever way is what is to be told
            return {}, 0.0, describe(error)

    async def _write_trouble(self) -> str:
        """Return why nothing can be stored: a full disk can still be read."""
        try:
            await self._journal.check()
        except StorageError as error:
            return str(error)
        return ""

    async def _oldest(self, counts: Mapping[State, int]) -> float:
        arrived: list[float] = []
        for state in WAITING:
            if counts.get(state):
                arrived += [row.arrived for row in await self._journal.rows(limit=1, after=0, state=state)]
        return max(0.0, self._clock() - min(arrived)) if arrived else 0.0
