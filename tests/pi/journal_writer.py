"""Accept messages until killed, and say of each that it was stored: `python -m tests.pi.journal_writer DIR FIRST`."""

import asyncio
import resource
import sys
from pathlib import Path

from broker import logs
from otp.pi.journal import Journal, StorageError
from tests.pi.journal_messages import Clock, new


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def accept(journal: Journal, first: int, step: int) -> None:
    number = first
    while True:
        accepted = await journal.accept(new(str(number)))
        say(number, accepted.number)
        number += step


async def forever(directory: Path, first: int) -> None:
    """Accept 8 messages at a time."""
    journal = await Journal.open(directory, clock=Clock())
    await asyncio.gather(*(accept(journal, first + lane, 8) for lane in range(8)))


async def look(journal: Journal) -> None:
    """Say whether something can be stored."""
    try:
        await journal.check()
    except StorageError as error:
        say("check", error)
    else:
        say("check", "passed")


async def until_full(directory: Path) -> None:
    """Accept until the disk is full, then make room and accept one more."""
    logs.configure("text", "info", root="otp.pi")
    journal = await Journal.open(directory, clock=Clock())
    await look(journal)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    number = 0
    try:
        while True:
            calls = [journal.accept(new(str(number + lane), text="x" * 2000)) for lane in range(8)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for lane, answer in enumerate(answers):
                if isinstance(answer, StorageError):
                    say("refused", number + lane, answer)
                else:
                    say("stored", number + lane)
            if any(isinstance(answer, StorageError) for answer in answers):
                break
            number += 8
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))  # not even room for a small write
        await look(journal)
        await look(journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await look(journal)
    await journal.accept(new("room"))
    say("stored room")
    await journal.close()


if __name__ == "__main__":
    if sys.argv[2] == "full":
        asyncio.run(until_full(Path(sys.argv[1])))
    else:
        asyncio.run(forever(Path(sys.argv[1]), int(sys.argv[2])))
