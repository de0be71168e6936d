"""Open connections as fast as a broker lets them in, a bounded number at a time."""

import errno
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field

from bench.budget import BenchError
from bench.connect import new_socket
from bench.cpu import CpuReader

_STUCK_SECONDS = 60.0
_RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: no TIME_WAIT, so that ports do not run out


@dataclass(slots=True)
class HandshakeResult:
    """What a rush of handshakes came to."""

    wall: float = 0.0
    """Seconds from the first connect to the last 101."""
    broker_cpu: float = 0.0
    """The broker's processor time until then. A connection that is not held ends within it, all others later."""
    load_cpu: float = 0.0
    disturbed: float = 0.0
    seconds: list[float] = field(default_factory=list)
    """How long each client waited from connect to 101."""
    refused: dict[str, int] = field(default_factory=dict)
    """How often each other status line came."""

    @property
    def accepted(self) -> int:
        """How many clients got their 101."""
        return len(self.seconds)

    def add(self, more: "HandshakeResult") -> None:
        """Take another rush into the account."""
        self.wall += more.wall
        self.broker_cpu += more.broker_cpu
        self.load_cpu += more.load_cpu
        self.disturbed += more.disturbed
        self.seconds += more.seconds
        for status, count in more.refused.items():
            self.refused[status] = self.refused.get(status, 0) + count


@dataclass(slots=True)
class _Attempt:
    number: int
    client: socket.socket
    began: float
    request: bytes
    """What is still to be sent; empty once everything is."""
    answer: bytes = b""


class Rush:
    """Makes `total` handshakes, at most `at_once` of them under way.

    Clients that are in stay connected until the end when `hold` is set, and reset their connection otherwise.
    """

    def __init__(self, port: int, requests: list[bytes], *, at_once: int, hold: bool) -> None:
        self._port = port
        self._requests = requests
        self._at_once = at_once
        self._hold = hold
        self._poll = select.epoll()
        self._attempts: dict[int, _Attempt] = {}
        self._held: list[socket.socket] = []
        self._started = 0
        self._retry = 0.0
        self._due: deque[tuple[float, int]] = deque()
        """Who was refused and comes again, and when, the soonest first."""
        self._result = HandshakeResult()

    def run(
        self, broker: CpuReader, *, total: int, seconds: float, keep: bool = False, retry: float = 0.0
    ) -> HandshakeResult:
        """Make handshakes until `total` were begun or `seconds` have passed, and await the open ones.

        Args:
            broker: Whose processor time is read, before anybody who stayed is let go of.
            total: How many clients there are.
            seconds: How long new attempts are made.
            keep: Whether those who are in stay in after the end, until `close`.
            retry: Seconds after its own refusal when a client tries again; 0 for never.
        """
        self._result = result = HandshakeResult()
        self._retry = retry
        disturbed, cpu = broker.disturbed(), broker.seconds()
        own, began = time.process_time(), time.perf_counter()
        try:
            self._rush(self._started + total, began + seconds)
            result.wall = time.perf_counter() - began
            result.load_cpu = time.process_time() - own
            result.broker_cpu = broker.seconds() - cpu
            result.disturbed = broker.disturbed() - disturbed
        finally:
            if not keep:
                self._drop_all()
        return result

    def _rush(self, last: int, until: float) -> None:
        while self._attempts or ((self._started < last or self._due) and time.perf_counter() < until):
            if time.perf_counter() < until:
                self._start(last)
            else:
                self._due.clear()
            self._step()
        self._due.clear()

    def close(self) -> None:
        """Let go of the poller and of every connection."""
        self._drop_all()
        self._poll.close()

    def _drop_all(self) -> None:
        for client in [*self._held, *(attempt.client for attempt in self._attempts.values())]:
            _reset(client)
        self._held.clear()
        self._attempts.clear()

    @property
    def _room(self) -> int:
        return self._at_once - len(self._attempts)

    def _start(self, last: int) -> None:
        """Begin what there is room for: first those who come again, then those who are new."""
        now = time.perf_counter()
        while self._room and self._due and self._due[0][0] <= now:
            self._begin(self._due.popleft()[1])
        while self._room and self._started < last:
            self._started += 1
            self._begin(self._started - 1)

    def _begin(self, number: int) -> None:
        client = new_socket(number)
        client.setblocking(False)
        request = self._requests[number % len(self._requests)]
        self._attempts[client.fileno()] = _Attempt(number, client, time.perf_counter(), request)
        code = client.connect_ex(("127.0.0.1", self._port))
        if code not in (0, errno.EINPROGRESS):
            raise BenchError(f"connect: {errno.errorcode.get(code, code)}")
        self._poll.register(client.fileno(), select.EPOLLOUT)

    def _step(self) -> None:
        """Wait for what happens next: an answer, or the time when somebody comes again."""
        awaited = self._due[0][0] - time.perf_counter() if self._due and self._room else _STUCK_SECONDS
        events = self._poll.poll(max(awaited, 0.0))
        if not events and awaited == _STUCK_SECONDS:
            waiting = len(self._attempts)
            raise BenchError(f"no handshake ended within {_STUCK_SECONDS:.0f} s, {waiting} are waiting")
        for descriptor, _ in events:
            attempt = self._attempts[descriptor]
            if attempt.request:
                self._send(attempt)
            else:
                self._read(attempt)

    def _send(self, attempt: _Attempt) -> None:
        """The connection stands: send the request, which always fits an empty socket buffer."""
        try:
            attempt.client.sendall(attempt.request)
        except OSError as error:
            self._end(attempt, f"{errno.errorcode.get(error.errno or 0, 'error')} at the request")
            return
        attempt.request = b""
        self._poll.modify(attempt.client.fileno(), select.EPOLLIN)

    def _read(self, attempt: _Attempt) -> None:
        try:
            data = attempt.client.recv(4096)
        except OSError as error:
            self._end(attempt, f"{errno.errorcode.get(error.errno or 0, 'error')} instead of an answer")
            return
        attempt.answer += data
        if b"\r\n\r\n" in attempt.answer or not data:
            status = attempt.answer.split(b"\r\n", 1)[0].decode("latin-1")
            self._end(attempt, status or "closed without an answer")

    def _end(self, attempt: _Attempt, status: str) -> None:
        client = attempt.client
        self._poll.unregister(client.fileno())
        del self._attempts[client.fileno()]
        if not status.startswith("HTTP/1.1 101"):
            self._result.refused[status] = self._result.refused.get(status, 0) + 1
            if self._retry:
                self._due.append((time.perf_counter() + self._retry, attempt.number))
        else:
            self._result.seconds.append(time.perf_counter() - attempt.began)
            if self._hold:
                self._held.append(client)
                return
        _reset(client)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    client.close()
