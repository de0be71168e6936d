"""Bring received messages and delivery reports to the driver as ``+CNMI`` and ``+CSMS`` say (27.005, 3.4.1)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from otp.pi.emulator.knobs import Knobs
from otp.pi.emulator.session import Session
from otp.pi.emulator.sim import SimCard
from otp.pi.emulator.timers import Timers

_LONGEST_QUEUE = 1000


@dataclass(frozen=True, slots=True)
class _Waiting:
    pdu: str
    length: int
    is_report: bool


class Incoming:
    """What the network holds for a modem until it can have it."""

    def __init__(self, sim: SimCard, knobs: Knobs, timers: Timers, emit: Callable[[str], None]) -> None:
        self._sim = sim
        self._knobs = knobs
        self._timers = timers
        self._emit = emit
        self._queue: deque[_Waiting] = deque(maxlen=_LONGEST_QUEUE)
        self._session: Session | None = None
        self._unacknowledged: _Waiting | None = None

    def attach(self, session: Session | None) -> None:
        """Work with a modem that was switched on; ``None`` is off, and what it did not acknowledge comes again."""
        if self._unacknowledged is not None:
            self._queue.appendleft(self._unacknowledged)
            self._unacknowledged = None
        self._session = session
        self.flush()

    def add(self, pdu: str, length: int, *, is_report: bool = False) -> None:
        """Take a message or report from the network."""
        self._queue.append(_Waiting(pdu, length, is_report))
        self.flush()

    def acknowledge(self) -> bool:
        """Take a ``+CNMA``; false when nothing waits for one."""
        if self._unacknowledged is None:
            return False
        self._unacknowledged = None
        self.flush()
        return True

    def flush(self) -> None:
        """Hand over what can be handed over now."""
        if self._session is None or self._sim.trouble:
            return
        for waiting in list(self._queue):
            if self._unacknowledged is None and self._hand_over(waiting, self._session):
                self._queue.remove(waiting)

    def _hand_over(self, waiting: _Waiting, session: Session) -> bool:
        _, mt, _, ds, _ = session.routing
        if waiting.is_report and ds == 0:
            return False
        name = "+CDS" if waiting.is_report else "+CMT"
        direct = ds == 1 if waiting.is_report else mt in {2, 3}
        if direct:
            self._emit(f"{name}: {'' if waiting.is_report else ','}{waiting.length}\r\n{waiting.pdu}")
            self._expect_acknowledgement(waiting, session)
            return True
        if self._sim.full:
            return False
        slot = self._sim.keep(waiting.pdu, waiting.length)
        if waiting.is_report or mt:
            self._emit(f'{name}I: "SM",{slot}')
        return True

    def _expect_acknowledgement(self, waiting: _Waiting, session: Session) -> None:
        if session.service != 1:
            return
        self._unacknowledged = waiting

        def give_up() -> None:
            if self._unacknowledged is waiting and self._session is session:
                session.routing[1] = session.routing[3] = 0
                self._unacknowledged = None
                self._queue.appendleft(waiting)

        self._timers.later(self._knobs.acknowledge_within, give_up)
