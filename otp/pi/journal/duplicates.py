"""Recognise a message that was taken before, over whatever road.

Two messages are the same when id, receiver, subject and text are, and the commands mean the same: ``send-message`` to a
number is ``send-sms``. With an ``id`` that holds for a day, or as long as the message is good for; without one for a
minute only, since nobody can tell a repetition from a second message that reads the same.
"""

from typing import Final

from otp.pi.journal.ledger import Ledger
from otp.pi.model import NewMessage

WITH_ID: Final = 86_400.0
WITHOUT_ID: Final = 60.0
"""Seconds for which a message is recognised."""

_SENDING: Final = frozenset({"send-sms", "send-message", "send-mail", "send-email"})


def key_of(ledger: Ledger, new: NewMessage) -> bytes:
    """Return what two messages that are the same have in common, 32 bytes."""
    command = new.channel.value if new.command in _SENDING else new.command
    return ledger.sealer.recognise(command, new.message_id, new.receiver_key, new.subject, new.text)


def first(ledger: Ledger, key: bytes) -> int | None:
    """Return the row of the first message that has this key, ``None`` when there is none or it is long ago."""
    query = "SELECT message FROM duplicates WHERE key = ? AND until > ?"
    row = ledger.database.execute(query, (key, ledger.clock())).fetchone()
    return int(row[0]) if row else None


def remember(ledger: Ledger, key: bytes, number: int, new: NewMessage) -> None:
    """Recognise this message from now on."""
    keep = max(WITH_ID, new.deadline - new.arrived) if new.message_id else WITHOUT_ID
    ledger.database.execute("INSERT OR REPLACE INTO duplicates VALUES (?, ?, ?)", (key, number, ledger.clock() + keep))


def free(ledger: Ledger, number: int) -> None:
    """Let the message of a row be sent again: it was not sent."""
    ledger.database.execute("DELETE FROM duplicates WHERE message = ?", (number,))


def sweep(ledger: Ledger) -> None:
    """Forget keys whose time is over."""
    ledger.database.execute("DELETE FROM duplicates WHERE until <= ?", (ledger.clock(),))
