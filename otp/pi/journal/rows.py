"""Show rows: what is known about messages, never what they say."""

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from otp.pi.journal import parts
from otp.pi.journal.ledger import Ledger
from otp.pi.journal.text import storable
from otp.pi.model import WAITING, Channel, State

_COLUMNS = """number, arrived, command, channel, receiver, road, user, state, modem, total, generation, attempts,
    reason, possible_duplicate, deadline, updated, length, digest, duplicate_of, message_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the journal without its body.

    Attributes:
        number: Ascending in order of arrival.
        arrived, deadline, updated: Unix seconds.
        command, channel, receiver, road, user, message_id: As of ``NewMessage``.
        state, modem, reason, references, possible_duplicate: As of ``Outcome``.
        parts: Of an SMS that was begun; else 0.
        attempts: How often it was given to a modem or account.
        length: Characters of a message, bytes of a command.
        digest: 32 hexadecimal digits by which the same text is recognised, with this journal's key only.
        duplicate_of: Row of the same message that came first.
    """

    number: int
    arrived: float
    command: str
    channel: Channel
    receiver: str
    road: str
    user: str
    state: State
    modem: str
    parts: int
    references: tuple[int, ...]
    attempts: int
    reason: str
    possible_duplicate: bool
    deadline: float
    updated: float
    length: int
    digest: str
    duplicate_of: int | None
    message_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "references": list(self.references)}


def rows(
    ledger: Ledger, *, limit: int, before: int | None, after: int | None, state: State | None, receiver: str | None
) -> list[Row]:
    """Return rows; see ``Journal.rows``."""
    conditions = {
        "number < ?": before,
        "number > ?": after,
        "state = ?": state,
        "? IN (receiver, receiver_key)": None if receiver is None else storable(receiver),
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    where = " AND ".join([*given, "ended IS NULL" if state in WAITING else "true"])
    order = "ASC" if after is not None else "DESC"
    query = f"SELECT {_COLUMNS} FROM messages WHERE {where} ORDER BY number {order} LIMIT ?"  # noqa: S608 - own words
    return [_row(ledger, row) for row in ledger.database.execute(query, (*given.values(), limit)).fetchall()]


def counts(ledger: Ledger) -> dict[State, int]:
    """Return how many rows are open in each state, and how often rows came to each final one since the start."""
    final = ledger.database.execute("SELECT state, times FROM tally WHERE state != 'unknown'")
    found = {State(state): times for state, times in final}
    open_rows = ledger.database.execute("SELECT state, count(*) FROM messages WHERE ended IS NULL GROUP BY state")
    return found | {State(state): times for state, times in open_rows}


def _row(ledger: Ledger, row: sqlite3.Row) -> Row:
    values = dict(row)
    generation, total = values.pop("generation"), values.pop("total")
    values |= {
        "channel": Channel(row["channel"]),
        "state": State(row["state"]),
        "possible_duplicate": bool(row["possible_duplicate"]),
    }
    return Row(**values, parts=total, references=parts.references(ledger, row["number"], generation))
