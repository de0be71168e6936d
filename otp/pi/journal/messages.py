"""Read messages that wait, with their bodies, and how they ended."""

import sqlite3
from typing import Final

from otp.pi.journal import parts, states
from otp.pi.journal.ledger import Ledger
from otp.pi.journal.sealing import DamagedError
from otp.pi.model import Channel, Message, Outcome, State

DAMAGED: Final = "damaged"
"""Why a message fails whose body cannot be opened: somebody changed the file."""

_WAITING: Final = """SELECT * FROM messages
    WHERE ended IS NULL AND state IN ('queued', 'routed', 'unknown') AND (priority, number) > (?, ?)
    ORDER BY priority, number LIMIT ?"""


def waiting(ledger: Ledger, limit: int, after: tuple[int, int]) -> list[Message]:
    """Return messages that wait, in order; see ``Journal.waiting``."""
    rows = ledger.database.execute(_WAITING, (*after, limit)).fetchall()
    found = [_message(ledger, row) for row in rows]
    return [each for each in found if each.state is not State.FAILED]


def message(ledger: Ledger, number: int) -> Message:
    """Return one message; see ``Journal.message``."""
    return _message(ledger, states.row_of(ledger, number))


def outcome(ledger: Ledger, number: int) -> Outcome | None:
    """Return how a message ended; ``None`` while it has not."""
    row = states.row_of(ledger, number)
    return None if row["ended"] is None else outcome_of(ledger, row)


def ended(ledger: Ledger, number: int) -> Outcome:
    """Return how a message ended that has."""
    return outcome_of(ledger, states.row_of(ledger, number))


def outcome_of(ledger: Ledger, row: sqlite3.Row) -> Outcome:
    """Return a row as an outcome."""
    return Outcome(
        number=row["number"],
        state=State(row["state"]),
        modem=row["modem"],
        reason=row["reason"],
        references=parts.references(ledger, row["number"], row["generation"]),
        possible_duplicate=bool(row["possible_duplicate"]),
    )


def _message(ledger: Ledger, row: sqlite3.Row) -> Message:
    state, subject, text = State(row["state"]), "", ""
    if row["body"] is not None:
        try:
            subject, text = ledger.sealer.open(row["body"], row["receiver"])
        except DamagedError:
            # It can never be sent, and must not stop what waits behind it.
            state = State.FAILED
            states.end(ledger, row["number"], state, DAMAGED)
    return Message(
        number=row["number"],
        command=row["command"],
        channel=Channel(row["channel"]),
        receiver=row["receiver"],
        receiver_key=row["receiver_key"],
        text=text,
        subject=subject,
        message_id=row["message_id"],
        road=row["road"],
        user=row["user"],
        arrived=row["arrived"],
        deadline=row["deadline"],
        priority=row["priority"],
        state=state,
        attempts=row["attempts"],
        possible_duplicate=bool(row["possible_duplicate"]),
        sent_parts=parts.sent(ledger, row["number"], row["generation"]) if row["total"] else (),
        modem=row["modem"],
        reference=row["number"] % 256,
    )
