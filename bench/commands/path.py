"""`path`: from the publisher's library through the broker to a subscriber that stands in for the OTP-Pi.

The modems' part joins when the OTP-Pi is part of the project: until then the way ends where it would take the message.
"""

import argparse
import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.budget import BenchError
from bench.context import Context
from bench.cpu import CpuReader
from bench.peers import Peer
from bench.process import Running, running
from bench.report import Table, number, percent, progress
from bench.selection import BASELINE
from bench.stats import median, percentile
from otp.messages import Command
from otp.publisher import AsyncPublisher
from otp.publisher.config import load

BUDGET = 120.0
QUICK_BUDGET = 60.0
AT_ONCE = (1, 16)
_TOPIC = "sms"
_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Walk:
    """Some seconds of messages along the path."""

    at_once: int
    round: int
    milliseconds: list[float]
    """From the call of the publisher's method until the stand-in has the message."""
    wall: float
    broker_cpu: float
    load_cpu: float


@asynccontextmanager
async def _stand_in(broker: Running) -> AsyncIterator[ClientConnection]:
    (user, password) = broker.peer.accounts[0]
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    url = f"ws://127.0.0.1:{broker.port}{broker.peer.target(_TOPIC)}"
    headers = {"Authorization": f"Basic {token}"}
    async with connect(url, additional_headers=headers, compression=None, proxy=None, ping_interval=None) as socket:
        yield socket


def _publisher(broker: Running) -> AsyncPublisher:
    (user, password) = broker.peer.accounts[0]
    keywords = {"method": "WS", "host": "127.0.0.1", "port": broker.port, "topic": _TOPIC, "path": "/ws"}
    settings = load(environment={}, keywords={**keywords, "username": user, "password": password})
    return AsyncPublisher(settings=settings)


class _Path:
    """One publisher, one stand-in, and the messages on their way between them, by their id."""

    def __init__(self, publisher: AsyncPublisher, stand_in: ClientConnection) -> None:
        self._publisher = publisher
        self._stand_in = stand_in
        self._sent: dict[str, float] = {}
        self._number = 0
        self.milliseconds: list[float] = []

    async def walk(self, at_once: int, seconds: float) -> None:
        """Keep some messages on their way for a while, and wait for the last."""
        self.milliseconds = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            async with asyncio.timeout(_ANSWER_SECONDS):
                sending = [self._send() for _ in range(at_once)]
                await asyncio.gather(self._receive(at_once), *sending)

    async def _send(self) -> None:
        self._number += 1
        reference = f"bench-{self._number}"
        self._sent[reference] = time.perf_counter()
        text = "Your code is 123456"
        result = await self._publisher.send_sms(receiver="081234567890", message=text, id=reference)
        if not result.ok:
            raise BenchError(f"the publisher's message was not taken: {result.response_code}")

    async def _receive(self, count: int) -> None:
        for _ in range(count):
            message = await self._stand_in.recv()
            now = time.perf_counter()
            reference = _reference(message)
            if (began := self._sent.pop(reference, None)) is None:
                raise BenchError(f"the stand-in received {reference!r}, which is not on its way")
            self.milliseconds.append((now - began) * 1e3)


def _reference(message: str | bytes) -> str:
    found = json.loads(message)
    if found.get("command") != Command.SEND_SMS:
        raise BenchError("the stand-in received something else than a text message")
    return str(found["data"]["id"])


async def walk(broker: Running, core: int, at_once: int, seconds: float, turn: int) -> Walk:
    """Send one message after the other, or some at once, and time each."""
    reader = CpuReader(broker.pid, core)
    async with _stand_in(broker) as stand_in, _publisher(broker) as publisher:
        path = _Path(publisher, stand_in)
        await path.walk(at_once, seconds / 4)
        cpu, own, began = reader.seconds(), time.process_time(), time.perf_counter()
        await path.walk(at_once, seconds)
        wall = time.perf_counter() - began
        return Walk(at_once, turn, path.milliseconds, wall, reader.seconds() - cpu, time.process_time() - own)


class Walks:
    """One message at a time, then several."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.rounds = 1 if context.quick else 3
        self.seconds = 1.0 if context.quick else 3.0
        self.walks: list[Walk] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return self.rounds * (1.0 + len(AT_ONCE) * self.seconds * 1.4)

    def measure_all(self) -> None:
        """Walk the path, round by round."""
        (peer,) = self.context.selection.peers
        core = self.context.cores.broker
        for turn in range(self.rounds):
            with running(peer, core) as broker:
                for at_once in AT_ONCE:
                    self._note(asyncio.run(walk(broker, core, at_once, self.seconds, turn)))

    def _note(self, taken: Walk) -> None:
        self.walks.append(taken)
        progress(
            f"path, {taken.at_once} at once, round {taken.round + 1}/{self.rounds}  "
            f"p50 {number(percentile(taken.milliseconds, 50))} ms, p99 {number(percentile(taken.milliseconds, 99))} ms"
        )

    def document(self) -> dict[str, Any]:
        """Return every walk for the JSON file."""
        runs = []
        for taken in self.walks:
            document = asdict(taken)
            samples = document.pop("milliseconds")
            spots = {str(level): percentile(samples, level) for level in (1, 50, 90, 99, 99.9, 100)}
            runs.append({**document, "messages": len(samples), "milliseconds": spots})
        return {"runs": runs, "ends_at": "a subscriber that stands in for the OTP-Pi"}

    def tables(self) -> list[Table]:
        """Return the table."""
        groups: dict[int, list[Walk]] = {}
        for taken in self.walks:
            groups.setdefault(taken.at_once, []).append(taken)
        head = (
            "messages at once", "way", "messages/s", "p50 ms", "p99 ms", "p99.9 ms", "broker CPU us each",
            "broker CPU", "publisher and stand-in CPU",
        )  # fmt: skip
        note = (
            "The OTP-Pi and its modems are not part of this yet: a subscriber stands in where it would take messages."
        )
        return [Table.of("The whole path", head, [_row(group) for group in groups.values()], [note])]


def _row(group: list[Walk]) -> list[str]:
    samples = [sample for taken in group for sample in taken.milliseconds]
    return [
        str(group[0].at_once),
        "publisher, broker, stand-in",
        number(median([len(taken.milliseconds) / taken.wall for taken in group])),
        *(number(percentile(samples, level)) for level in (50, 99, 99.9)),
        number(median([taken.broker_cpu / len(taken.milliseconds) * 1e6 for taken in group])),
        percent(median([taken.broker_cpu / taken.wall for taken in group])),
        percent(median([taken.load_cpu / taken.wall for taken in group])),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes: nothing."""
    del parser


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part: the publisher speaks to this broker."""
    return None if peer.name == BASELINE else "the path leads through this broker"


def prepare(context: Context, options: argparse.Namespace) -> Walks:
    """Set the measurement up for the options given."""
    del options
    return Walks(context)
