"""Accept messages until killed, and say of each that it was stored: `python -m tests.pi.journal_writer DIR FIRST`."""

import asyncio
import resource
import sys
from pathlib import Path

from otp.pi.journal import Journal, StorageError
from tests.pi.journal_messages import Clock, new


async def accept(journal: Journal, first: int, step: int) -> None:
    number = first
    while True:
        accepted = await journal.accept(new(str(number)))
        print(number, accepted.number, flush=True)
        number += step


async def forever(directory: Path, first: int) -> None:
    """Accept 8 messages at a time."""
    journal = await Journal.open(directory, clock=Clock())
    await asyncio.gather(*(accept(journal, first + lane, 8) for lane in range(8)))


async def until_full(directory: Path) -> None:
    """Accept until the disk is full, then make room and accept one more."""
    journal = await Journal.open(directory, clock=Clock())
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    number = 0
    try:
        while True:
            calls = [journal.accept(new(str(number + lane), text="x" * 2000)) for lane in range(8)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for lane, answer in enumerate(answers):
                if isinstance(answer, StorageError):
                    print("refused", number + lane, answer, flush=True)
                else:
                    print("stored", number + lane, flush=True)
            if any(isinstance(answer, StorageError) for answer in answers):
                break
            number += 8
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await journal.accept(new("room"))
    print("stored room", flush=True)
    await journal.close()


if __name__ == "__main__":
    if sys.argv[2] == "full":
        asyncio.run(until_full(Path(sys.argv[1])))
    else:
        asyncio.run(forever(Path(sys.argv[1]), int(sys.argv[2])))
