"""Read lines of a file in a thread, so that the event loop turns while none comes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from typing import BinaryIO, Final

_AHEAD: Final = 1000
"""Lines read before they are wanted; a file larger than memory is no problem."""


async def lines_of(file: BinaryIO) -> AsyncIterator[bytes]:
    """Yield each line as soon as it is there, with its line end.

    A thread reads; it is a daemon, since nothing ends a read from a terminal or a pipe that stays silent.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    room = threading.Semaphore(_AHEAD)
    threading.Thread(target=_read, args=(file, loop, lines, room), daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        yield line


def _read(
    file: Iterable[bytes],
    loop: asyncio.AbstractEventLoop,
    lines: "asyncio.Queue[bytes | None]",
    room: threading.Semaphore,
) -> None:
    try:
        for line in file:
            room.acquire()
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)
    except RuntimeError:
        return  # the loop is closed: nobody wants the rest
