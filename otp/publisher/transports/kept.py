"""Keep one connection open between commands, and notice in time when it has died.

A connection that was idle may be dead without our knowing: a router forgot it, the server was unplugged.
Writing to it would lose the first message after every quiet hour. So one that was idle, or whose last use
failed, is probed before it is used again, and replaced when it does not answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from otp.roads import cancellation
from otp.roads.closing import quietly

IDLE = 5.0
"""Seconds without use after which a connection is probed; a probe costs one round trip."""

PROBE = 2.0
"""Seconds a probe may take: TCP repeats a lost segment after one, so one loss does not cost a connection."""

C = TypeVar("C")


@dataclass(slots=True)
class _Held(Generic[C]):
    """A connection.

    Attributes:
        connection: What was opened.
        proved: When it last worked, monotonic seconds; ``None`` after a failure.
    """

    connection: C
    proved: float | None


class Kept(Generic[C]):
    """One connection, opened when first used and again when it has died.

    Args:
        opener: Opens one; raises ``RoadError``.
        alive: Says at once whether it is open as far as is known.
        prove: Returns when the connection answers; raises anything when it does not.
        closer: Closes one; may raise.
    """

    def __init__(
        self,
        opener: Callable[[], Awaitable[C]],
        alive: Callable[[C], bool],
        prove: Callable[[C], Awaitable[None]],
        closer: Callable[[C], Awaitable[None]],
    ) -> None:
        self._open = opener
        self._alive = alive
        self._prove = prove
        self._close = closer
        self._held: _Held[C] | None = None
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[C]:
        """Yield a connection that works as far as can be known; a failure inside has it probed next time."""
        with cancellation.heeded():
            held = await self._take()
        try:
            yield held.connection
        except BaseException:
            held.proved = None
            raise
        held.proved = time.monotonic()

    async def close(self) -> None:
        """Close the connection, if there is one, and wait for those that are closing."""
        self._drop()
        if self._closing:
            await asyncio.wait(self._closing)

    async def _take(self) -> _Held[C]:
        async with self._lock:
            if self._held is not None and not await self._works(self._held):
                self._drop()
            if self._held is None:
                self._held = _Held(await self._open(), time.monotonic())
            return self._held

    async def _works(self, held: _Held[C]) -> bool:
        if not self._alive(held.connection):
            return False
        if held.proved is not None and time.monotonic() - held.proved < IDLE:
            return True
        try:
            async with asyncio.timeout(PROBE):
                await self._prove(held.connection)
        except Exception:  # noqa: BLE001 - however it fails, the connection does not work
            return False
        held.proved = time.monotonic()
        return True

    def _drop(self) -> None:
        """Close the connection in the background: a dead one takes its time, and whoever sends has none."""
        held, self._held = self._held, None
        if held is not None:
            closing = asyncio.create_task(quietly(self._close(held.connection)))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
