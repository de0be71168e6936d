"""`connections`: how fast clients get in, with remembered credentials and with cold ones."""

import argparse
import time
from dataclasses import asdict, dataclass
from typing import Any

from bench.context import Context, how_many
from bench.cpu import CpuReader
from bench.handshakes import HandshakeResult, Rush
from bench.peers import Peer
from bench.peers.ours import Ours
from bench.process import Running, running
from bench.report import Table, number, percent, progress, ratio
from bench.selection import BASELINE
from bench.stats import distribution, median, spread, tail

BUDGET = 300.0
QUICK_BUDGET = 90.0
_AT_ONCE = 64
_WARM_UP = 200
_BATCH = 2_000
_STILL_SECONDS = 0.02
_STILL_SHARE = 0.05
_PATIENCE = 2.0
COLD_CLIENTS = 1_000
COLD_ACCOUNTS = 4
COLD_COST = 12


@dataclass(frozen=True, slots=True)
class Arrival:
    """One rush of clients."""

    kind: str
    peer: str
    round: int
    result: HandshakeResult

    @property
    def per_second(self) -> float:
        """Handshakes per second of wall-clock time."""
        return self.result.accepted / self.result.wall

    @property
    def cpu_us(self) -> float:
        """The broker's processor time per handshake, in microseconds."""
        return self.result.broker_cpu / max(self.result.accepted, 1) * 1e6


def measure_remembered(broker: Running, core: int, seconds: float) -> HandshakeResult:
    """Let clients in, batch after batch, for some time with credentials the broker has just verified.

    A batch stays until its last client is in, and the next begins when the broker has parted with it: what a
    connection's end costs is not part of a handshake.
    """
    reader = CpuReader(broker.pid, core)
    rush = Rush(broker.port, [broker.request("rush")], at_once=_AT_ONCE, hold=True)
    result = HandshakeResult()
    try:
        rush.run(reader, total=1, seconds=30)
        rush.run(reader, total=_WARM_UP, seconds=30)
        while result.wall < seconds:
            _await_calm(reader)
            result.add(rush.run(reader, total=_BATCH, seconds=seconds - result.wall))
    finally:
        rush.close()
    return result


def _await_calm(reader: CpuReader) -> None:
    """Wait until the broker is done with what was before, two seconds at most: some runtimes are never quite still."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        before = reader.seconds()
        time.sleep(_STILL_SECONDS)
        if reader.seconds() - before < _STILL_SHARE * _STILL_SECONDS:
            return


def measure_crowd(broker: Running, core: int, count: int) -> HandshakeResult:
    """Let `count` clients of all accounts connect at the same moment and stay."""
    requests = [broker.request("rush", account) for account in range(len(broker.peer.accounts))]
    rush = Rush(broker.port, requests, at_once=count, hold=True)
    try:
        return rush.run(CpuReader(broker.pid, core), total=count, seconds=60)
    finally:
        rush.close()


def cold_broker() -> Ours:
    """Describe this broker with a few accounts whose passwords are dear to verify."""
    accounts = tuple((f"account{number}", f"not-a-secret-{number}") for number in range(COLD_ACCOUNTS))
    return Ours(accounts=accounts, cost=COLD_COST)


class Connections:
    """Remembered credentials against every peer, cold ones against this broker."""

    def __init__(self, context: Context, clients: int) -> None:
        self.context = context
        self.clients = clients
        self.rounds = 2 if context.quick else 5
        self.seconds = 1.0 if context.quick else 3.0
        self.arrivals: list[Arrival] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return self.rounds * (len(self.context.selection.peers) * (self.seconds + 1.0) + 4.0)

    def measure_all(self) -> None:
        """Take turns with remembered credentials, then let a crowd in twice: cold, and known."""
        core = self.context.cores.broker
        for turn in range(self.rounds):
            for peer in self.context.selection.peers:
                with running(peer, core) as broker:
                    self._note("remembered", turn, broker, measure_remembered(broker, core, self.seconds))
        if any(peer.name == BASELINE for peer in self.context.selection.peers):
            for turn in range(self.rounds):
                with running(cold_broker(), core) as broker:
                    self._note("crowd, cold", turn, broker, measure_crowd(broker, core, self.clients))
                    self._note("crowd, known", turn, broker, measure_crowd(broker, core, self.clients))

    def _note(self, kind: str, turn: int, broker: Running, result: HandshakeResult) -> None:
        arrival = Arrival(kind, broker.peer.name, turn, result)
        self.arrivals.append(arrival)
        progress(
            f"{kind:12} round {turn + 1}/{self.rounds}  {arrival.peer:11} {result.accepted} in"
            f" {result.wall:.2f} s, {number(arrival.cpu_us)} us each, refused {sum(result.refused.values())}"
        )

    def document(self) -> dict[str, Any]:
        """Return every rush for the JSON file."""
        return {"crowd": self.clients, "runs": [_arrival_document(arrival) for arrival in self.arrivals]}

    def tables(self) -> list[Table]:
        """Return the table."""
        groups: dict[tuple[str, str], list[Arrival]] = {}
        for arrival in self.arrivals:
            groups.setdefault((arrival.kind, arrival.peer), []).append(arrival)
        head = (
            "credentials", "broker", "handshakes/s", "CPU us each", "spread", "x ours", "a core allows /s",
            "p50 ms", "p99 ms", "all in after s", "refused", "broker CPU", "load CPU", "disturbed",
        )  # fmt: skip
        rows = [_row(group, groups.get((kind, BASELINE))) for (kind, _), group in groups.items()]
        return [Table.of("Handshakes", head, rows)]


def _arrival_document(arrival: Arrival) -> dict[str, Any]:
    document = asdict(arrival)
    seconds = document["result"].pop("seconds")
    return {**document, "accepted": arrival.result.accepted, "wait_seconds": distribution(seconds)}


def _row(group: list[Arrival], base: list[Arrival] | None) -> list[str]:
    costs = [arrival.cpu_us for arrival in group]
    ours = median([arrival.cpu_us for arrival in base]) if base else None
    waits = [wait * 1e3 for arrival in group for wait in arrival.result.seconds]
    walls = [arrival.result.wall for arrival in group]
    held = group[0].kind != "remembered"
    return [
        group[0].kind,
        group[0].peer,
        number(median([arrival.per_second for arrival in group])),
        number(median(costs)),
        percent(spread(costs)),
        ratio(median(costs), ours),
        number(1e6 / median(costs)) if median(costs) else "-",
        number(tail(waits, 50)),
        number(tail(waits, 99)),
        f"{median(walls):.2f}" if held else "-",
        str(sum(sum(arrival.result.refused.values()) for arrival in group)),
        percent(median([arrival.result.broker_cpu / arrival.result.wall for arrival in group])),
        percent(median([arrival.result.load_cpu / arrival.result.wall for arrival in group])),
        percent(median([arrival.result.disturbed / arrival.result.wall for arrival in group])),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument(
        "--crowd",
        type=how_many,
        default=COLD_CLIENTS,
        help=f"clients of {COLD_ACCOUNTS} accounts, bcrypt cost {COLD_COST}, that connect at once (%(default)s)",
    )


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part."""
    if not peer.accounts:
        return "it authenticates nobody"
    if peer.dialect.hello:
        return "it authenticates after the handshake"
    return None


def prepare(context: Context, options: argparse.Namespace) -> Connections:
    """Set the measurement up for the options given."""
    return Connections(context, options.crowd)
