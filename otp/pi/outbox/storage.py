"""Write to the journal however long that takes: a disk that is full today is not full for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from broker.logs import Log
from otp.pi.journal import StorageError

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries, doubling from the first to the longest."""

_Answer = TypeVar("_Answer")
_LOG: Final = Log("otp.pi")


async def persist(call: Callable[[], Awaitable[_Answer]]) -> _Answer:
    """Return what a call of the journal returns, once it succeeds.

    What has happened at a modem has to be written down before anything else happens to the message; so whoever calls
    this waits, and with it the modem. Cancelled meanwhile, the row stays as the last successful call left it, and the
    next start reads from it what may have happened.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except StorageError as error:
            _LOG.error("journal_unavailable", error=str(error), again_in=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
