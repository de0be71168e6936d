"""Lines from a thread."""

import asyncio
import io
import os
import threading

import pytest

from broker import lines
from broker.lines import lines_of


async def test_lines_come_in_order_with_their_ends() -> None:
    """Every line of a file comes once, in order, also the last one without an end."""
    assert [line async for line in lines_of(io.BytesIO(b"one\ntwo\r\n\nlast"))] == [
        b"one\n",
        b"two\r\n",
        b"\n",
        b"last",
    ]


async def test_line_comes_while_the_pipe_stays_open() -> None:
    """A line is there as soon as it is written, and the loop turns while the next one is awaited."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        found = lines_of(file)
        os.write(writing, b"one\n")
        assert await anext(found) == b"one\n"
        waiting = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(writing, b"two\n")
        assert await waiting == b"two\n"
        os.close(writing)
        assert [line async for line in found] == []


async def test_lines_are_read_only_so_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file larger than memory is read as its lines are taken."""
    monkeypatch.setattr(lines, "_AHEAD", 2)
    taken: list[int] = []
    third = threading.Event()

    class Endless(io.BytesIO):
        def __iter__(self) -> "Endless":
            return self

        def __next__(self) -> bytes:
            taken.append(len(taken))
            if len(taken) == 4:
                third.set()
            if len(taken) > 5:
                raise StopIteration
            return b"line\n"

    found = lines_of(Endless())
    await anext(found)
    assert await asyncio.to_thread(third.wait, 10)
    assert len(taken) == 4, "one taken, two ahead, one in the reader's hand"
    assert [line async for line in found] == [b"line\n"] * 4


def test_reader_ends_quietly_when_nobody_wants_the_rest() -> None:
    """A loop that is closed meanwhile is the end, not a traceback of the thread."""
    loop = asyncio.new_event_loop()
    loop.close()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    lines._read(io.BytesIO(b"one\n"), loop, queue, threading.Semaphore(1))
    assert queue.empty()
