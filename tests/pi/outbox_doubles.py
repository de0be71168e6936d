"""Doubles for what the outbox works with: a clock and loop in virtual time, modems with a script, a journal in memory.

Time is virtual: when nothing is ready the loop's clock jumps to the next timer, so that an hour of back-off takes
milliseconds and no test depends on how fast the machine is.
"""

import asyncio
import selectors
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from otp.numbers import Numbers
from otp.pi import settings
from otp.pi.journal import Charge, Journal, StorageError, TransitionError
from otp.pi.model import FINAL, Channel, Message, Outcome, Priority, State
from otp.pi.modems.cms import kind
from otp.pi.modems.news import UssdAnswer
from otp.pi.modems.pool import Pool
from otp.pi.modems.status import ModemState, ModemStatus, NotSentError, OutcomeUnknownError
from otp.pi.outbox import Outbox

EPOCH = 1_763_800_000.0
"""Unix seconds at the beginning of virtual time."""

NUMBER = "+6281200000000"


class _Jump(selectors.DefaultSelector):
    """Wait by moving the clock instead of by waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.elsewhere = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        elsewhere = timeout is None or (self.elsewhere and timeout)
        ready = super().select(30.0 if elsewhere else 0.0)
        assert ready or not elsewhere, "nothing will ever happen"
        self.now += timeout if timeout and not ready else 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock runs as fast as there is nothing to do."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    async def wait_for(self, call: Awaitable[Any]) -> Any:
        """Wait for something that another thread does; meanwhile time stands still."""
        self._jump.elsewhere += 1
        try:
            return await call
        finally:
            self._jump.elsewhere -= 1


def virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run a test in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


def clock() -> float:
    """Return Unix seconds in virtual time."""
    return EPOCH + asyncio.get_running_loop().time()


@dataclass(frozen=True)
class Reply:
    """What a modem does with one part.

    Attributes:
        error: What it raises; ``None`` takes the part.
        after_body: It raises after it was given the body.
        taken: The network has the part although the modem raises.
        seconds: How long all that takes.
    """

    error: Exception | None = None
    after_body: bool = True
    taken: bool = False
    seconds: float = 4.0


def cms(code: int) -> Reply:
    """Return the reply of a modem or network that refuses."""
    return Reply(NotSentError(f"cms_{code}", cms=code, kind=kind(code)))


TAKEN = Reply()
NO_PROMPT = Reply(NotSentError("no_prompt"), after_body=False)
UNPLUGGED = Reply(NotSentError("unplugged"), after_body=False)
SILENCE = Reply(OutcomeUnknownError("no_result"), seconds=60.0)
SILENCE_BUT_TAKEN = Reply(OutcomeUnknownError("no_result"), taken=True, seconds=60.0)


class FakeModem:
    """A modem that answers as its script says, and takes everything after its end.

    Attributes:
        air: What the network has got from any modem of a rig: (row, part, modem, seconds).
        script: The next replies.
    """

    def __init__(self, table: settings.Modem, air: list[tuple[int, int, str, float]]) -> None:
        self.settings = table
        self.name = table.name
        self.air = air
        self.script: deque[Reply] = deque()
        self.then: Callable[[], Reply] = lambda: TAKEN
        self.on_change: Callable[[], None] = lambda: None
        self.state = ModemState.READY
        self.busy = False
        self.submitted: list[tuple[int, int]] = []
        self._reference = 0

    @property
    def status(self) -> ModemStatus:
        return ModemStatus(name=self.name, state=self.state, imei=f"35{self.name[-1]}", imsi=f"51{self.name[-1]}")

    def become(self, state: ModemState) -> None:
        self.state = state
        self.on_change()

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def submit(self, submit: Any, *, token: Any, before_body: Callable[[], Awaitable[None]]) -> int:
        assert not self.busy, "two parts at once on one modem"
        self.busy = True
        try:
            return await self._submit(token, before_body)
        finally:
            self.busy = False

    async def _submit(self, token: Any, before_body: Callable[[], Awaitable[None]]) -> int:
        reply = self.script.popleft() if self.script else self.then()
        self.submitted.append(tuple(token))
        await asyncio.sleep(reply.seconds / 2)
        if reply.error is not None and not reply.after_body:
            raise reply.error
        await before_body()
        await asyncio.sleep(reply.seconds / 2)
        if reply.error is None or reply.taken:
            self.air.append((token.number, token.part, self.name, asyncio.get_running_loop().time()))
        if reply.error is not None:
            raise reply.error
        self._reference = (self._reference + 1) % 256
        return self._reference

    async def ussd(self, code: str) -> UssdAnswer:
        return UssdAnswer(text="", raw="", replyable=False, dcs=None)


class StillJournal:
    """The real journal; while it works, virtual time stands still.

    Attributes:
        calls: Names of what was called, in order.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.journal, name)

        def call(*values: Any, **named: Any) -> Awaitable[Any]:
            self.calls.append(name)
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            return loop.wait_for(method(*values, **named))

        return call


@dataclass
class Row:
    """A row of the journal in memory."""

    message: Message
    reason: str = ""
    references: dict[int, int] = field(default_factory=dict)
    in_flight: int | None = None


class FakeJournal:
    """The promises of the journal in memory; it refuses steps that are out of order.

    Attributes:
        calls: What was called, in order: (name, row, ...).
        broken: Calls that fail from now on.
        fault: What they raise; ``None`` is a full disk.
        seconds: How long it takes to read a message.
    """

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.broken: set[str] = set()
        self.fault: Exception | None = None
        self.seconds = 0.0
        self.budgets: Counter[tuple[str, str, str]] = Counter()
        self.once: set[tuple[str, str, str, str]] = set()
        self.inbox: list[tuple[Any, ...]] = []

    def add(self, number: int = 0, *, deadline: float = 3600.0, receiver: str = NUMBER, **more: Any) -> int:
        number = number or len(self.rows) + 1
        values: dict[str, Any] = {
            "command": "send-sms",
            "channel": Channel.SMS,
            "receiver": receiver,
            "receiver_key": receiver,
            "text": "hello",
            "message_id": "",
            "road": "rest",
            "user": "alice",
            "arrived": EPOCH,
            "deadline": EPOCH + deadline,
            "priority": Priority.OTHER,
            "state": State.QUEUED,
        }
        self.rows[number] = Row(Message(number=number, **(values | more)))
        return number

    def state(self, number: int) -> State:
        return self.rows[number].message.state

    def _call(self, name: str, *values: Any) -> None:
        self.calls.append((name, *values))
        if name in self.broken:
            raise self.fault or StorageError("the disk is full")

    def _set(self, number: int, **values: Any) -> Row:
        row = self.rows[number]
        row.message = replace(row.message, **values)
        return row

    def _expect(self, number: int, *states: State) -> Row:
        if self.state(number) not in states or self._ended(number):
            raise TransitionError(f"row {number} is {self.state(number)}")
        return self.rows[number]

    async def waiting(self, limit: int, *, after: tuple[int, int] = (-1, 0)) -> list[Message]:
        self._call("waiting", limit, after)
        found = [row.message for row in self.rows.values() if self._waits(row)]
        found = [each for each in found if (each.priority, each.number) > after]
        return sorted(found, key=lambda each: (each.priority, each.number))[:limit]

    def _waits(self, row: Row) -> bool:
        return row.message.state in {State.QUEUED, State.ROUTED} or (
            row.message.state is State.UNKNOWN and row.reason != "outcome_unknown"
        )

    async def message(self, number: int) -> Message:
        self._call("message", number)
        found = self.rows[number].message
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return found

    async def outcome(self, number: int) -> Outcome | None:
        self._call("outcome", number)
        row = self.rows[number]
        return self._outcome(row) if self._ended(number) else None

    def _outcome(self, row: Row) -> Outcome:
        return Outcome(
            number=row.message.number,
            state=row.message.state,
            modem=row.message.modem,
            reason=row.reason,
            references=tuple(row.references.values()),
            possible_duplicate=row.message.possible_duplicate,
        )

    def _ended(self, number: int) -> bool:
        row = self.rows[number]
        return row.message.state in FINAL or (row.message.state is State.UNKNOWN and not self._waits(row))

    async def routed(self, number: int, modem: str) -> None:
        self._call("routed", number, modem)
        self._expect(number, State.QUEUED, State.ROUTED)
        self._set(number, state=State.ROUTED, attempts=self.rows[number].message.attempts + 1)

    async def sending(self, number: int, modem: str, part: int, total: int) -> None:
        self._call("sending", number, modem, part, total)
        row = self._expect(number, State.ROUTED, State.SENDING)
        assert row.in_flight is None or row.message.channel is Channel.MAIL
        self._set(number, state=State.SENDING).in_flight = part

    async def part_sent(self, number: int, modem: str, part: int, reference: int) -> None:
        self._call("part_sent", number, modem, part, reference)
        row = self._expect(number, State.SENDING)
        assert row.in_flight == part
        row.in_flight = None
        row.references[part] = reference
        self._set(number, sent_parts=tuple(sorted({*row.message.sent_parts, part})), modem=modem)

    async def sent(self, number: int, modem: str) -> Outcome:
        self._call("sent", number, modem)
        row = self._expect(number, State.SENDING)
        assert row.in_flight is None
        row.reason = ""
        return self._outcome(self._set(number, state=State.SENT, modem=modem, text=""))

    async def unknown(self, number: int, modem: str, reason: str) -> None:
        self._call("unknown", number, modem, reason)
        row = self._expect(number, State.SENDING, State.UNKNOWN)
        row.reason, row.in_flight = reason, None
        self._set(number, state=State.UNKNOWN)

    async def retry(self, number: int, *, possible_duplicate: bool, keep_parts: bool) -> None:
        self._call("retry", number, possible_duplicate, keep_parts)
        row = self._expect(number, State.QUEUED, State.ROUTED, State.SENDING, State.UNKNOWN)
        row.in_flight = None
        parts = row.message.sent_parts if keep_parts else ()
        if not keep_parts:
            row.references.clear()
        self._set(number, state=State.QUEUED, possible_duplicate=possible_duplicate, sent_parts=parts)

    async def fail(self, number: int, reason: str, *, state: State = State.FAILED) -> Outcome:
        self._call("fail", number, reason, state)
        row = self._expect(number, State.QUEUED, State.ROUTED, State.SENDING, State.UNKNOWN)
        row.reason, row.in_flight = reason, None
        return self._outcome(self._set(number, state=state, text=""))

    async def recover(self) -> str:
        self._call("recover")
        for number, row in self.rows.items():
            if row.message.state is State.ROUTED:
                self._set(number, state=State.QUEUED)
            elif row.message.state is State.SENDING:
                row.reason, row.in_flight = "interrupted", None
                self._set(number, state=State.UNKNOWN)
        return "all"

    async def expire(self) -> int:
        self._call("expire")
        late = [n for n, row in self.rows.items() if row.message.state is State.QUEUED and self._late(row)]
        for number in late:
            doubtful = self.rows[number].message.possible_duplicate
            state, reason = (State.UNKNOWN, "outcome_unknown") if doubtful else (State.EXPIRED, "expired")
            self._set(number, state=state).reason = reason
        return len(late)

    def _late(self, row: Row) -> bool:
        return row.message.deadline <= clock()

    async def charge(self, charges: Sequence[Charge], amount: int = 1) -> str | None:
        self._call("charge", *charges)
        for each in charges:
            if not self._counted(each) and self.budgets[each.scope, each.name, each.span] + amount > each.limit:
                return str(each.scope)
        for each in charges:
            if not self._counted(each):
                self.budgets[each.scope, each.name, each.span] += amount
                self.once |= {(each.scope, each.name, each.span, each.once_for)} if each.once_for else set()
        return None

    def _counted(self, each: Charge) -> bool:
        return (each.scope, each.name, each.span, each.once_for) in self.once

    async def used(self, scope: str, name: str, span: str) -> int:
        self._call("used", scope, name, span)
        return self.budgets[scope, name, span]


class Rig:
    """An outbox with modems and a journal of doubles, in virtual time.

    Args:
        modems: Names, or tables of the settings.
        mailer: See ``Outbox``.
        values: Of ``[sms]``.
    """

    def __init__(
        self,
        modems: Iterable[str | settings.Modem] = ("sim-1",),
        *,
        mailer: Any = None,
        journal: Any = None,
        drain_time: float = 10.0,
        **values: Any,
    ) -> None:
        self.air: list[tuple[int, int, str, float]] = []
        tables = [each if isinstance(each, settings.Modem) else table(each) for each in modems]
        self.modems = {each.name: FakeModem(each, self.air) for each in tables}
        self.journal: Any = journal or FakeJournal()
        sms = settings.Sms(**values)
        self.pool = Pool(list(self.modems.values()), sms, Numbers(), self.journal)
        self.outbox = Outbox(self.journal, self.pool, mailer, sms, clock=clock, drain_time=drain_time)
        self.task: asyncio.Task[None] | None = None

    def __getitem__(self, name: str) -> FakeModem:
        return self.modems[name]

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.outbox.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def ended(self, number: int) -> Outcome:
        """Return how a message ends; fails when it has not within two days of virtual time."""
        async with asyncio.timeout(172_800):
            return await self.outbox.outcome(number)

    def who(self, number: int) -> list[str]:
        """Return the modems that a message was sent through, in order."""
        return [modem for row, _, modem, _ in self.air if row == number]


def table(name: str, **values: Any) -> settings.Modem:
    """Return a table ``[[modem]]``."""
    return settings.Modem(name=name, port="emulate", **values)
