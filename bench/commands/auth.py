"""`auth`: what checking a password costs when it is new to the broker, and when it is remembered."""

import argparse
from dataclasses import asdict, dataclass
from typing import Any

from bench.commands.connections import measure_crowd, measure_remembered
from bench.context import Context, how_many
from bench.handshakes import HandshakeResult
from bench.peers import Peer
from bench.peers.ours import Ours
from bench.process import running
from bench.report import Table, number, percent, progress
from bench.selection import BASELINE
from bench.stats import median, spread, tail

BUDGET = 180.0
QUICK_BUDGET = 60.0
COSTS = (5, 10, 12)
ACCOUNTS = 16
_AGAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Checked:
    """One crowd of clients, each with an account of its own."""

    cost: int
    kind: str
    round: int
    result: HandshakeResult


def dear_broker(cost: int, accounts: int) -> Ours:
    """Describe this broker with accounts whose passwords are as dear to verify as the bcrypt cost says."""
    return Ours(accounts=tuple((f"account{n}", f"not-a-secret-{n}") for n in range(accounts)), cost=cost)


class Auth:
    """Each bcrypt cost in turn: everyone's first connection, and then one that is known."""

    def __init__(self, context: Context, accounts: int) -> None:
        self.context = context
        self.accounts = accounts
        self.rounds = 1 if context.quick else 3
        self.checked: list[Checked] = []

    def estimate(self) -> float:
        """Guess how many seconds everything takes."""
        return self.rounds * sum(1.0 + self.accounts * 0.00006 * (1 << cost) for cost in COSTS)

    def measure_all(self) -> None:
        """Let everybody in at once, then one of them over and over; a fresh process for each cost."""
        core = self.context.cores.broker
        for turn in range(self.rounds):
            for cost in COSTS:
                with running(dear_broker(cost, self.accounts), core) as broker:
                    self._note(Checked(cost, "new", turn, measure_crowd(broker, core, self.accounts)))
                    again = measure_remembered(broker, core, _AGAIN_SECONDS)
                    self._note(Checked(cost, "remembered", turn, again))

    def _note(self, checked: Checked) -> None:
        self.checked.append(checked)
        each = checked.result.broker_cpu / max(checked.result.accepted, 1) * 1e3
        progress(f"bcrypt cost {checked.cost:2}  {checked.kind:11} {number(each)} ms of processor time each")

    def document(self) -> dict[str, Any]:
        """Return every crowd for the JSON file."""
        runs = []
        for checked in self.checked:
            document = asdict(checked)
            document["result"].pop("seconds")
            runs.append({**document, "accepted": checked.result.accepted})
        return {"accounts": self.accounts, "runs": runs}

    def tables(self) -> list[Table]:
        """Return the table."""
        groups: dict[tuple[int, str], list[HandshakeResult]] = {}
        for checked in self.checked:
            groups.setdefault((checked.cost, checked.kind), []).append(checked.result)
        head = ("bcrypt cost", "password", "CPU ms each", "spread", "p50 ms", "p99 ms", "all in after s", "refused")
        rows = [_row(cost, kind, results) for (cost, kind), results in groups.items()]
        return [Table.of(f"Passwords, {self.accounts} accounts that connect at once", head, rows)]


def _row(cost: int, kind: str, results: list[HandshakeResult]) -> list[str]:
    each = [result.broker_cpu / max(result.accepted, 1) * 1e3 for result in results]
    waits = [second * 1e3 for result in results for second in result.seconds]
    return [
        str(cost),
        kind,
        number(median(each)),
        percent(spread(each)),
        number(tail(waits, 50)),
        number(tail(waits, 99)),
        f"{median([result.wall for result in results]):.2f}" if kind == "new" else "-",
        str(sum(sum(result.refused.values()) for result in results)),
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what only this command takes."""
    parser.add_argument("--accounts", type=how_many, default=ACCOUNTS, help="how many (default: %(default)s)")


def unfit(peer: Peer) -> str | None:
    """Say why a peer cannot take part: the others compare a constant."""
    return None if peer.name == BASELINE else "it compares a constant, there is no hash to verify"


def prepare(context: Context, options: argparse.Namespace) -> Auth:
    """Set the measurement up for the options given."""
    return Auth(context, options.accounts)
