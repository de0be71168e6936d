"""Messages and a clock for tests of the journal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from otp.pi.journal import Journal
from otp.pi.model import Channel, NewMessage, Origin

NOON = 1_763_812_800.0
"""Unix seconds: 2025-11-22 12:00 UTC."""

RECEIVER = "+6281234567890"


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def new(message_id: str = "", **values: Any) -> NewMessage:
    """Return a message that came at noon and is good for five minutes."""
    given: dict[str, Any] = {
        "command": "send-sms",
        "channel": Channel.SMS,
        "receiver": RECEIVER,
        "receiver_key": RECEIVER,
        "text": "hello",
        "message_id": message_id,
        "origin": Origin(road="rest", user="alice"),
        "arrived": NOON,
        "deadline": NOON + 300.0,
    }
    return NewMessage(**(given | values))


@asynccontextmanager
async def opened(directory: Path, clock: Clock | None = None, **values: Any) -> AsyncIterator[Journal]:
    """Open a journal and close it."""
    journal = await Journal.open(directory, clock=clock or Clock(), **values)
    try:
        yield journal
    finally:
        await journal.close()


async def send(journal: Journal, number: int, modem: str = "sim-1", *references: int) -> None:
    """Take a message through all its steps, a part for each reference."""
    await journal.routed(number, modem)
    for part, reference in enumerate(references):
        await journal.sending(number, modem, part, len(references))
        await journal.part_sent(number, modem, part, reference)
    await journal.sent(number, modem)
