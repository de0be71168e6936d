"""Look into the journal of an OTP-Pi that runs, or has been killed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from otp.pi.journal import Journal, Row
from otp.pi.model import WAITING, State
from otp.pi.outbox.verdicts import OUTCOME_UNKNOWN

_PAGE = 500


async def read(data_dir: Path) -> list[Row]:
    """Return all rows, in order."""
    journal = await Journal.open(data_dir, read_only=True)
    try:
        found: list[Row] = []
        while page := await journal.rows(limit=_PAGE, after=found[-1].number if found else 0):
            found += page
    finally:
        await journal.close()
    return found


def stored(data_dir: Path) -> int:
    """Return how many rows there are, as fast as that can be told; 0 where nobody can tell at the moment."""
    try:
        with closing(sqlite3.connect(f"file:{data_dir / 'journal.db'}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT coalesce(max(number), 0) FROM messages").fetchone()[0])
    except sqlite3.Error:
        return 0


def is_open(row: Row) -> bool:
    """Tell whether something has still to be done about a row; ``unknown`` is, as long as its one retry is due."""
    return row.state in WAITING or (row.state is State.UNKNOWN and row.reason != OUTCOME_UNKNOWN)
