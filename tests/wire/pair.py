"""Two clients that behave, while others on the broker do not: what one sends the other gets, all of it, in order."""

import asyncio
from types import TracebackType
from typing import Final, Self

from broker.frames import PING, TEXT
from tests.wire.raw import Frame, Wire, client_frame, text

WINDOW: Final = 200
"""Messages of the publisher that may be under way."""
PACE: Final = 0.001
"""Seconds between two messages: busy, without keeping a core busy."""
MARK: Final = b"pair "
END: Final = text("the pair is done")


class Pair:
    """A publisher that counts, and a subscriber that checks.

    As a context manager it publishes until its end and then waits for the last message. A message that is missing,
    doubled or out of order fails the test.

    Args:
        publisher: connected; it reads what others publish, and forgets it.
        subscriber: connected to the same topic.
    """

    def __init__(self, publisher: Wire, subscriber: Wire) -> None:
        self.publisher = publisher
        self.subscriber = subscriber
        self.sent = 0
        self.received = 0
        self.others: list[bytes] = []
        """What third parties published on the topic, in the order of arrival."""
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._publishing = asyncio.create_task(self._publish())
        self._subscribing = asyncio.create_task(self._subscribe())
        self._forgetting = asyncio.create_task(self._forget())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        tasks = (self._publishing, self._subscribing)
        try:
            if error is None:
                await asyncio.gather(*tasks)
                assert self.received == self.sent > 0
        finally:
            for task in (*tasks, self._forgetting):
                task.cancel()
            await asyncio.gather(*tasks, self._forgetting, return_exceptions=True)

    async def exchange(self, count: int) -> None:
        """Wait until so many more messages went through."""
        goal = self.received + count
        while self.received < goal:
            if self._subscribing.done():
                await self._subscribing
            await asyncio.sleep(PACE)

    async def _publish(self) -> None:
        while not self._stopping:
            if self.sent - self.received < WINDOW:
                await self.publisher.send(client_frame(TEXT, MARK + b"%d" % self.sent))
                self.sent += 1
            await asyncio.sleep(PACE)
        await self.publisher.send(client_frame(*END))

    async def _subscribe(self) -> None:
        while (frame := await self._message(self.subscriber)) != END:
            if frame.payload.startswith(MARK):
                assert int(frame.payload.removeprefix(MARK)) == self.received
                self.received += 1
            else:
                self.others.append(frame.payload)

    async def _forget(self) -> None:
        while True:
            await self._message(self.publisher)

    async def _message(self, wire: Wire) -> Frame:
        while (frame := await wire.frame()).first == PING:
            pass
        return frame
