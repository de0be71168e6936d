"""Commands with a real journal and real codes, and doubles for the outbox and the modems."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from otp.issuing import Codes
from otp.numbers import Numbers
from otp.pi import settings
from otp.pi.callbacks import Callbacks
from otp.pi.commands import Commands
from otp.pi.counts import Counts
from otp.pi.guards import Guards
from otp.pi.journal import Journal, Row
from otp.pi.model import Origin, Outcome, State
from otp.pi.modems.news import UssdAnswer
from otp.pi.modems.status import ModemState, ModemStatus, NotSentError
from otp.pi.sending import Sending
from otp.pi.telephony import Telephony
from otp.store import OtpPolicy, memory_store

NOW = 1_795_000_000.0
RECEIVER = "08126666666"
E164 = "+628126666666"


class FakeOutbox:
    """An outbox that ends messages as it is told.

    Attributes:
        end: How every message ends; ``None`` never ends.
        texts: Bodies of the messages that were asked for, by row.
        woken: How often it was woken.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.end: Callable[[int], Outcome] | None = lambda number: Outcome(
            number=number, state=State.SENT, modem="one", references=(7,)
        )
        self.texts: dict[int, str] = {}
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1

    async def outcome(self, number: int) -> Outcome:
        self.texts[number] = (await self.journal.message(number)).text
        if self.end is None:
            await asyncio.get_running_loop().create_future()
        assert self.end is not None
        return self.end(number)

    async def give_up(self, number: int, reason: str) -> bool:
        await self.journal.fail(number, reason)
        return True


class FakeModem:
    def __init__(self, name: str) -> None:
        self.name = name
        self.answer: UssdAnswer | NotSentError = UssdAnswer(text="Pulsa: 10", raw="+CUSD", replyable=True, dcs=15)
        self.asked: list[str] = []

    async def ussd(self, code: str) -> UssdAnswer:
        self.asked.append(code)
        if isinstance(self.answer, NotSentError):
            raise self.answer
        return self.answer


class FakePool:
    """Modems that are as they are told to be."""

    def __init__(self) -> None:
        self.modems = {"one": FakeModem("one")}
        self.state = ModemState.READY
        self.configured = True
        self.signal: int | None = 18

    def statuses(self) -> list[ModemStatus]:
        return [
            ModemStatus(name=name, state=self.state, registered=True, signal=self.signal, imei="35", port="/dev/x")
            for name in self.modems
        ]

    def find(self, modem_id: str) -> FakeModem | None:
        return self.modems.get(modem_id)

    def usable(self, receiver: str) -> bool:
        return self.state is ModemState.READY


class Desk:
    """Commands, and what they work with.

    Attributes:
        now: Unix seconds.
        published: Answers on topics.
        counts: Where commands are counted.
        refused: Scopes of the guards that refused.
    """

    def __init__(self, journal: Journal, guards: settings.Guards, answer_timeout: float) -> None:
        self.now = NOW
        self.journal = journal
        self.outbox = FakeOutbox(journal)
        self.pool = FakePool()
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.counts = Counts()
        self.refused: list[str] = []
        self.numbers = Numbers(region="ID")
        self.store = memory_store(policy=OtpPolicy(), numbers=self.numbers, clock=lambda: self.now)
        self.callbacks = Callbacks({"sms"})
        sending = Sending(
            journal,
            self.outbox,
            self.pool,
            self.numbers,
            Guards(guards, self.numbers),
            clock=lambda: self.now,
            refused=lambda scope, _origin: self.refused.append(scope),
        )
        self.commands = Commands(
            sending=sending,
            codes=Codes(self.store),
            journal=journal,
            modems=Telephony(self.pool),
            numbers=self.numbers,
            callbacks=self.callbacks,
            offset=300.0,
            answer_timeout=answer_timeout,
            clock=lambda: self.now,
            counts=self.counts,
        )
        self.road = Origin(road="amqp", reply=self._publish)

    async def _publish(self, topic: str, payload: bytes) -> None:
        self.published.append((topic, json.loads(payload)))

    async def ask(self, command: str, /, **data: Any) -> dict[str, Any]:
        """Ask over HTTP."""
        return await self.commands.ask(self.payload(command, **data), Origin(road="rest", user="app"))

    async def take(self, command: str, /, callback: str = "", **data: Any) -> None:
        """Take from a road."""
        await self.commands.take(self.payload(command, callback, **data), self.road)

    def payload(self, command: str, callback: str = "", **data: Any) -> bytes:
        request: dict[str, Any] = {"command": command, "data": {"date_time": int(self.now), **data}}
        if callback:
            request |= {"callback_topic": callback, "callback_delay": 0}
        return json.dumps(request).encode()

    async def last(self) -> Row:
        """Return the newest row."""
        return (await self.journal.rows(limit=1))[0]

    async def states(self) -> list[State]:
        """Return the states of all rows, the oldest first."""
        return [row.state for row in await self.journal.rows(limit=100, after=0)]


@asynccontextmanager
async def desk(
    directory: Path, *, guards: settings.Guards | None = None, answer_timeout: float = 10.0
) -> AsyncIterator[Desk]:
    """Open a desk."""
    made: list[Desk] = []
    journal = await Journal.open(directory, clock=lambda: made[0].now if made else NOW)
    try:
        made.append(Desk(journal, guards or settings.Guards(), answer_timeout))
        yield made[0]
        await made[0].commands.close()
    finally:
        await journal.close()
