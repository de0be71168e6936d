"""The journal: every message, stored before it is acknowledged."""

from otp.pi.journal.accepting import Accepted
from otp.pi.journal.blocks import Blocked
from otp.pi.journal.counters import Charge
from otp.pi.journal.errors import NoRowError, StorageError, TransitionError
from otp.pi.journal.inbox import Letter
from otp.pi.journal.journal import Journal
from otp.pi.journal.recovery import Recovery
from otp.pi.journal.rows import Row

__all__ = [
    "Accepted",
    "Blocked",
    "Charge",
    "Journal",
    "Letter",
    "NoRowError",
    "Recovery",
    "Row",
    "StorageError",
    "TransitionError",
]
