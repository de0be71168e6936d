"""`restart`: the broker is killed with thousands of clients connected, starts again, and all of them come back."""

import argparse
import os
import signal
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.budget import BenchError
from bench.commands.connections import cold_broker, unfit
from bench.connect import clients
from bench.context import Context, how_many
from bench.cpu import CpuReader
from bench.handshakes import HandshakeResult, Rush
from bench.peers import Peer
from bench.process import Running, running
from bench.report import Table, number, progress, ratio
from bench.selection import BASELINE
from bench.stats import distribution, median, tail
from examples.ports import free_port

BUDGET = 300.0
QUICK_BUDGET = 60.0
CLIENTS = 5_000
_PATIENCE = 60.0
_PAUSE = 1.0  # from a client's refusal to its next try


@dataclass(frozen=True, slots=True)
class Restart:
    """One restart, seen from the clients."""

    peer: str
    round: int
    clients: int
    up_after: float
    """Seconds from the kill until the new process accepts connections."""
    all_after: float
    """Seconds from the kill until everyone is in again."""
    waits: list[float]
    """Seconds from a client's last connect to its 101."""
    refused: int
    """How often somebody was turned away and came again."""
    broker_cpu: float


def measure(peer: Peer, core: int, count: int, turn: int) -> Restart:
    """Connect everybody, kill the broker, start it again on its port, and let everybody in."""
    port = free_port()
    with running(peer, core, port) as broker, clients(broker, "restart", count):
        os.kill(broker.pid, signal.SIGKILL)
        killed = time.perf_counter()
    with running(peer, core, port) as broker:
        up_after = time.perf_counter() - killed
        began = time.perf_counter()
        result = _rush(broker, core, count)
    refused = sum(result.refused.values())
    all_after = began - killed + result.wall
    return Restart(peer.name, turn, count, up_after, all_after, result.seconds, refused, result.broker_cpu)


def _rush(broker: Running, core: int, count: int) -> HandshakeResult:
    """Let everybody connect at once, and each who is refused a second later again, until all are in."""
    requests = [broker.request("restart", account) for account in range(max(len(broker.peer.accounts), 1))]
    rush = Rush(broker.port, requests, at_once=count, hold=True)
    try:
        result = rush.run(CpuReader(broker.pid, core), total=count, seconds=_PATIENCE, retry=_PAUSE)
    finally:
        rush.close()
    if missing := count - result.accepted:
        raise BenchError(f"{missing} of {count} clients are not back after {_PATIENCE:.0f} s")
    return result


class Restarts:
    """Every peer in turn."""

    def __init__(self, context: Context, count: int) -> None:
        self.context = context
        self.count = count
        self.rounds = 1 if context.quick else 3
        self.restarts: list[Restart] = []
        self.failures: list[str] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return self.rounds * len(self.context.selection.peers) * (2.0 + self.count * 0.0015)

    def measure_all(self) -> None:
        """Kill each broker once a round; ours has dear passwords (bcrypt cost 12), which it must verify afresh."""
        for turn in range(self.rounds):
            for peer in self.context.selection.peers:
                self._measure_one(peer, turn)

    def _measure_one(self, peer: Peer, turn: int) -> None:
        core = self.context.cores.broker
        try:
            restart = measure(cold_broker() if peer.name == BASELINE else peer, core, self.count, turn)
        except (BenchError, OSError) as error:
            if peer.name == BASELINE:
                raise
            self.failures.append(f"{peer.name}: failed, {str(error) or type(error).__name__}")
            progress(self.failures[-1])
            return
        self.restarts.append(restart)
        progress(
            f"restart round {turn + 1}/{self.rounds}  {restart.peer:11} up after {restart.up_after:.2f} s, "
            f"all {restart.clients} back after {restart.all_after:.2f} s, refused {restart.refused}"
        )

    def document(self) -> dict[str, Any]:
        """Return every restart for the JSON file."""
        runs = []
        for restart in self.restarts:
            document = asdict(restart)
            waits = document.pop("waits")
            runs.append({**document, "wait_seconds": distribution(waits)})
        return {"runs": runs, "failures": self.failures}

    def tables(self) -> list[Table]:
        """Return the table."""
        groups: dict[str, list[Restart]] = {}
        for restart in self.restarts:
            groups.setdefault(restart.peer, []).append(restart)
        base = median([r.all_after for r in groups[BASELINE]]) if BASELINE in groups else None
        head = (
            "broker", "clients", "accepts after s", "all back after s", "spread s", "x ours", "CPU us each",
            "wait p50 ms", "wait p99 ms", "refused",
        )  # fmt: skip
        return [Table.of("Restart", head, [_row(group, base) for group in groups.values()], self.failures)]


def _row(group: list[Restart], base: float | None) -> list[str]:
    all_after = [restart.all_after for restart in group]
    waits = [wait * 1e3 for restart in group for wait in restart.waits]
    return [
        group[0].peer,
        f"{group[0].clients:,}",
        f"{median([restart.up_after for restart in group]):.2f}",
        f"{median(all_after):.2f}",
        f"{max(all_after) - min(all_after):.2f}",
        ratio(median(all_after), base),
        number(median([restart.broker_cpu / restart.clients * 1e6 for restart in group])),
        number(tail(waits, 50)),
        number(tail(waits, 99)),
        str(sum(restart.refused for restart in group)),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument("--clients", type=how_many, default=CLIENTS, help="how many (default: %(default)s)")


def prepare(context: Context, options: argparse.Namespace) -> Restarts:
    """Set the measurement up for the options given."""
    return Restarts(context, options.clients)


__all__ = ["BUDGET", "CLIENTS", "QUICK_BUDGET", "add_arguments", "measure", "prepare", "unfit"]
