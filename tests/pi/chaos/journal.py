"""Look into the journal of an OTP-Pi that runs, or has been killed."""

from pathlib import Path

from otp.pi.journal import Journal, Row
from otp.pi.model import State

_PAGE = 500
_OPEN = frozenset({State.QUEUED, State.ROUTED, State.SENDING})


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


def is_open(row: Row) -> bool:
    """Tell whether something has still to be done about a row."""
    return row.state in _OPEN
