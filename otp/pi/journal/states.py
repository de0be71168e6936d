"""Say which steps a row may take, and end rows.

| step           | from                             | to                                                           |
|----------------|----------------------------------|--------------------------------------------------------------|
| routed         | queued routed                    | routed                                                       |
| sending        | routed sending                   | sending                                                      |
| part_sent      | sending                          | sending                                                      |
| sent           | routed sending, no part missing  | sent; delivered or undelivered where the reports are in      |
| unknown        | sending unknown                  | unknown                                                      |
| retry          | queued routed sending unknown    | queued                                                       |
| fail           | queued routed sending unknown    | failed expired blocked, or unknown for good                  |
| finish_command | sending                          | done failed unknown                                          |

A row that has ended takes none of them, with one exception: a row that a late reference has ended as sent lets
``unknown``, ``retry`` and ``fail`` pass without effect. Who asks for them has not heard yet.
"""

import sqlite3
from typing import Final

from otp.pi.journal import duplicates
from otp.pi.journal.errors import NoRowError, TransitionError
from otp.pi.journal.ledger import Ledger
from otp.pi.journal.text import storable
from otp.pi.model import State

_OPEN: Final = frozenset({State.QUEUED, State.ROUTED, State.SENDING, State.UNKNOWN})

ALLOWED: Final = {
    "routed": frozenset({State.QUEUED, State.ROUTED}),
    "sending": frozenset({State.ROUTED, State.SENDING}),
    "part_sent": frozenset({State.SENDING}),
    "sent": frozenset({State.ROUTED, State.SENDING}),
    "unknown": frozenset({State.SENDING, State.UNKNOWN}),
    "retry": _OPEN,
    "fail": _OPEN,
    "finish_command": frozenset({State.SENDING}),
}
"""The states from which each step may be taken, by a row that has not ended."""

_FREES: Final = frozenset({State.FAILED, State.EXPIRED, State.BLOCKED})
_TALLY: Final = """INSERT INTO tally VALUES (?, 1) ON CONFLICT (state) DO UPDATE SET times = times + 1"""


def row_of(ledger: Ledger, number: int) -> sqlite3.Row:
    """Return a row.

    Raises:
        NoRowError: There is none.
    """
    row: sqlite3.Row | None = ledger.database.execute("SELECT * FROM messages WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise NoRowError(f"the journal has no row {number}")
    return row


def expect(ledger: Ledger, number: int, step: str) -> sqlite3.Row:
    """Return the row of a message that may take a step.

    Raises:
        NoRowError: There is none.
        TransitionError: It may not.
    """
    row = row_of(ledger, number)
    if row["ended"] is not None or row["state"] not in ALLOWED[step]:
        raise TransitionError(f"row {number} is {row['state']}{_for_good(row)}: it cannot take the step {step}")
    return row


def is_late(row: sqlite3.Row) -> bool:
    """Tell whether a late reference has ended a row as sent."""
    return bool(row["late"])


def change(ledger: Ledger, number: int, **values: str | float | None) -> None:
    """Set columns of a row, and when that was."""
    columns = ", ".join(f"{name} = ?" for name in values)
    given = [storable(value) if isinstance(value, str) else value for value in values.values()]
    query = f"UPDATE messages SET {columns}, updated = ? WHERE number = ?"  # noqa: S608 - names from this package only
    ledger.database.execute(query, (*given, ledger.clock(), number))


def end(ledger: Ledger, number: int, state: State, reason: str = "") -> None:
    """End a row: its body is erased, and unless it may have been sent the same message may come again."""
    change(ledger, number, state=state.value, reason=reason, ended=ledger.clock(), body=None)
    ledger.erased = True
    tally(ledger, state)
    if state in _FREES:
        duplicates.free(ledger, number)


def tally(ledger: Ledger, state: State) -> None:
    """Count that a row came to a final state."""
    ledger.database.execute(_TALLY, (state.value,))


def _for_good(row: sqlite3.Row) -> str:
    return "" if row["ended"] is None else " for good"
