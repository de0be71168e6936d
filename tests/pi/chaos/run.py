"""Play a plan: two servers, the OTP-Pi, two modems, two applications, and somebody who kills them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from otp.pi.journal import Row
from tests.pi.chaos.journal import is_open, read, stored
from tests.pi.chaos.plan import PARTS, ROADS, Blow, Plan, Round, Text
from tests.pi.chaos.processes import Modems, Pi, become
from tests.pi.chaos.publishers import AmqpPublisher, MqttPublisher, Publisher, command, hushed
from tests.pi.chaos.verdict import Published, Verdict, judge
from tests.publisher import certificates as certificate_files
from tests.publisher import rigs
from tests.publisher.servers import HOST, PASSWORD, MosquittoServer, RabbitServer, Server

TOPIC = "sms"
NETWORK_DELAY = 0.1
"""Seconds that the network takes for an SMS."""

SETTLE_TIME = 60.0
"""Seconds in which everything that was published must have ended once nobody kills any more."""

_CODE = re.compile(r"(?<![\w.])\d{6}(?![\w.])")
_LOOK = 0.002
"""Seconds between two looks at a meter: less than it takes to store a message."""

_LAST = Text(-1, "+6281299999999", "the end", 3600, ROADS)
"""Published last on both roads: when it is stored, so is all before it."""


@dataclass(slots=True)
class Report:
    """How it went."""

    seed: int
    verdict: Verdict
    kills: dict[str, int]
    published_again: int
    seconds: float
    settled: float

    def __str__(self) -> str:
        kills = ", ".join(f"{part} {count}" for part, count in self.kills.items())
        lines = [
            f"seed {self.seed}: {self.seconds:.0f} s, the last {self.settled:.0f} s of them in peace",
            f"kills: {kills}; {self.published_again} publications repeated for want of a confirm",
            str(self.verdict),
            *self.verdict.faults,
        ]
        return "\n".join(lines)


class Stage:
    """Everything that runs.

    Attributes:
        published: Receiver -> message, of all that were ever published.
    """

    def __init__(self, directory: Path) -> None:
        for name in ("certificates", "rabbit", "mosquitto", "modems"):
            (directory / name).mkdir()
        certificates = certificate_files.make(directory / "certificates")
        self.rabbit = RabbitServer(directory / "rabbit", certificates)
        self.mosquitto = MosquittoServer(directory / "mosquitto", certificates)
        self.modems = Modems(directory / "modems", 2, delay=NETWORK_DELAY)
        self.pi = Pi(directory / "pi", [*self._roads(), *self.modems.tables()])
        self.publishers: dict[str, Publisher] = {
            "amqp": AmqpPublisher(self.rabbit.port, TOPIC),
            "mqtt": MqttPublisher(self.mosquitto.port, TOPIC),
        }
        self.published: dict[str, Published] = {}
        self.kills = dict.fromkeys(PARTS, 0)
        self._meters: dict[str, Callable[[], int]] = {
            "confirmed-amqp": lambda: self.publishers["amqp"].confirmed,
            "confirmed-mqtt": lambda: self.publishers["mqtt"].confirmed,
            "stored": lambda: stored(self.pi.data_dir),
            "sent": self.modems.sent,
        }

    def _roads(self) -> list[str]:
        account = f'host = "{HOST}"\nusername = "{rigs.USER}"\npassword = "{PASSWORD}"\ntopic = "{TOPIC}"\n'
        common = f'{account}reconnect_longest = "1s"\n'
        return [
            f"[[amqp]]\nport = {self.rabbit.port}\ndurable = true\n{common}",
            f"[[mqtt]]\nport = {self.mosquitto.port}\n{common}",
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; in the end nothing is left."""
        async with AsyncExitStack() as stack:
            stack.enter_context(hushed())
            stack.callback(self.modems.close)
            stack.callback(self.pi.close)
            stack.callback(self.mosquitto.kill)
            stack.callback(self.rabbit.close)
            self.modems.start()
            await asyncio.gather(asyncio.to_thread(self.rabbit.start), asyncio.to_thread(self.mosquitto.start))
            self.pi.start()
            # From here on the servers keep for the Pi what comes while it is away.
            await become(lambda: self.pi.connected(*ROADS), "both roads connected", self.pi)
            tasks = [asyncio.create_task(each.run()) for each in self.publishers.values()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    # -- applications

    def publish(self, text: Text) -> None:
        """Have a message published on all its roads."""
        deadline = int(time.time()) + text.life
        self.published[text.receiver] = Published(
            receiver=text.receiver, text=text.text, deadline=deadline, hasty=text.hasty
        )
        for road in text.roads:
            self.publishers[road].publish(command(text, deadline))

    # -- the one who kills

    async def suffer(self, blow: Blow) -> None:
        """Wait for the moment of a blow, let it fall, and start again who was hit."""
        passed = self._meters[blow.meter]
        enough, deadline = passed() + blow.messages, time.monotonic() + blow.after
        while time.monotonic() < deadline and passed() < enough:  # noqa: ASYNC110 - a file that another process writes
            await asyncio.sleep(_LOOK)
        await self._kill(blow.part)
        self.kills[blow.part] += 1
        await asyncio.sleep(blow.down)
        await self._start(blow.part)

    async def _kill(self, part: str) -> None:
        if part == "pi":
            self.pi.kill()
        elif part == "modems":
            self.modems.kill()
        elif part == "rabbit":
            await asyncio.to_thread(self.rabbit.kill)
        else:
            await asyncio.to_thread(self.mosquitto.stop)  # it writes down what it has on TERM alone

    async def _start(self, part: str) -> None:
        servers: dict[str, Server] = {"rabbit": self.rabbit, "mosquitto": self.mosquitto}
        if part in servers:
            await asyncio.to_thread(servers[part].start)
        else:
            (self.pi if part == "pi" else self.modems).start()

    # -- what happened

    async def rows(self) -> list[Row]:
        """Return all rows of the journal."""
        return await read(self.pi.data_dir)

    async def settled(self) -> bool:
        """Tell whether all that was published is stored, and all that is stored has ended."""
        if not all(each.done for each in self.publishers.values()):
            return False
        rows = await self.rows()
        return not any(is_open(row) for row in rows) and {row.receiver for row in rows} >= self.published.keys()


async def play(plan: Plan, directory: Path, say: Callable[[str], None] = lambda _line: None) -> Report:
    """Play a plan, and judge.

    Args:
        plan: What to send and to kill.
        directory: An empty one, for everything there is.
        say: Told how it goes.
    """
    stage = Stage(directory)
    started = time.monotonic()
    async with stage.running():
        say(f"seed {plan.seed}: everything runs")
        for place, each in enumerate(plan.rounds, 1):
            await _play_round(stage, each)
            seconds = time.monotonic() - started
            say(f"round {place} of {len(plan.rounds)}: {stage.modems.sent()} SMS sent, {seconds:.0f} s")
        peace = time.monotonic()
        trouble = await _make_peace(stage)
    ended = time.monotonic()
    verdict = judge(stage.published.values(), await stage.rows(), stage.modems.parts())
    verdict.faults += trouble + _leaks(stage)
    again = sum(each.repeated for each in stage.publishers.values())
    return Report(plan.seed, verdict, stage.kills, again, ended - started, ended - peace)


async def _play_round(stage: Stage, each: Round) -> None:
    async def publish() -> None:
        start = time.monotonic()
        for at, text in sorted(each.texts, key=lambda timed: timed[0]):
            await asyncio.sleep(at - (time.monotonic() - start))
            stage.publish(text)

    async def suffer(blows: tuple[Blow, ...]) -> None:
        for blow in blows:
            await stage.suffer(blow)

    async with asyncio.TaskGroup() as group:
        group.create_task(publish())
        for blows in each.blows.values():
            group.create_task(suffer(blows))


async def _make_peace(stage: Stage) -> list[str]:
    """Let everything come to its end, then stop and start the Pi once more; return what went wrong."""
    trouble = []
    stage.publish(_LAST)
    if not await _settles(stage):
        trouble.append(f"not settled within {SETTLE_TIME:g} s; the Pi's last words:\n{stage.pi.tail()}")
        return trouble
    code = await asyncio.to_thread(stage.pi.stop)
    if code != 0:
        trouble.append(f"the Pi ended with {code}:\n{stage.pi.tail()}")
    stage.pi.start()
    await become(lambda: stage.pi.connected(*ROADS), "both roads connected again", stage.pi)
    if not await _settles(stage):
        trouble.append("not settled after another start")
    await asyncio.to_thread(stage.pi.stop)
    return trouble


async def _settles(stage: Stage) -> bool:
    deadline = time.monotonic() + SETTLE_TIME
    while not await stage.settled():
        assert stage.pi.running(), f"the Pi ended by itself:\n{stage.pi.tail()}"
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.2)
    return True


def _leaks(stage: Stage) -> list[str]:
    """Return what stands in the Pi's log that must not: lines that are not its own, and texts of messages."""
    log = stage.pi.output.read_text("utf-8")
    foreign = [line for line in log.splitlines() if not line.startswith("{")]
    codes = {code for each in stage.published.values() for code in _CODE.findall(each.text)}
    told = sorted(codes.intersection(_CODE.findall(log)))
    faults = [f"{len(foreign)} lines of others in the log, such as {foreign[0]!r}"] if foreign else []
    return faults + ([f"{len(told)} codes in the log, such as {told[0]}"] if told else [])
