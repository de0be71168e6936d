"""`path`: from the publisher's library through the broker and the OTP-Pi to the telephone behind an emulated modem.

The modems exist in software and cost nothing but their serial lines, so that what is measured is ours; with a delay as
long as a real network's it shows what modems cost, and that four send four times as fast as one.
"""

import argparse
import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.budget import BenchError
from bench.context import Context
from bench.cpu import CpuReader
from bench.machine import Cores
from bench.otp_pi import TOPIC, OtpPi, Telephones, otp_pi
from bench.peers import Peer
from bench.process import Running, running
from bench.report import Table, number, percent, progress
from bench.selection import BASELINE
from bench.stats import distribution, median, tail
from otp.publisher import AsyncPublisher
from otp.publisher.config import load

BUDGET = 180.0
QUICK_BUDGET = 60.0
NETWORK_DELAY = 3.0
"""Seconds a real network takes for an SMS, about."""

QUICK_DELAY = 0.5
_ANSWER_SECONDS = 60.0
_START_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Way:
    """What is measured.

    Attributes:
        modems: How many there are.
        delay: Seconds the network takes for each SMS.
        at_once: Messages on their way at the same time.
        seconds: How long; 0 sends ``at_once`` messages and waits for the last.
    """

    modems: int
    delay: float
    at_once: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Walk:
    """Some seconds of messages along the path."""

    way: Way
    round: int
    milliseconds: list[float]
    """From the call of the publisher's method until the telephone shows the message."""
    wall: float
    broker_cpu: float
    pi_cpu: float
    load_cpu: float


def _publisher(broker: Running) -> AsyncPublisher:
    (user, password) = broker.peer.accounts[0]
    keywords = {"method": "WS", "host": "127.0.0.1", "port": broker.port, "topic": TOPIC, "path": "/ws"}
    codes = {"manage_otp": True, "store": "memory"}
    settings = load(environment={}, keywords={**keywords, **codes, "username": user, "password": password})
    return AsyncPublisher(settings=settings)


class _Path:
    """One publisher, all telephones, and the messages on their way between them, by their text."""

    def __init__(self, publisher: AsyncPublisher, telephones: Telephones) -> None:
        self._publisher = publisher
        self._telephones = telephones
        self._sent: dict[str, float] = {}
        self._number = 0
        self.milliseconds: list[float] = []

    async def walk(self, at_once: int, seconds: float) -> None:
        """Keep some messages on their way for a while, at least once, and wait for the last."""
        self.milliseconds = []
        until = time.perf_counter() + seconds
        while not self.milliseconds or time.perf_counter() < until:
            async with asyncio.timeout(_ANSWER_SECONDS):
                sending = [self._send() for _ in range(at_once)]
                await asyncio.gather(self._receive(at_once), *sending)

    async def _send(self) -> None:
        self._number += 1
        text = f"Your code is {self._number:06}"
        self._sent[text] = time.perf_counter()
        result = await self._publisher.send_sms(receiver="081234567890", message=text)
        if not result.ok:
            raise BenchError(f"the publisher's message was not taken: {result.response_code}")

    async def _receive(self, count: int) -> None:
        for _ in range(count):
            text = await self._telephones.hear()
            now = time.perf_counter()
            if (began := self._sent.pop(text, None)) is None:
                raise BenchError("a telephone received a message that is not on its way")
            self.milliseconds.append((now - began) * 1e3)


async def walk(broker: Running, cores: Cores, ways: list[Way], turn: int) -> list[Walk]:
    """Send messages each way and time every one; all ways have the same modems."""
    first = ways[0]
    async with (
        otp_pi(broker, cores, modems=first.modems, delay=first.delay) as pi,
        _publisher(broker) as publisher,
    ):
        path = _Path(publisher, pi.telephones)
        await path.walk(1, first.seconds / 4)
        return [await _timed(path, pi, CpuReader(broker.pid, cores.broker), way, turn) for way in ways]


async def _timed(path: _Path, pi: OtpPi, reader: CpuReader, way: Way, turn: int) -> Walk:
    cpu, pi_cpu, own, began = reader.seconds(), pi.cpu.seconds(), time.process_time(), time.perf_counter()
    await path.walk(way.at_once, way.seconds)
    wall = time.perf_counter() - began
    used = (reader.seconds() - cpu, pi.cpu.seconds() - pi_cpu, time.process_time() - own)
    return Walk(way, turn, path.milliseconds, wall, *used)


class Walks:
    """Modems that cost nothing, one message at a time and several; then one and four as slow as real ones."""

    def __init__(self, context: Context) -> None:
        self.context = context
        seconds, delay = (1.0, QUICK_DELAY) if context.quick else (3.0, NETWORK_DELAY)
        fast = [Way(1, 0.0, at_once, seconds) for at_once in (1, 16)]
        slow = [[Way(modems, delay, 3 * modems, 0.0)] for modems in (1, 4)]
        self.ways = [*([fast] * (1 if context.quick else 3)), *slow]
        self.walks: list[Walk] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return sum(_START_SECONDS + sum(max(way.seconds * 1.2, 4 * way.delay) for way in ways) for ways in self.ways)

    def measure_all(self) -> None:
        """Walk the path, way by way."""
        (peer,) = self.context.selection.peers
        for turn, ways in enumerate(self.ways):
            with running(peer, self.context.cores.broker) as broker:
                for taken in asyncio.run(walk(broker, self.context.cores, ways, turn)):
                    self._note(taken)

    def _note(self, taken: Walk) -> None:
        self.walks.append(taken)
        way = taken.way
        progress(
            f"path, {way.modems} modems, network {way.delay:g} s, {way.at_once} at once  "
            f"p50 {number(tail(taken.milliseconds, 50))} ms, p99 {number(tail(taken.milliseconds, 99))} ms"
        )

    def document(self) -> dict[str, Any]:
        """Return every walk for the JSON file."""
        runs = []
        for taken in self.walks:
            document = asdict(taken)
            samples = document.pop("milliseconds")
            way, spots = document.pop("way"), distribution(samples)
            runs.append({**way, **document, "messages": len(samples), "milliseconds": spots})
        return {"runs": runs, "ends_at": "the telephone behind an emulated modem"}

    def tables(self) -> list[Table]:
        """Return the table."""
        groups: dict[Way, list[Walk]] = {}
        for taken in self.walks:
            groups.setdefault(taken.way, []).append(taken)
        head = (
            "modems", "network s", "messages at once", "messages/s", "p50 ms", "p99 ms", "broker CPU us each",
            "OTP-Pi CPU us each", "OTP-Pi CPU", "publisher CPU",
        )  # fmt: skip
        note = (
            "From the publisher over WebSocket, the broker and the OTP-Pi (journal on the disk) to the telephone "
            "behind an emulated modem. The OTP-Pi shares the broker's core, the modems share the publisher's."
        )
        return [Table.of("The whole path", head, [_row(group) for group in groups.values()], [note])]


def _row(group: list[Walk]) -> list[str]:
    samples = [sample for taken in group for sample in taken.milliseconds]
    way = group[0].way
    return [
        str(way.modems),
        f"{way.delay:g}",
        str(way.at_once),
        number(median([len(taken.milliseconds) / taken.wall for taken in group])),
        *(number(tail(samples, level)) for level in (50, 99)),
        number(median([taken.broker_cpu / len(taken.milliseconds) * 1e6 for taken in group])),
        number(median([taken.pi_cpu / len(taken.milliseconds) * 1e6 for taken in group])),
        percent(median([taken.pi_cpu / taken.wall for taken in group])),
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
