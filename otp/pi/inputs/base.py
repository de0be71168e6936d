"""Say what a way in has to promise; the four of them are in the modules beside this one.

| way in       | acknowledged by                | what cannot be stored                      | sent while we are away |
|--------------|--------------------------------|--------------------------------------------|------------------------|
| ws           | the pong of the next ping      | is held and tried again; pings wait behind | as the broker keeps it |
| amqp         | basic.ack                      | goes back to its queue, with all behind it | waits                  |
| redis pubsub | nothing: Redis asks for none   | is held and tried again                    | is lost                |
| redis stream | XACK                           | stays pending and is read again            | waits                  |
| redis list   | LREM from a list of our own    | stays in that list and is read again       | waits                  |
| mqtt         | PUBACK, or PUBREC with QoS 2   | comes again on a new connection            | waits                  |

All of them hand over one message after the other, in the order of arrival, and acknowledge none before ``take`` has
returned or has refused it for good.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from otp.pi.model import Origin

Take = Callable[[bytes, Origin], Awaitable[None]]
"""Stores a command and returns once it is safe to acknowledge it.

Raises:
    model.RejectedError: It is no command and never will be; it has been journaled.
    model.UnstoredError: It could not be stored, and must not be acknowledged.
"""

MAX_PAYLOAD = 1024 * 1024
"""Bytes of a command; a longer one is refused unread. As ``rest.max_body``; an e-mail of a command has a few KB."""

PUBLISH_TIME = 10.0
"""Seconds after which an answer that no server has taken is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputStatus:
    """How a way in is at this moment.

    Attributes:
        connected: Whether commands can come: logged in, and subscribed.
        since: Unix seconds of the last change of ``connected``.
        detail: One sentence for a human: to what, or why not.
        received: Messages that came since the start, refused ones and repetitions included.
    """

    connected: bool
    since: float
    detail: str
    received: int


class RoadLostError(Exception):
    """An answer was not taken by the server; the text names the server, never the answer."""


class Input(Protocol):
    """A way in.

    Attributes:
        name: What the journal and the log call it.
        topic: Topic, queue, channel or key that commands come from.
    """

    name: str
    topic: str

    @property
    def status(self) -> InputStatus:
        """How it is now."""
        ...

    async def run(self) -> None:
        """Connect, take commands, heal what breaks; returns only by being cancelled, with nothing left open."""
        ...

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish an answer; waits for a connection that is just being healed.

        Raises:
            RoadLostError: No server has confirmed it within ``PUBLISH_TIME``, or it was refused. It may have been
                published all the same when the connection broke in between.
        """
        ...
