"""`memory`: what an idle authenticated connection costs in resident memory."""

import argparse
import resource
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.connect import clients
from bench.context import Context, how_many
from bench.cpu import resident_kib
from bench.peers import Peer
from bench.process import Running, running
from bench.report import Table, number, percent, progress, ratio
from bench.selection import BASELINE
from bench.stats import median, spread

BUDGET = 600.0
QUICK_BUDGET = 180.0
MOST = 18_000
_ROOM = 512
"""Descriptors that brokers and this process need beside the connections: files, listeners, a poller."""
NOTE = "a runtime with a garbage collector is measured as it stands once it is still: no collection is forced"
_WARM_UP_CONNECTIONS = 100
_SETTLE_SECONDS = 8.0
_STEADY_LOOKS = 4
_LOOK_SECONDS = 0.4


def most_connections(descriptors: int) -> int:
    """Return how many idle connections a hard descriptor limit allows, at most 18,000.

    Ports are no limit: `bench.connect` spreads the clients over 32 source addresses, each with 28,000 of its own
    (net.ipv4.ip_local_port_range). The limit is this process's and, inherited, every broker's.
    """
    if descriptors == resource.RLIM_INFINITY:
        return MOST
    return max(1, min(descriptors - _ROOM, MOST))


CONNECTIONS = most_connections(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


@dataclass(frozen=True, slots=True)
class Held:
    """The resident size of one broker before and with its idle connections."""

    peer: str
    round: int
    connections: int
    before_kib: int
    with_kib: int

    @property
    def per_connection(self) -> float:
        """KiB per idle connection."""
        return (self.with_kib - self.before_kib) / self.connections


def settled_resident_kib(pid: int) -> int:
    """Read the resident size once it stands still, or at the latest after eight seconds.

    Collectors and handshake leftovers take a moment to let go.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    looks = [resident_kib(pid)]
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        looks.append(resident_kib(pid))
        recent = looks[-_STEADY_LOOKS:]
        if len(recent) == _STEADY_LOOKS and max(recent) == min(recent):
            break
    return looks[-1]


def measure(broker: Running, connections: int, turn: int) -> Held:
    """Open the connections on one topic, let them idle, and compare."""
    with clients(broker, "warm-up", _WARM_UP_CONNECTIONS):
        pass
    before = settled_resident_kib(broker.pid)
    with clients(broker, "idle", connections):
        held = settled_resident_kib(broker.pid)
    return Held(broker.peer.name, turn, connections, before, held)


class Memory:
    """Every peer in turn, a fresh process each time."""

    def __init__(self, context: Context, connections: int, rounds: int) -> None:
        self.context = context
        self.connections = connections
        self.rounds = rounds
        self.held: list[Held] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return self.rounds * len(self.context.selection.peers) * (5.0 + self.connections * 0.0003)

    def measure_all(self) -> None:
        """Fill each broker with idle connections, round by round."""
        for turn in range(self.rounds):
            for peer in self.context.selection.peers:
                with running(peer, self.context.cores.broker) as broker:
                    held = measure(broker, self.connections, turn)
                self.held.append(held)
                progress(
                    f"{held.connections} idle, round {turn + 1}/{self.rounds}  {held.peer:11}"
                    f" {number(held.per_connection)} KiB each"
                )

    def document(self) -> dict[str, Any]:
        """Return every reading for the JSON file."""
        return {"runs": [{**asdict(held), "per_connection_kib": held.per_connection} for held in self.held]}

    def tables(self) -> list[Table]:
        """Return the table."""
        costs: dict[str, list[float]] = {}
        for held in self.held:
            costs.setdefault(held.peer, []).append(held.per_connection)
        base = median(costs[BASELINE]) if BASELINE in costs else None
        head = ("idle connections", "broker", "KiB each", "spread", "x ours")
        rows = [
            (
                f"{self.connections:,}",
                peer,
                number(median(values)),
                percent(spread(values)),
                ratio(median(values), base),
            )
            for peer, values in costs.items()
        ]
        return [Table.of("Memory", head, rows, [NOTE])]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument("--connections", type=how_many, default=CONNECTIONS, help="how many (default: %(default)s)")


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part: the floor keeps next to nothing and authenticates nobody."""
    if peer.most_clients is not None:
        return "letting thousands of clients in takes it minutes"
    return None if peer.accounts else "it authenticates nobody"


def prepare(context: Context, options: argparse.Namespace) -> Memory:
    """Set the measurement up for the options given."""
    return Memory(context, options.connections, rounds=1 if context.quick else 3)
