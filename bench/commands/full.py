"""`full`: memory, handshakes, passwords, restart, floods and the path, then every dimension of the fan-out.

One dimension varies at a time from the standard shapes, never the product of all.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from bench.budget import BenchError
from bench.commands import auth, connections, latency, memory, path, restart
from bench.commands.fanout import Fanout, add_pace, pace_of, unfit
from bench.context import Context, Measurement
from bench.flood import QUIET
from bench.peers import Peer
from bench.remaining import Remaining
from bench.report import Table, progress
from bench.runs import Pace
from bench.selection import select
from bench.shapes import GROUPS, shapes_of

BUDGET = 3600.0
QUICK_BUDGET = 1500.0
PACE = Pace(rounds=20, seconds=0.25, warm_up=0.3)
FLOODS = (QUIET, "messages", "pings")


class Full:
    """All parts, one after the other, with the time that is left."""

    def __init__(self, context: Context, pace: Pace) -> None:
        self.context = context
        self.skipped: dict[str, str] = {}
        self.parts: dict[str, Measurement] = {}
        self._add("memory", memory.unfit, lambda part: memory.Memory(part, memory.CONNECTIONS, 2))
        self._add(
            "connections", connections.unfit, lambda part: connections.Connections(part, connections.COLD_CLIENTS)
        )
        self._add("auth", auth.unfit, lambda part: auth.Auth(part, auth.ACCOUNTS))
        self._add("restart", restart.unfit, lambda part: restart.Restarts(part, restart.CLIENTS))
        self._add("latency", latency.unfit, lambda part: latency.Latency(part, FLOODS))
        self._add("path", path.unfit, path.Walks)
        shapes = shapes_of(",".join(GROUPS))
        # The longest part comes last, and leads its time left by itself.
        self.parts["fanout"] = Fanout(context, shapes, pace)
        self.remaining = Remaining(self.estimate())
        self.seconds: dict[str, float] = {}
        """How long each part took."""
        self.failures: dict[str, str] = {}
        """What ended a part before its end."""

    def _add(self, name: str, part_unfit: Callable[[Peer], str | None], make: Callable[[Context], Measurement]) -> None:
        """Prepare a part with those peers that are fit for it."""
        names = [peer.name for peer in self.context.selection.peers]
        try:
            selection = select(names, part_unfit)
        except BenchError as error:
            self.skipped[name] = str(error)
            return
        # The parts beside the fan-out are taken quickly: with thousands of connections they are not short.
        self.parts[name] = make(Context(selection, self.context.cores, quick=True))

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return sum(part.estimate() for part in self.parts.values())

    def measure_all(self) -> None:
        """Take every part, and say before each how long the rest will take.

        Raises:
            BenchError: A part failed; the others were taken all the same.
        """
        progress(f"about {self.estimate() / 60:.0f} minutes for {', '.join(self.parts)}")
        for name, part in self.parts.items():
            progress(f"--- {name} ({self.remaining.text() or 'first of all'}) ---")
            began = time.monotonic()
            try:
                part.measure_all()
            except (BenchError, OSError) as error:
                self.failures[name] = str(error) or type(error).__name__
                progress(f"{name} failed: {self.failures[name]}")
            finally:
                self.seconds[name] = time.monotonic() - began
            self.remaining.done(part.estimate())
        if self.failures:
            raise BenchError("; ".join(f"{name}: {reason}" for name, reason in self.failures.items()))

    def document(self) -> dict[str, Any]:
        """Return every part's figures for the JSON file."""
        parts = {name: self.parts[name].document() for name in self.seconds}
        return {
            "parts": parts,
            "part_seconds": self.seconds,
            "parts_skipped": self.skipped,
            "parts_failed": self.failures,
        }

    def tables(self) -> list[Table]:
        """Return the tables of all parts."""
        return [table for name in self.seconds for table in self.parts[name].tables()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    add_pace(parser)


def prepare(context: Context, options: argparse.Namespace) -> Full:
    """Set the measurement up for the options given."""
    return Full(context, pace_of(options, PACE))


__all__ = ["BUDGET", "QUICK_BUDGET", "add_arguments", "prepare", "unfit"]
