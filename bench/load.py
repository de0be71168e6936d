"""The closed loop: one publisher keeps a window of messages in flight to every subscriber of a topic.

Rules:

1. A message counts as delivered when *every* subscriber has it; only then may another one leave.
2. Every byte that the first 16 subscribers read is compared with what must come, in its order. The others'
   bytes are counted in the kernel without being copied (the load must cost less than the broker), until the
   last window of a run, in which every byte of every subscriber is compared at its place. Nothing lost, doubled,
   reordered or changed goes unseen, and the publisher must read nothing at all: no echo.
3. A run begins and ends with nothing in flight, so that the broker's processor time and the messages it is
   divided by belong together.
4. The generator measures its own processor time; above 90 % of a core it may be what is measured.
"""

import select
import socket
import time
from dataclasses import dataclass, field

from bench.budget import BenchError
from bench.cpu import CpuReader
from bench.subscribers import subscribe
from bench.wire import Cycle

_STUCK_SECONDS = 20.0
BUSY_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run of one shape against one broker came to."""

    messages: int
    deliveries: int
    wall: float
    """Seconds from the first message sent to the last one received."""
    broker_cpu: float
    """The broker's user and system time during the run, in seconds."""
    load_cpu: float
    """The load generator's own user and system time during the run, in seconds."""
    disturbed: float
    """How long the broker stood ready without a processor, or the hypervisor took its core away, in seconds."""
    completion_ms: list[float] = field(repr=False)
    """Samples of the time from sending a message until every subscriber had it, in milliseconds."""

    @property
    def per_delivery(self) -> float:
        """The broker's processor time per delivery, in microseconds."""
        return self.broker_cpu / self.deliveries * 1e6

    @property
    def per_message(self) -> float:
        """The broker's processor time per incoming message, in microseconds."""
        return self.broker_cpu / self.messages * 1e6

    @property
    def broker_share(self) -> float:
        """The broker's share of its core, 0 to 1."""
        return self.broker_cpu / self.wall

    @property
    def load_share(self) -> float:
        """The load generator's share of its core, 0 to 1."""
        return self.load_cpu / self.wall


class ClosedLoop:
    """One publisher, its subscribers, and what is in flight between them."""

    def __init__(
        self,
        publisher: socket.socket,
        readers: list[socket.socket],
        cycle: Cycle,
        window: int,
        *,
        framed: bool,
    ) -> None:
        self._publisher = publisher
        self._cycle = cycle
        self._window = window
        self._subscribers = subscribe(readers, cycle, framed=framed)
        self._poll = select.epoll()
        for descriptor in (publisher.fileno(), *self._subscribers):
            self._poll.register(descriptor, select.EPOLLIN)
        self._unsent = b""
        self._sent = 0
        """Messages handed to the publisher's socket since the run began."""
        self._done = 0
        """Messages that every subscriber has."""
        self._pending = 0
        """Subscribers that do not have message number `_done` yet, the next one to complete."""
        self._probe: tuple[int, float] | None = None
        self._samples: list[float] = []

    def close(self) -> None:
        """Let go of the poller; the sockets belong to the caller."""
        self._poll.close()

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        """Keep the window full for `seconds`, let it run empty, and account for the broker's time.

        Raises:
            BenchError: Something was lost, doubled, out of order, changed or echoed, or nothing moves.
        """
        self._reset()
        disturbed, cpu = broker.disturbed(), broker.seconds()
        own, began = time.process_time(), time.perf_counter()
        while time.perf_counter() - began < seconds:
            self._send_more(self._window)
            self._step()
        self._finish()
        wall, own = time.perf_counter() - began, time.process_time() - own
        self._check_totals()
        return RunResult(
            messages=self._sent,
            deliveries=self._sent * len(self._subscribers),
            wall=wall,
            broker_cpu=broker.seconds() - cpu,
            load_cpu=own,
            disturbed=broker.disturbed() - disturbed,
            completion_ms=self._samples,
        )

    def _finish(self) -> None:
        """Send one window more under everybody's eyes, and let the run end with nothing in flight."""
        for subscriber in self._subscribers.values():
            subscriber.look_closely()
        last = self._sent + self._window
        while self._done < last:
            self._send_more(min(self._window, last - self._done))
            self._step()

    def _reset(self) -> None:
        self._sent = self._done = 0
        self._samples = []
        self._probe = None
        for subscriber in self._subscribers.values():
            subscriber.begin()
        self._pending = len(self._subscribers)

    def _send_more(self, window: int) -> None:
        """Fill the window, unless the socket still holds back what was sent before."""
        free = window - (self._sent - self._done)
        if free > 0 and not self._unsent:
            if self._probe is None:
                self._probe = (self._sent, time.perf_counter())
            self._push(self._cycle.slice_to_send(self._sent, free))
            self._sent += free

    def _push(self, data: bytes) -> None:
        try:
            count = self._publisher.send(data)
        except BlockingIOError:
            count = 0
        self._unsent = data[count:]
        events = select.EPOLLIN | select.EPOLLOUT if self._unsent else select.EPOLLIN
        self._poll.modify(self._publisher.fileno(), events)

    def _step(self) -> None:
        """Wait for what arrives next, and take it in."""
        events = self._poll.poll(_STUCK_SECONDS)
        if not events:
            flying = self._sent - self._done
            raise BenchError(f"nothing arrived for {_STUCK_SECONDS:.0f} s with {flying} messages in flight")
        subscribers = self._subscribers
        target = (self._done + 1) * self._cycle.in_size
        for descriptor, _ in events:
            subscriber = subscribers.get(descriptor)
            if subscriber is None:
                self._publisher_ready()
                continue
            before = subscriber.got
            if before < target <= subscriber.receive():
                self._pending -= 1
        if self._pending == 0:
            self._advance()

    def _advance(self) -> None:
        """Every subscriber has one message more: see how many, and who is behind now."""
        size = self._cycle.in_size
        got = [subscriber.got for subscriber in self._subscribers.values()]
        self._done = min(got) // size
        target = (self._done + 1) * size
        self._pending = sum(count < target for count in got)
        if self._probe and self._done > self._probe[0]:
            self._samples.append((time.perf_counter() - self._probe[1]) * 1e3)
            self._probe = None

    def _publisher_ready(self) -> None:
        if self._unsent:
            self._push(self._unsent)
        try:
            echo = self._publisher.recv(4096)
        except BlockingIOError:
            return
        if echo.endswith(b"PING\r\n"):
            return  # the NATS server's question, see UnframingSubscriber
        what = f"received {echo[:64]!r}" if echo else "was closed"
        raise BenchError(f"the publisher {what}: a sender must not get its own messages back")

    def _check_totals(self) -> None:
        wanted = self._sent * self._cycle.in_size
        wrong = [s.got for s in self._subscribers.values() if s.got != wanted]
        if wrong:
            raise BenchError(f"{len(wrong)} subscribers got {wrong[0]} bytes or so, not {wanted}")
