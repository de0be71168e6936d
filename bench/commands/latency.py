"""`latency`: the round trip of a well-behaved pair while a stranger floods another topic."""

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.budget import BenchError
from bench.connect import clients
from bench.context import Context
from bench.cpu import CpuReader
from bench.flood import MODES, QUIET
from bench.machine import Cores
from bench.peers import Peer
from bench.process import Running, running, spawn, stop
from bench.report import Table, number, percent, progress, ratio
from bench.stats import distribution, median, tail
from bench.wire import PLAIN, client_frame, numbered_payload, server_frame

BUDGET = 900.0
QUICK_BUDGET = 240.0
_INTERVAL = 0.002
_ANSWER_SECONDS = 15.0
_SIZE = 128
_MASK = b"\x0f\x1e\x2d\x3c"
_RAMP_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class Trips:
    """Round trips of the pair during one flood."""

    mode: str
    peer: str
    round: int
    milliseconds: list[float]
    unanswered: int
    """1 when the pair gave up waiting for an answer."""
    flood: dict[str, float]
    """What the flooder says: frames, seconds, cut_off."""
    broker_share: float
    """The broker's share of its core meanwhile, 0 to 1."""
    disturbed: float
    """Time the broker was kept from its core meanwhile, as a fraction: wall-clock figures suffer from it."""


def _exchange(sender: socket.socket, receiver: socket.socket, number_: int) -> None:
    """Send one message and receive it at the other end, byte for byte."""
    payload = numbered_payload(number_ % 10**8, _SIZE)
    wanted = server_frame(payload)
    sender.sendall(client_frame(payload, mask=_MASK))
    got = b""
    while len(got) < len(wanted):
        received = receiver.recv(4096)
        if not received:
            raise BenchError("the broker closed a connection of the pair")
        got += received
    if got != wanted:
        raise BenchError(f"the pair read something else than was sent: {got[:64]!r}")


def round_trips(left: socket.socket, right: socket.socket, seconds: float) -> tuple[list[float], int]:
    """Play ball at a steady pace: there and back, each time in milliseconds; and how often none came back."""
    for end in (left, right):
        end.settimeout(_ANSWER_SECONDS)
    trips: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        try:
            _exchange(left, right, 2 * len(trips))
            _exchange(right, left, 2 * len(trips) + 1)
        except TimeoutError:
            return trips, 1
        now = time.perf_counter()
        trips.append((now - began) * 1e3)
        time.sleep(max(0.0, began + _INTERVAL - now))
    return trips, 0


@contextmanager
def _flooding(broker: Running, mode: str, core: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run the flooder beside the block."""
    arguments = [broker.peer.name, str(broker.port), mode, str(seconds)]
    flooder = spawn([sys.executable, "-m", "bench.flood", *arguments], core, subprocess.PIPE)
    try:
        if flooder.stdout is None or not flooder.stdout.readline():
            raise BenchError("the flooder did not start")
        yield flooder
    finally:
        stop(flooder)


def measure(broker: Running, mode: str, turn: int, cores: Cores, seconds: float) -> Trips:
    """Let the flood begin, then measure the pair while it lasts."""
    reader = CpuReader(broker.pid, cores.broker)
    with (
        clients(broker, "pair", 2) as (left, right),
        _flooding(broker, mode, cores.load, seconds + 2 * _RAMP_SECONDS) as flooder,
    ):
        time.sleep(_RAMP_SECONDS)
        began, cpu, disturbed = time.perf_counter(), reader.seconds(), reader.disturbed()
        trips, unanswered = round_trips(left, right, seconds)
        wall = time.perf_counter() - began
        shares = (reader.seconds() - cpu) / wall, (reader.disturbed() - disturbed) / wall
        said, _ = flooder.communicate(timeout=60)
    return Trips(mode, broker.peer.name, turn, trips, unanswered, json.loads(said), *shares)


class Latency:
    """Every flood against every peer, each time a fresh process."""

    def __init__(self, context: Context, modes: tuple[str, ...]) -> None:
        self.context = context
        self.modes = modes
        self.rounds = 1 if context.quick else 3
        self.seconds = 1.5 if context.quick else 3.0
        self.trips: list[Trips] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return self.rounds * len(self.modes) * len(self.context.selection.peers) * (self.seconds + 3.0)

    def measure_all(self) -> None:
        """Take turns: every mode, every peer, round by round."""
        for turn in range(self.rounds):
            for mode in self.modes:
                for peer in self.context.selection.peers:
                    self._measure_one(peer, mode, turn)

    def _measure_one(self, peer: Peer, mode: str, turn: int) -> None:
        cores = self.context.cores
        with running(peer, cores.broker) as broker:
            trips = measure(broker, mode, turn, cores, self.seconds)
        self.trips.append(trips)
        p99 = number(tail(trips.milliseconds, 99)) if trips.milliseconds else "no answer"
        progress(f"{mode:18} round {turn + 1}/{self.rounds}  {peer.name:11} p99 {p99} ms")

    def document(self) -> dict[str, Any]:
        """Return every flood for the JSON file, the round trips as a distribution."""
        return {"runs": [_trips_document(trips) for trips in self.trips]}

    def tables(self) -> list[Table]:
        """Return the table."""
        groups: dict[tuple[str, str], list[Trips]] = {}
        for trips in self.trips:
            groups.setdefault((trips.mode, trips.peer), []).append(trips)
        head = (
            "flood on another topic", "broker", "p50 ms", "p99 ms", "p99 by round", "worst ms", "p99, x quiet",
            "trips", "unanswered", "flood frames/s", "cut off",
            "broker CPU", "disturbed",
        )  # fmt: skip
        ordered = sorted(groups.items(), key=lambda item: self.modes.index(item[0][0]))
        rows = [_row(group, groups.get((QUIET, peer))) for (_, peer), group in ordered]
        return [Table.of("A pair's round trip beside a flood", head, rows)]


def _all(group: list[Trips]) -> list[float]:
    return [trip for trips in group for trip in trips.milliseconds]


def _row(group: list[Trips], quiet: list[Trips] | None) -> list[str]:
    trips = _all(group)
    p99, calm = tail(trips, 99), tail(_all(quiet or []), 99)
    by_round = [number(tail(part.milliseconds, 99)) for part in group]
    return [
        group[0].mode,
        group[0].peer,
        number(tail(trips, 50)),
        number(p99),
        " ".join(by_round),
        number(tail(trips, 100)),
        "-" if p99 is None else ratio(p99, calm),
        str(len(trips)),
        str(sum(part.unanswered for part in group)),
        number(median([part.flood["frames"] / part.flood["seconds"] for part in group])),
        str(sum(int(part.flood["cut_off"]) for part in group)),
        percent(median([part.broker_share for part in group])),
        percent(median([part.disturbed for part in group])),
    ]


def _trips_document(trips: Trips) -> dict[str, Any]:
    document = asdict(trips)
    samples = document.pop("milliseconds")
    return {**document, "trips": len(samples), "milliseconds": distribution(samples)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument("--modes", help=f"floods, separated by semicolons: {'; '.join(MODES)} (default: all)")


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part."""
    if peer.dialect is not PLAIN or peer.answers_publishers:
        return "its clients speak a protocol of their own"
    return None if peer.accounts else "it is no broker that anyone could flood in earnest"


def prepare(context: Context, options: argparse.Namespace) -> Latency:
    """Set the measurement up for the options given."""
    modes = tuple(mode.strip() for mode in options.modes.split(";")) if options.modes else MODES
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown:
        raise BenchError(f"unknown flood {unknown[0]!r}: choose from {'; '.join(MODES)}")
    return Latency(context, modes)
