"""Take a message in, in one transaction: it is stored to be sent, or stored with the reason why it is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otp.pi.journal import blocks, counters, duplicates, states
from otp.pi.journal.counters import Charge
from otp.pi.journal.ledger import Ledger
from otp.pi.journal.text import storable
from otp.pi.model import WAITING, Channel, NewMessage, Origin, State

BUDGET: Final = "budget:"
EXPIRED: Final = "expired"
BLOCKED: Final = "blocked"

_INSERT: Final = """INSERT INTO messages (arrived, deadline, updated, ended, command, channel, receiver, receiver_key,
    message_id, road, user, priority, state, reason, duplicate_of, length, digest, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a message that came in.

    Attributes:
        number: Its row.
        state: Its state; of a duplicate, the state of the first.
        duplicate_of: Row of the same message that came first; ``None`` when it is the first.
        refused: Why it will not be sent: ``expired``, ``blocked`` or ``budget:`` and a scope; empty when it will.
    """

    number: int
    state: State
    duplicate_of: int | None = None
    refused: str = ""


def accept(ledger: Ledger, new: NewMessage, charges: Sequence[Charge]) -> Accepted:
    """Store a message; see ``Journal.accept``."""
    key = duplicates.key_of(ledger, new)
    first = duplicates.first(ledger, key)
    if first is not None:
        number = _insert(ledger, new, State.DUPLICATE, "", first)
        return Accepted(number=number, state=State(states.row_of(ledger, first)["state"]), duplicate_of=first)
    refused = _refusal(ledger, new, charges)
    if refused:
        state = State.EXPIRED if refused == EXPIRED else State.BLOCKED
        return Accepted(number=_insert(ledger, new, state, refused), state=state, refused=refused)
    number = _insert(ledger, new, State.QUEUED)
    duplicates.remember(ledger, key, number, new)
    return Accepted(number=number, state=State.QUEUED)


def record(
    ledger: Ledger,
    *,
    command: str,
    origin: Origin,
    arrived: float,
    state: State,
    receiver: str,
    reason: str,
    length: int,
    digest_of: bytes,
) -> int:
    """Store a command that sends nothing; see ``Journal.record``."""
    now = ledger.clock()
    values = (arrived, arrived, now, None if state in WAITING else now, command, Channel.NONE.value, receiver, receiver)
    rest = ("", origin.road, origin.user, 0, state.value, reason, None, length, ledger.sealer.digest(digest_of), None)
    if state not in WAITING:
        states.tally(ledger, state)
    return _run(ledger, (*values, *rest))


def _refusal(ledger: Ledger, new: NewMessage, charges: Sequence[Charge]) -> str:
    """Return why a message is not sent; charges come last, so that what is refused anyway costs nothing."""
    if new.deadline <= ledger.clock():
        return EXPIRED
    if blocks.is_blocked(ledger, new.receiver_key):
        return BLOCKED
    scope = counters.charge(ledger, charges)
    return "" if scope is None else BUDGET + scope


def _insert(ledger: Ledger, new: NewMessage, state: State, reason: str = "", first: int | None = None) -> int:
    waits = state is State.QUEUED
    if not waits:
        states.tally(ledger, state)
    now = ledger.clock()
    receiver = storable(new.receiver)
    return _run(
        ledger,
        (
            *(new.arrived, new.deadline, now, None if waits else now, new.command, new.channel.value),
            *(receiver, new.receiver_key, new.message_id, new.origin.road, new.origin.user, new.priority),
            *(state.value, reason, first, len(new.text), ledger.sealer.digest_of(new.text)),
            ledger.sealer.seal(new.subject, new.text, receiver) if waits else None,
        ),
    )


def _run(ledger: Ledger, values: Sequence[object]) -> int:
    clean = [storable(value) if isinstance(value, str) else value for value in values]
    return int(ledger.database.execute(_INSERT, clean).lastrowid or 0)
