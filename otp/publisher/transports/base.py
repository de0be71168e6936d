"""Say what a road has to promise, and what of it is the same for all five.

A road carries bytes and reports the server's word; it knows nothing of commands and codes.

| road  | ``send`` returns when                                            | nobody listens              |
|-------|------------------------------------------------------------------|-----------------------------|
| WS    | the broker answered a ping sent after the frame                  | cannot be known             |
| REST  | the answer is there                                              | there is no answer          |
| AMQP  | the broker confirmed the message, which had a queue to go to     | it waits in the queue: told |
| MQTT  | the broker acknowledged it at quality of service 1               | told, with MQTT 5           |
| REDIS | the server said how many received it                             | told                        |
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from otp.publisher.errors import RoadError

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer; a list of a hundred modems has 50 KB."""

Answer = Callable[[], Awaitable[bytes]]
"""Waits for the first message on a topic."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's word that it has a message.

    Attributes:
        note: What that means, one sentence; empty when there is nothing to add.
        listeners: How many are known to listen; ``None`` when the road cannot tell.
        answer: What the receiving end answered at once; only REST has one.
    """

    note: str = ""
    listeners: int | None = None
    answer: bytes | None = field(default=None, repr=False)


class Road(Protocol):
    """A way to the receiving end.

    Methods raise ``RoadError`` and nothing else. Any number of tasks of one event loop may use them at once. A
    cancelled call leaves the road in order; whether its message went out is then not known.

    Attributes:
        answers_at_once: Whether ``send`` returns the answer, and there is nothing to listen to.
    """

    answers_at_once: bool

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        """Hand over one message and return the server's word.

        Args:
            payload: The message.
            lifetime: Seconds after which a server that can may throw it away; ``None`` for never.
        """
        ...

    def listen(self, topic: str) -> AbstractAsyncContextManager[Answer]:
        """Subscribe to a topic; when the block is entered, the subscription stands."""
        ...

    async def check(self) -> str:
        """Reach the server, prove who we are, change nothing; return one sentence about what was found."""
        ...

    async def close(self) -> None:
        """Let go of all connections; closing twice is fine."""
        ...


async def send(road: Road, payload: bytes, *, lifetime: int | None, timeout: float) -> Receipt:
    """Hand over one message within ``timeout`` seconds.

    Raises:
        RoadError: It was not taken, or not in time.
    """
    try:
        async with asyncio.timeout(timeout):
            return await road.send(payload, lifetime)
    except TimeoutError:
        raise RoadError("timeout", f"The server said nothing within {timeout:g} s.") from None


async def ask(road: Road, payload: bytes, topic: str, *, timeout: float, callback_timeout: float) -> bytes:
    """Subscribe to ``topic``, wait until that stands, hand over the message, return the first answer.

    Args:
        road: The way.
        payload: The message, which names ``topic`` as its callback topic.
        topic: Where the answer is awaited.
        timeout: Seconds that handing over may take.
        callback_timeout: Seconds for all of it.

    Raises:
        RoadError: It was not taken (as ``send``), or ``no_answer``.
    """
    handed_over = False
    try:
        async with asyncio.timeout(callback_timeout), road.listen(topic) as answer:
            await send(road, payload, lifetime=None, timeout=timeout)
            handed_over = True
            return await answer()
    except TimeoutError:
        if handed_over:
            text = f"The command was handed over, but nobody answered it within {callback_timeout:g} s."
            raise RoadError("no_answer", text) from None
        raise RoadError("timeout", f"The server said nothing within {callback_timeout:g} s.") from None
