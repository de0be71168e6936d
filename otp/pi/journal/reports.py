"""Take what the network says later: references after the time was over, and reports of delivery.

A message is delivered when all its parts are, and undelivered as soon as one is. Of a message that was sent twice,
one copy that arrived whole is enough.
"""

import sqlite3
from typing import Final

from otp.pi.journal import parts, states
from otp.pi.journal.ledger import Ledger
from otp.pi.model import State

LATEST: Final = 3 * 86_400.0
"""Seconds after which a report belongs to no part any more: references repeat after 256 parts."""

_SAME_DIGITS: Final = 8
"""Digits at the end that tell two spellings of a number the same: networks report national forms too."""

_RETRY_NOT_BEGUN: Final = frozenset({State.QUEUED, State.UNKNOWN, State.SENDING, State.FAILED, State.EXPIRED})
_REPORTABLE: Final = frozenset({State.SENT, State.UNDELIVERED})

_UNDER_WAY: Final = """SELECT messages.receiver_key FROM parts JOIN messages ON messages.number = parts.message
    WHERE parts.modem = ? AND parts.state = 'flight'"""
_CANDIDATES: Final = """SELECT parts.id, parts.message, parts.delivered, messages.receiver_key FROM parts
    JOIN messages ON messages.number = parts.message
    WHERE parts.modem = ? AND reference = ? AND reference IS NOT NULL AND began > ? ORDER BY parts.id DESC"""
_COPIES: Final = """SELECT generation, count(DISTINCT CASE WHEN delivered = 1 THEN part END) AS arrived,
    max(delivered = 0) AS lost FROM parts WHERE message = ? GROUP BY generation"""


def report(
    ledger: Ledger, modem: str, reference: int, receiver_key: str, *, delivered: bool | None, at: float
) -> int | None:
    """Store a report of delivery; see ``Journal.delivery_report``."""
    row = _reported(ledger, modem, reference, receiver_key)
    if row is not None:
        if delivered is not None:
            _decide(ledger, row["id"], delivered=delivered, at=at)
            _reconsider(ledger, row["message"])
        return int(row["message"])
    if delivered is not None:  # it may have been faster than what waits for the reference
        insert = "INSERT INTO reports (modem, reference, receiver_key, delivered, at, stored) VALUES (?, ?, ?, ?, ?, ?)"
        ledger.database.execute(insert, (modem, reference, receiver_key, delivered, at, ledger.clock()))
    return None


def _reported(ledger: Ledger, modem: str, reference: int, receiver_key: str) -> sqlite3.Row | None:
    """Return the part that a report is about: the newest of this reference that has none yet.

    Where all have theirs it is a repetition about the newest, unless a part to this receiver is under way: a report can
    be faster than the reference of what it is about, and references repeat.
    """
    query = (modem, reference, ledger.clock() - LATEST)
    rows = ledger.database.execute(_CANDIDATES, query).fetchall()
    rows = [row for row in rows if _same(row["receiver_key"], receiver_key)]
    open_rows = [row for row in rows if row["delivered"] is None]
    if open_rows:
        return open_rows[0]  # type: ignore[no-any-return]
    under_way = ledger.database.execute(_UNDER_WAY, (modem,)).fetchall()
    if not rows or any(_same(each["receiver_key"], receiver_key) for each in under_way):
        return None
    return rows[0]  # type: ignore[no-any-return]


def late_reference(ledger: Ledger, modem: str, number: int, part: int, reference: int) -> None:
    """Store that a part was taken after all; see ``Journal.late_reference``."""
    row = states.row_of(ledger, number)
    found = parts.doubtful(ledger, modem, number, part)
    if found is None:
        return
    take_reference(ledger, number, found, reference)
    if _ends(ledger, row, found["generation"]):
        # The copy that arrived is the one whose references count.
        states.change(ledger, number, modem=modem, late=1, generation=found["generation"])
        end_sent(ledger, number)


def take_reference(ledger: Ledger, number: int, part: sqlite3.Row, reference: int) -> None:
    """Store the reference of a part, and the report that was there before it."""
    parts.taken(ledger, part["id"], reference)
    key = states.row_of(ledger, number)["receiver_key"]
    query = "SELECT * FROM reports WHERE modem = ? AND reference = ? AND stored >= ? ORDER BY id DESC"
    for early in ledger.database.execute(query, (part["modem"], reference, part["began"])).fetchall():
        if _same(key, early["receiver_key"]):
            _decide(ledger, part["id"], delivered=bool(early["delivered"]), at=early["at"])
            ledger.database.execute("DELETE FROM reports WHERE id = ?", (early["id"],))
            return


def end_sent(ledger: Ledger, number: int) -> None:
    """End a message as sent, or further where its reports are in."""
    states.end(ledger, number, State.SENT)
    _reconsider(ledger, number)


def sweep(ledger: Ledger) -> None:
    """Forget reports that no part came for."""
    ledger.database.execute("DELETE FROM reports WHERE stored <= ?", (ledger.clock() - LATEST,))


def _ends(ledger: Ledger, row: sqlite3.Row, generation: int) -> bool:
    """Tell whether a message is sent now that one of its parts was: all were, and nobody is sending it again."""
    if row["state"] not in _RETRY_NOT_BEGUN or not parts.complete(ledger, row, generation):
        return False
    return row["state"] != State.SENDING or parts.in_flight(ledger, row["number"]) is None


def _decide(ledger: Ledger, identity: int, *, delivered: bool, at: float) -> None:
    ledger.database.execute("UPDATE parts SET delivered = ?, decided = ? WHERE id = ?", (delivered, at, identity))


def _reconsider(ledger: Ledger, number: int) -> None:
    """Set what the reports of a message that was sent amount to."""
    row = states.row_of(ledger, number)
    if row["state"] not in _REPORTABLE:
        return
    copies = ledger.database.execute(_COPIES, (number,)).fetchall()
    if any(copy["arrived"] == row["total"] for copy in copies):
        state = State.DELIVERED
    elif any(copy["lost"] for copy in copies if copy["generation"] == row["generation"]):
        state = State.UNDELIVERED
    else:
        return
    if state != row["state"]:
        states.change(ledger, number, state=state.value)
        states.tally(ledger, state)


def _same(key: str, reported: str) -> bool:
    """Tell whether a report is about this receiver."""
    ours, theirs = _digits(key), _digits(reported)
    return key == reported or (len(theirs) >= _SAME_DIGITS and ours[-_SAME_DIGITS:] == theirs[-_SAME_DIGITS:])


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))
