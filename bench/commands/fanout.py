"""`fanout`: what a delivery costs, broker beside broker, shape by shape."""

import argparse
import gc
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from bench.connect import clients
from bench.context import Context
from bench.cpu import CpuReader
from bench.load import ClosedLoop, RunResult
from bench.peers import Peer
from bench.process import Running, running
from bench.report import number, percent, progress
from bench.selection import BASELINE
from bench.shapes import BASE, Shape, parse_shapes
from bench.stats import percentile
from bench.summary import Run, fanout_table, make_rows
from bench.wire import build_cycle

BUDGET = 900.0
QUICK_BUDGET = 240.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often each shape is measured."""

    rounds: int
    seconds: float
    warm_up: float


FULL = Pace(rounds=5, seconds=1.5, warm_up=0.5)
QUICK = Pace(rounds=2, seconds=0.6, warm_up=0.3)


def measure(broker: Running, shape: Shape, core: int, pace: Pace) -> RunResult:
    """Connect the clients of a shape, warm up, and run it once."""
    dialect = broker.peer.dialect
    cycle = build_cycle(shape.size, shape.window, dialect)
    reader = CpuReader(broker.pid, core)
    with clients(broker, "bench", shape.subscribers + 1) as (publisher, *readers):
        loop = ClosedLoop(publisher, readers, cycle, shape.window, framed=dialect.framed)
        gc.disable()  # a collection in the generator would look like a slow broker
        try:
            loop.run(pace.warm_up, reader)
            return loop.run(pace.seconds, reader)
        finally:
            gc.enable()
            loop.close()


class Fanout:
    """All shapes against all peers, in turn, with what has been measured so far."""

    def __init__(self, context: Context, shapes: Sequence[Shape], pace: Pace) -> None:
        self.context = context
        self.shapes = shapes
        self.pace = pace
        self.runs: list[Run] = []

    def measure_all(self) -> None:
        """Run every shape; the brokers take turns, A B A B, so that a disturbance hits them alike."""
        for shape in self.shapes:
            with ExitStack() as stack:
                core = self.context.cores.broker
                brokers = [stack.enter_context(running(peer, core)) for peer in self.context.selection.peers]
                for turn in range(self.pace.rounds):
                    for broker in brokers:
                        self._measure_one(broker, shape, turn)

    def _measure_one(self, broker: Running, shape: Shape, turn: int) -> None:
        result = measure(broker, shape, self.context.cores.broker, self.pace)
        run = Run(shape, broker.peer.name, turn, result)
        self.runs.append(run)
        progress(
            f"{shape.name:24} round {turn + 1}/{self.pace.rounds}  {run.peer:11}"
            f" {number(result.per_delivery):>8} us/delivery, broker {percent(result.broker_share)},"
            f" load {percent(result.load_share)}"
        )

    def document(self) -> dict[str, Any]:
        """Return all runs and their summary for the JSON file."""
        return {
            "pace": asdict(self.pace),
            "rows": [asdict(row) for row in make_rows(self.runs)],
            "runs": [_run_document(run) for run in self.runs],
        }

    def text(self) -> str:
        """Return the table of what has been measured."""
        return fanout_table(make_rows(self.runs), BASELINE) if self.runs else "nothing was measured"


def _run_document(run: Run) -> dict[str, Any]:
    document = asdict(run)
    samples = document["result"].pop("completion_ms")
    levels = (1, 5, 10, 25, 50, 75, 90, 95, 99, 99.9, 100)
    document["result"]["completion_ms"] = {str(level): percentile(samples, level) for level in levels}
    return document


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument(
        "--shapes", help="SUBSCRIBERSxWINDOW[xBYTES], comma-separated (default: 1x256,10x256,100x256,1000x64,1x1,100x1)"
    )
    parser.add_argument("--rounds", type=int, help="how often every broker has its turn in every shape")
    parser.add_argument("--seconds", type=float, help="length of one measured run")


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part: everyone can fan out."""
    del peer
    return None


def prepare(context: Context, options: argparse.Namespace) -> Fanout:
    """Set the measurement up for the options given."""
    base = QUICK if options.quick else FULL
    pace = Pace(
        rounds=options.rounds or base.rounds,
        seconds=options.seconds or base.seconds,
        warm_up=base.warm_up,
    )
    return Fanout(context, parse_shapes(options.shapes) if options.shapes else BASE, pace)
