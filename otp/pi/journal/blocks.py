"""Keep the block list: receivers that nothing is sent to."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from otp.pi.journal import states
from otp.pi.journal.ledger import Ledger
from otp.pi.journal.text import storable
from otp.pi.model import State

_WAITING: Final = "SELECT number FROM messages WHERE ended IS NULL AND state = 'queued' AND receiver_key = ?"


@dataclass(frozen=True, slots=True)
class Blocked:
    """A receiver on the block list.

    Attributes:
        receiver_key: The one spelling of it.
        since: Unix seconds.
    """

    receiver_key: str
    since: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def block(ledger: Ledger, receiver_key: str) -> bool:
    """Put a receiver on the list, and end what waits for it; return whether it was not on it."""
    key = storable(receiver_key)
    added = ledger.database.execute("INSERT OR IGNORE INTO blocked VALUES (?, ?)", (key, ledger.clock())).rowcount
    for (number,) in ledger.database.execute(_WAITING, (key,)).fetchall():
        states.end(ledger, number, State.BLOCKED, "blocked")
    return added == 1


def unblock(ledger: Ledger, receiver_key: str) -> bool:
    """Take a receiver from the list; return whether it was on it."""
    query = "DELETE FROM blocked WHERE receiver_key = ?"
    return ledger.database.execute(query, (storable(receiver_key),)).rowcount == 1


def blocked(ledger: Ledger) -> list[Blocked]:
    """Return the list in order of the keys."""
    return [Blocked(*row) for row in ledger.database.execute("SELECT * FROM blocked ORDER BY receiver_key")]


def is_blocked(ledger: Ledger, receiver_key: str) -> bool:
    """Tell whether a receiver is on the list."""
    query = "SELECT 1 FROM blocked WHERE receiver_key = ?"
    return ledger.database.execute(query, (storable(receiver_key),)).fetchone() is not None
