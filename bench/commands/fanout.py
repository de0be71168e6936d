"""`fanout`: what a delivery costs, broker beside broker, shape by shape."""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.budget import BenchError
from bench.context import Context
from bench.peers import Peer
from bench.process import Running, running
from bench.remaining import Remaining
from bench.report import Table, number, percent, progress
from bench.runs import Pace, measure, warm_up_seconds
from bench.selection import BASELINE
from bench.shapes import BASE, GROUPS, Shape, parse_shapes, shapes_of
from bench.stats import distribution
from bench.summary import Run, fanout_table, make_rows
from bench.tls import make_certificate

BUDGET = 900.0
QUICK_BUDGET = 240.0
FULL = Pace(rounds=5, seconds=1.5, warm_up=0.5)
QUICK = Pace(rounds=2, seconds=0.6, warm_up=0.3)
_MANY = 2500  # connections: from here on getting in takes longer than measuring
_FEWEST = 2  # rounds that have a spread
_OVERHEAD = 0.6
_SECONDS_PER_CONNECTION = 0.0008


class Fanout:
    """All shapes against all peers, in turn, with what has been measured so far."""

    def __init__(self, context: Context, shapes: Sequence[Shape], pace: Pace) -> None:
        self.context = context
        self.shapes = shapes
        self.pace = pace
        self.runs: list[Run] = []
        self.failures: list[str] = []
        """What kept a peer from a shape: it cannot take part, or it failed."""
        self._remaining = Remaining(self.estimate())

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        peers = len(self.context.selection.peers)
        return sum(self._rounds(shape) * peers * self._one(shape) for shape in self.shapes)

    def _one(self, shape: Shape) -> float:
        warm_up = max(self.pace.warm_up, warm_up_seconds(shape))
        return self.pace.seconds + warm_up + _OVERHEAD + shape.connections * _SECONDS_PER_CONNECTION

    def _rounds(self, shape: Shape) -> int:
        """Return how many rounds a shape has: fewer with many connections, but never one where several are wanted."""
        fewer = max(_FEWEST, self.pace.rounds // 3)
        return min(fewer, self.pace.rounds) if shape.connections > _MANY else self.pace.rounds

    def measure_all(self) -> None:
        """Run every shape; the brokers take turns, so that a disturbance hits them alike.

        Each round begins with another broker, so that none always follows the same neighbour.
        """
        self._remaining = Remaining(self.estimate())  # its clock begins now
        with tempfile.TemporaryDirectory(prefix="bench-tls-") as folder:
            for shape in self.shapes:
                with ExitStack() as stack:
                    core = self.context.cores.broker
                    peers = self._able(shape, Path(folder))
                    self._take_turns(shape, [stack.enter_context(running(peer, core)) for peer in peers])

    def _able(self, shape: Shape, folder: Path) -> list[Peer]:
        """Return who can take part in a shape, ready for it."""
        peers = []
        for peer in self.context.selection.peers:
            if reason := peer.cannot(shape):
                self._fail(shape, peer, f"skipped, {reason}")
            else:
                peers.append(peer)
        if shape.tls:
            certificate = make_certificate(folder)
            peers = [peer.secured(certificate) for peer in peers]
        return peers

    def _take_turns(self, shape: Shape, brokers: list[Running]) -> None:
        rounds = self._rounds(shape)
        failed: set[str] = set()
        for turn in range(rounds):
            for broker in rotated(brokers, turn):
                if broker.peer.name in failed:
                    continue
                try:
                    self._measure_one(broker, shape, turn, rounds)
                except (BenchError, OSError) as error:
                    if broker.peer.name == BASELINE:
                        raise
                    self._leave_out(shape, broker.peer, f"failed, {str(error) or type(error).__name__}")
                    failed.add(broker.peer.name)
        self._remaining.done(rounds * len(self.context.selection.peers) * self._one(shape))
        progress(f"{'':24} {self._remaining.text()}")

    def _leave_out(self, shape: Shape, peer: Peer, reason: str) -> None:
        """Forget what a peer did in a shape before it failed: rounds of its luckier days are no measurement."""
        self.runs = [run for run in self.runs if (run.shape, run.peer) != (shape, peer.name)]
        self._fail(shape, peer, reason)

    def _fail(self, shape: Shape, peer: Peer, reason: str) -> None:
        self.failures.append(f"{shape.name}, {peer.name}: {reason}")
        progress(self.failures[-1])

    def _measure_one(self, broker: Running, shape: Shape, turn: int, rounds: int) -> None:
        result = measure(broker, shape, self.context.cores.broker, self.pace)
        run = Run(shape, broker.peer.name, turn, result)
        self.runs.append(run)
        progress(
            f"{shape.name:24} round {turn + 1}/{rounds}  {run.peer:11}"
            f" {number(result.per_delivery):>8} us/delivery, broker {percent(result.broker_share)},"
            f" load {percent(result.load_share)}{'!' if result.load_bound else ''}"
            f" (kept waiting {percent(result.load_disturbed / result.wall)})"
        )

    def document(self) -> dict[str, Any]:
        """Return all runs and their summary for the JSON file."""
        return {
            "pace": asdict(self.pace),
            "failures": self.failures,
            "rows": [{**asdict(row), "name": row.shape.name} for row in make_rows(self.runs)],
            "runs": [_run_document(run) for run in self.runs],
        }

    def tables(self) -> list[Table]:
        """Return the table of what has been measured."""
        table = fanout_table(make_rows(self.runs), BASELINE)
        return [replace(table, notes=(*table.notes, *self.failures))]


def rotated(brokers: Sequence[Running], turn: int) -> list[Running]:
    """Return the brokers in the order of a round: round `turn` begins with number `turn`, counted in a circle."""
    first = turn % len(brokers) if brokers else 0
    return [*brokers[first:], *brokers[:first]]


def _run_document(run: Run) -> dict[str, Any]:
    document = asdict(run)
    samples = document["result"].pop("completion_ms")
    document["result"]["completion_ms"] = distribution(samples)
    return document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument(
        "--shapes", help="SUBSCRIBERSxWINDOW[xBYTES], comma-separated (default: 1x256,10x256,100x256,1000x64,1x1,100x1)"
    )
    parser.add_argument("--groups", help=f"groups of shapes instead, comma-separated: {', '.join(GROUPS)}")
    add_pace(parser)


def add_pace(parser: argparse.ArgumentParser) -> None:
    """Declare how long and how often is measured."""
    parser.add_argument("--rounds", type=int, help="how often every broker has its turn in every shape")
    parser.add_argument("--seconds", type=float, help="length of one measured run")


def pace_of(options: argparse.Namespace, usual: Pace) -> Pace:
    """Return the usual pace, or a quick one, with what the options say otherwise."""
    base = QUICK if options.quick else usual
    return replace(base, rounds=options.rounds or base.rounds, seconds=options.seconds or base.seconds)


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part: everyone can fan out."""
    del peer
    return None


def prepare(context: Context, options: argparse.Namespace) -> Fanout:
    """Set the measurement up for the options given."""
    shapes = parse_shapes(options.shapes) if options.shapes else BASE
    if options.groups:
        shapes = shapes_of(options.groups)
    return Fanout(context, shapes, pace_of(options, FULL))
