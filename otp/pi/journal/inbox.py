"""Keep SMS that were received, sealed like those to be sent."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from otp.pi.journal.ledger import Ledger
from otp.pi.journal.sealing import DamagedError
from otp.pi.journal.text import storable

_INSERT: Final = """INSERT INTO inbox (key, modem, sender, sent_at, arrived, body) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING number"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """An SMS that was received.

    Attributes:
        number: Its row; the inbox has numbers of its own.
        modem: Who received it.
        sender: A number, or letters.
        text: What it says; empty when the file was damaged.
        sent_at: Time stamp of the service centre, Unix seconds.
        arrived: When it was stored, Unix seconds.
    """

    number: int
    modem: str
    sender: str = field(repr=False)
    text: str = field(repr=False)
    sent_at: float
    arrived: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def received(ledger: Ledger, modem: str, sender: str, text: str, sent_at: float) -> int:
    """Store an SMS; the same one again is the same row."""
    key = ledger.sealer.recognise(modem, sender, repr(sent_at), text)
    sender = storable(sender)
    body = ledger.sealer.seal("", text, sender)
    values = (key, modem, sender, sent_at, ledger.clock(), body)
    return int(ledger.database.execute(_INSERT, values).fetchone()[0])


def inbox(ledger: Ledger, limit: int) -> list[Letter]:
    """Return the last SMS that were received, the newest first."""
    query = "SELECT * FROM inbox ORDER BY number DESC LIMIT ?"
    return [
        Letter(
            number=row["number"],
            modem=row["modem"],
            sender=row["sender"],
            text=_text(ledger, row["body"], row["sender"]),
            sent_at=row["sent_at"],
            arrived=row["arrived"],
        )
        for row in ledger.database.execute(query, (limit,)).fetchall()
    ]


def _text(ledger: Ledger, body: bytes, sender: str) -> str:
    try:
        return ledger.sealer.open(body, sender)[1]
    except DamagedError:
        return ""
