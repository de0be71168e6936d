"""Keep what became of each part that was handed over.

| state   | means                                           |
|---------|-------------------------------------------------|
| flight  | it is being handed over: a crash now is unknown |
| sent    | it was taken                                    |
| unknown | nobody said                                     |
| failed  | it was not taken                                |

Every handing over is a row of its own. A retry that begins a message anew begins a new generation; what was sent before
stays, since its reference may come late and its report later still.
"""

import sqlite3
from typing import Final

from otp.pi.journal.ledger import Ledger

_SENT: Final = "SELECT DISTINCT part FROM parts WHERE message = ? AND generation = ? AND state = 'sent' ORDER BY part"
# SQLite takes `reference` from the row that has the maximum: of a part that was taken twice, the last.
_REFERENCES: Final = """SELECT reference, max(id) FROM parts
    WHERE message = ? AND generation = ? AND state = 'sent' AND reference >= 0 GROUP BY part ORDER BY part"""
_MARK: Final = "UPDATE parts SET state = ? WHERE message = ? AND state = 'flight'"


def begin(ledger: Ledger, row: sqlite3.Row, modem: str, part: int) -> None:
    """Store that a part is about to be handed over."""
    query = "INSERT INTO parts (message, generation, part, modem, state, began) VALUES (?, ?, ?, ?, 'flight', ?)"
    ledger.database.execute(query, (row["number"], row["generation"], part, modem, ledger.clock()))


def in_flight(ledger: Ledger, number: int) -> sqlite3.Row | None:
    """Return the part that is being handed over, if one is."""
    query = "SELECT * FROM parts WHERE message = ? AND state = 'flight' ORDER BY id DESC LIMIT 1"
    row: sqlite3.Row | None = ledger.database.execute(query, (number,)).fetchone()
    return row


def settle(ledger: Ledger, number: int, state: str) -> None:
    """Say what became of the part in flight."""
    ledger.database.execute(_MARK, (state, number))


def taken(ledger: Ledger, identity: int, reference: int) -> None:
    """Store the network's reference of a part; -1 stands for one that it did not tell."""
    query = "UPDATE parts SET state = 'sent', reference = ? WHERE id = ?"
    ledger.database.execute(query, (reference, identity))


def doubtful(ledger: Ledger, modem: str, number: int, part: int) -> sqlite3.Row | None:
    """Return the part that a late reference belongs to: the last that is unknown, else the one in flight."""
    query = """SELECT * FROM parts WHERE message = ? AND modem = ? AND part = ? AND state IN ('unknown', 'flight')
        ORDER BY state = 'unknown' DESC, id DESC LIMIT 1"""
    row: sqlite3.Row | None = ledger.database.execute(query, (number, modem, part)).fetchone()
    return row


def sent(ledger: Ledger, number: int, generation: int) -> tuple[int, ...]:
    """Return the indexes of the parts that were taken."""
    return tuple(part for (part,) in ledger.database.execute(_SENT, (number, generation)))


def references(ledger: Ledger, number: int, generation: int) -> tuple[int, ...]:
    """Return the network's references of the parts that were taken, as far as it told any."""
    return tuple(reference for reference, _ in ledger.database.execute(_REFERENCES, (number, generation)))


def complete(ledger: Ledger, row: sqlite3.Row, generation: int) -> bool:
    """Tell whether all parts of a message were taken."""
    total: int = row["total"]
    return 0 < total == len(sent(ledger, row["number"], generation))
