"""Open connections as fast as a broker lets them in, a bounded number at a time."""

import errno
import select
import socket
import time
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


@dataclass(slots=True)
class _Attempt:
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
        self._result = HandshakeResult()

    def run(self, broker: CpuReader, *, total: int, seconds: float, keep: bool = False) -> HandshakeResult:
        """Make handshakes until `total` were begun or `seconds` have passed, and await the open ones.

        Those who are in are let go of at the end, unless `keep` is set: then `close` does it.
        """
        self._result = HandshakeResult()
        disturbed, cpu = broker.disturbed(), broker.seconds()
        own, began = time.process_time(), time.perf_counter()
        last = self._started + total
        try:
            while self._attempts or (self._started < last and time.perf_counter() - began < seconds):
                room = self._at_once - len(self._attempts)
                if time.perf_counter() - began < seconds:
                    self._start(min(room, last - self._started))
                self._step()
            self._result.wall = time.perf_counter() - began
        finally:
            if not keep:
                self._drop_all()
        self._result.broker_cpu = broker.seconds() - cpu
        self._result.load_cpu = time.process_time() - own
        self._result.disturbed = broker.disturbed() - disturbed
        return self._result

    def close(self) -> None:
        """Let go of the poller and of every connection."""
        self._drop_all()
        self._poll.close()

    def _drop_all(self) -> None:
        for client in [*self._held, *(attempt.client for attempt in self._attempts.values())]:
            _reset(client)
        self._held.clear()
        self._attempts.clear()

    def _start(self, count: int) -> None:
        for _ in range(count):
            client = new_socket(self._started)
            client.setblocking(False)
            request = self._requests[self._started % len(self._requests)]
            self._attempts[client.fileno()] = _Attempt(client, time.perf_counter(), request)
            self._started += 1
            code = client.connect_ex(("127.0.0.1", self._port))
            if code not in (0, errno.EINPROGRESS):
                raise BenchError(f"connect: {errno.errorcode.get(code, code)}")
            self._poll.register(client.fileno(), select.EPOLLOUT)

    def _step(self) -> None:
        events = self._poll.poll(_STUCK_SECONDS)
        if not events:
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
        else:
            self._result.seconds.append(time.perf_counter() - attempt.began)
            if self._hold:
                self._held.append(client)
                return
        _reset(client)


def _reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    client.close()
