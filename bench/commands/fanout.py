"""`fanout`: what a delivery costs, broker beside broker, shape by shape."""

import argparse
import functools
import resource
import select
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.budget import BenchError
from bench.context import Context, how_long, how_many
from bench.load import RunResult
from bench.peers import Peer
from bench.process import Running, running
from bench.remaining import Remaining
from bench.report import Table, number, percent, progress
from bench.runs import Pace, measure, quiet_generator, ready, warm_up_seconds
from bench.selection import BASELINE
from bench.shapes import BASE, GROUPS, Shape, parse_shapes, shapes_of
from bench.stats import distribution
from bench.summary import Run, fanout_table, make_rows
from bench.tls import make_certificate

BUDGET = 900.0
QUICK_BUDGET = 240.0
FULL = Pace(rounds=24, seconds=0.3, warm_up=0.4)
QUICK = Pace(rounds=4, seconds=0.3, warm_up=0.3)
_FEWEST = 2  # rounds that have a spread
_SPARE_DESCRIPTORS = 500
_OVERHEAD = 0.6
_SECONDS_PER_CONNECTION = 0.0008


@dataclass(frozen=True, slots=True)
class Contender:
    """A broker that takes part in a shape.

    Attributes:
        run: Measures one round.
        clients: Those that stay connected meanwhile; closing it sends them home.
    """

    run: Callable[[], RunResult]
    clients: ExitStack


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
        return sum(self._one(shape) for shape in self.shapes)

    def _one(self, shape: Shape) -> float:
        pace = self.pace_of(shape)
        joining = max(pace.warm_up, warm_up_seconds(shape)) + _OVERHEAD + shape.connections * _SECONDS_PER_CONNECTION
        joins = 1 if self.together(shape) else pace.rounds
        return len(self.context.selection.peers) * (pace.rounds * pace.seconds + joins * joining)

    def together(self, shape: Shape) -> bool:
        """Tell whether the clients of every broker can be connected at once.

        Slow subscribers must be slow all the time, and not only while their broker has its turn.
        """
        clients = shape.connections * len(self.context.selection.peers)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return not shape.slow and clients + _SPARE_DESCRIPTORS <= limit

    def pace_of(self, shape: Shape) -> Pace:
        """Return how often and how long a shape is measured.

        Where clients must connect anew for each round, there are fewer rounds, which are longer.
        """
        rounds = self.pace.rounds
        if self.together(shape) or rounds <= _FEWEST:
            return self.pace
        return replace(self.pace, rounds=_FEWEST, seconds=self.pace.seconds * rounds / _FEWEST)

    def measure_all(self) -> None:
        """Run every shape; the brokers take turns, so that a disturbance hits them alike.

        Each round begins with another broker and goes the other way round, so that neighbours change.
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
                self._fail(shape, peer.name, f"skipped, {reason}")
            else:
                peers.append(peer)
        if shape.tls:
            certificate = make_certificate(folder)
            peers = [peer.secured(certificate) for peer in peers]
        return peers

    def _take_turns(self, shape: Shape, brokers: list[Running]) -> None:
        with ExitStack() as stack:
            stack.enter_context(quiet_generator())
            able = self._together(shape, brokers, stack) if self.together(shape) else self._apart(shape, brokers)
            rounds = self.pace_of(shape).rounds
            for turn in range(rounds):
                for name in in_turn(list(able), turn):
                    with self._left_out_if_it_fails(shape, name, able):
                        self.runs.append(Run(shape, name, turn, able[name].run()))
                self._show_round(shape, turn, rounds)
        self._remaining.done(self._one(shape))
        self._show_shape(shape)

    def _together(self, shape: Shape, brokers: list[Running], stack: ExitStack) -> dict[str, Contender]:
        """Connect everybody's clients; then the brokers can take turns many times a minute."""
        core, pace = self.context.cores.broker, self.pace_of(shape)
        polls = [stack.enter_context(select.epoll()) for _ in brokers]
        able: dict[str, Contender] = {}
        for broker, poll in zip(brokers, polls, strict=True):
            with self._left_out_if_it_fails(shape, broker.peer.name, able):
                clients = stack.enter_context(ExitStack())
                loaded = clients.enter_context(ready(broker, shape, core, pace.warm_up, poll))
                able[broker.peer.name] = Contender(functools.partial(loaded.run, pace.seconds), clients)
        return able

    def _apart(self, shape: Shape, brokers: list[Running]) -> dict[str, Contender]:
        """Let clients connect for each round, and go."""
        core, pace = self.context.cores.broker, self.pace_of(shape)
        runs = {broker.peer.name: functools.partial(measure, broker, shape, core, pace) for broker in brokers}
        return {name: Contender(run, ExitStack()) for name, run in runs.items()}

    @contextmanager
    def _left_out_if_it_fails(self, shape: Shape, name: str, able: dict[str, Contender]) -> Iterator[None]:
        """Let a broker that fails take no further part; ours must not fail."""
        try:
            yield
        except (BenchError, OSError) as error:
            if name == BASELINE:
                raise
            if contender := able.pop(name, None):
                contender.clients.close()  # what it has still to send must not cost the others
            self._leave_out(shape, name, f"failed, {str(error) or type(error).__name__}")

    def _leave_out(self, shape: Shape, name: str, reason: str) -> None:
        """Forget what a peer did in a shape before it failed: rounds of its luckier days are no measurement."""
        self.runs = [run for run in self.runs if (run.shape, run.peer) != (shape, name)]
        self._fail(shape, name, reason)

    def _fail(self, shape: Shape, name: str, reason: str) -> None:
        self.failures.append(f"{shape.name}, {name}: {reason}")
        progress(self.failures[-1])

    def _show_round(self, shape: Shape, turn: int, rounds: int) -> None:
        figures = [
            f"{run.peer} {number(run.result.per_delivery)}{'!' if run.result.load_bound else ''}"
            for run in self.runs
            if (run.shape, run.round) == (shape, turn)
        ]
        progress(f"{shape.name:24} round {turn + 1}/{rounds}  {', '.join(figures)}")

    def _show_shape(self, shape: Shape) -> None:
        for row in make_rows([run for run in self.runs if run.shape == shape]):
            progress(
                f"{shape.name:24} {row.peer:11} {number(row.per_delivery):>8} us/delivery, broker"
                f" {percent(row.broker_share)}, load {percent(row.load_share)}{'!' if row.load_bound else ''}"
                f" (kept waiting {percent(row.load_disturbed)})"
            )
        progress(f"{'':24} {self._remaining.text()}")

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


def in_turn(names: Sequence[str], turn: int) -> list[str]:
    """Return the brokers in the order of a round: from number `turn` on in a circle, in odd rounds backwards."""
    step = -1 if turn % 2 else 1
    return [names[(turn + step * place) % len(names)] for place in range(len(names))]


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
    parser.add_argument("--rounds", type=how_many, help="how often every broker has its turn in every shape")
    parser.add_argument("--seconds", type=how_long, help="length of one measured run")


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
