"""The sending end of the load: hands frames to its socket and keeps what the socket does not take yet."""

import select
import socket

from bench.budget import BenchError
from bench.wire import Cycle

_READING = select.EPOLLIN
_WRITING = select.EPOLLIN | select.EPOLLOUT

_QUESTION = b"\x82\x06PING\r\n"
"""What the NATS server asks every client once, some seconds after it came; see `UnframingSubscriber`."""


class Publisher:
    """Sends the messages of a cycle in their order."""

    __slots__ = ("_answered", "_cycle", "_events", "_poll", "_said", "_unsent", "client", "sent")

    def __init__(self, client: socket.socket, cycle: Cycle, poll: select.epoll, *, answered: bool = False) -> None:
        """Join a poller.

        Args:
            client: A non-blocking socket.
            cycle: What is sent, over and over.
            poll: Where the socket is registered from now on.
            answered: Whether the broker says a word about each message, to be thrown away.
        """
        self.client = client
        self._cycle = cycle
        self._poll = poll
        self._answered = answered
        self._unsent = b""
        self._said = b""
        self._events = _READING
        self.sent = 0
        """Messages handed over since the run began."""
        poll.register(client.fileno(), _READING)

    @property
    def blocked(self) -> bool:
        """Whether the socket still holds back what was sent before."""
        return bool(self._unsent)

    def send(self, count: int) -> None:
        """Send the next `count` messages; not to be called while `blocked`."""
        self._push(self._cycle.slice_to_send(self.sent, count))
        self.sent += count

    def flush(self) -> None:
        """Go on with what the socket did not take."""
        if self._unsent:
            self._push(self._unsent)

    def _push(self, data: bytes) -> None:
        try:
            count = self.client.send(data)
        except BlockingIOError:
            count = 0
        self._unsent = data[count:]
        events = _WRITING if self._unsent else _READING
        if events != self._events:
            self._events = events
            self._poll.modify(self.client.fileno(), events)

    def ready(self) -> None:
        """Flush, and see to it that the broker has nothing to say to a publisher.

        Raises:
            BenchError: It sent something back, or closed.
        """
        self.flush()
        try:
            echo = self.client.recv(65536)
        except BlockingIOError:
            return
        if not echo:
            raise BenchError("the publisher was closed")
        if self._answered:
            return
        self._said = (self._said + echo).replace(_QUESTION, b"")
        if not _QUESTION.startswith(self._said):  # over TLS the question comes in two pieces
            raise BenchError(f"the publisher received {self._said[:64]!r}: a sender must not get its own messages back")
