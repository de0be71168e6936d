"""Put in order what a crash left behind, end what is too late, forget what is old.

| found at the start                     | what may have happened             | becomes                       |
|----------------------------------------|------------------------------------|-------------------------------|
| routed                                 | nothing was handed over            | queued                        |
| sending, a part in flight              | the part was taken, or not         | unknown; its one retry is due |
| sending, none in flight, some missing  | those sent were noted              | queued; they stay sent        |
| sending, none in flight, none missing  | all was taken                      | sent                          |
| a command under way, such as USSD      | the network carried it out, or not | unknown for good              |
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from otp.pi.journal import counters, duplicates, parts, reports, states
from otp.pi.journal.ledger import Ledger
from otp.pi.model import Channel, State

INTERRUPTED: Final = "interrupted"
PAGE: Final = 1000
"""Rows that are removed in one call, some 20 ms."""

_OLD: Final = """DELETE FROM messages WHERE number IN (SELECT number FROM messages WHERE ended < ? AND NOT EXISTS
    (SELECT 1 FROM duplicates WHERE message = number AND until > ?) ORDER BY ended LIMIT ?)"""
_LATE: Final = """SELECT number, possible_duplicate FROM messages
    WHERE ended IS NULL AND state = 'queued' AND deadline <= ?"""
_LETTERS: Final = "DELETE FROM inbox WHERE number IN (SELECT number FROM inbox WHERE arrived < ? LIMIT ?)"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at the start.

    Attributes:
        queued: Messages that wait again, since nothing (more) of them was handed over.
        unknown: Messages and commands of which nobody knows whether they were taken.
        sent: Messages all of which was taken.
    """

    queued: int = 0
    unknown: int = 0
    sent: int = 0

    def __str__(self) -> str:
        return f"{self.queued} queued, {self.unknown} unknown, {self.sent} sent"


def recover(ledger: Ledger) -> Recovery:
    """Put in order what was under way; see the table above."""
    query = "SELECT * FROM messages WHERE ended IS NULL AND state IN ('routed', 'sending')"
    found = [_recover(ledger, row) for row in ledger.database.execute(query).fetchall()]
    return Recovery(found.count(State.QUEUED), found.count(State.UNKNOWN), found.count(State.SENT))


def expire(ledger: Ledger) -> int:
    """End messages that wait and whose time is over; one that may have arrived ends as unknown."""
    rows = ledger.database.execute(_LATE, (ledger.clock(),)).fetchall()
    for number, doubtful in rows:
        state, reason = (State.UNKNOWN, "outcome_unknown") if doubtful else (State.EXPIRED, "expired")
        states.end(ledger, number, state, reason)
    return len(rows)


def sweep_page(ledger: Ledger, keep: float) -> int:
    """Remove some rows that ended, or came in, more than ``keep`` seconds ago; return how many."""
    now = ledger.clock()
    removed = ledger.database.execute(_OLD, (now - keep, now, PAGE)).rowcount
    letters = ledger.database.execute(_LETTERS, (now - keep, PAGE)).rowcount
    ledger.erased = ledger.erased or letters > 0
    return removed + letters


def sweep_rest(ledger: Ledger) -> None:
    """Forget keys, windows and reports whose time is over."""
    for each in (duplicates, counters, reports):
        each.sweep(ledger)


def _recover(ledger: Ledger, row: sqlite3.Row) -> State:
    number = row["number"]
    if row["channel"] == Channel.NONE:
        states.end(ledger, number, State.UNKNOWN, INTERRUPTED)
        return State.UNKNOWN
    if parts.in_flight(ledger, number) is not None:
        parts.settle(ledger, number, "unknown")
        states.change(ledger, number, state=State.UNKNOWN, reason=INTERRUPTED)
        return State.UNKNOWN
    if parts.complete(ledger, row, row["generation"]):
        reports.end_sent(ledger, number)
        return State.SENT
    states.change(ledger, number, state=State.QUEUED)
    return State.QUEUED
