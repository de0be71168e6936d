"""Wait for the first message of a subscription, or for its end."""

import asyncio

from otp.publisher.errors import RoadError


class First:
    """The first message; what follows it is dropped.

    Not a future: one that fails while nobody waits would be reported as a mistake.
    """

    __slots__ = ("_failure", "_message", "_news")

    def __init__(self) -> None:
        self._message: bytes | None = None
        self._failure: RoadError | None = None
        self._news = asyncio.Event()

    def arrive(self, message: bytes) -> None:
        """Take a message."""
        if self._message is None:
            self._message = message
            self._news.set()

    def fail(self, failure: RoadError) -> None:
        """Take note that no message will come any more."""
        self._failure = failure
        self._news.set()

    async def wait(self) -> bytes:
        """Return the first message.

        Raises:
            RoadError: The subscription ended without one.
        """
        await self._news.wait()
        if self._message is None:
            raise self._failure or RoadError("connection_lost", "The subscription ended.")
        return self._message
