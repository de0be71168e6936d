"""The closed loop: one publisher keeps a window of messages in flight to every subscriber of a topic.

Rules:

1. A message counts as delivered when *every* subscriber has it; only then may another one leave.
2. Every byte that the first 16 subscribers read is compared with what must come, in its order. The others'
   bytes are counted in the kernel without being copied (the load must cost less than the broker), until the
   last window of a run, in which every byte of every subscriber is compared at its place. Nothing lost, doubled,
   reordered or changed goes unseen, and the publisher must read nothing at all: no echo.
3. A run begins and ends with nothing in flight, so that the broker's processor time and the messages it is
   divided by belong together.
4. The generator measures its own processor time, and how long it was kept from its core: above `BUSY_SHARE` of a core
   it may be what is measured.
"""

import os
import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.budget import BenchError
from bench.cpu import CpuReader, resident_kib
from bench.publisher import Publisher
from bench.slow import Laggards
from bench.subscribers import subscribe
from bench.wire import Cycle

_STUCK_SECONDS = 20.0
BUSY_SHARE = 0.9
"""Share of its core above which the generator may have set the pace."""


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
    """Samples of the time from sending a message until every subscriber had it, in milliseconds; in a paced run
    from the moment the message was due until one subscriber had it, a sample for each delivery."""
    cut_off: int = 0
    """Slow subscribers whose connection the broker closed."""
    grown_kib: int = 0
    """How much the broker's resident memory grew during the run."""
    load_disturbed: float = 0.0
    """How long the generator stood ready without a processor, or the hypervisor took its core away, in seconds."""
    user: float = 0.0
    """The broker's user time in seconds, as exact as a tick of the clock."""
    system: float = 0.0
    """The broker's system time in seconds, as exact as a tick of the clock."""

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

    @property
    def load_bound(self) -> bool:
        """Whether the load generator was so busy that it may have set the pace."""
        return self.load_share > BUSY_SHARE


class Meter:
    """Notes what a run costs the broker and the generator, from now on."""

    def __init__(self, broker: CpuReader) -> None:
        self._broker = broker
        self._generator = CpuReader(os.getpid(), min(os.sched_getaffinity(0)))
        self._resident = resident_kib(broker.pid)
        self._times = broker.user_and_system()
        self._load_disturbed = self._generator.disturbed()
        self._disturbed, self._cpu = broker.disturbed(), broker.seconds()
        self._own, self._began = time.process_time(), time.perf_counter()

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return time.perf_counter() - self._began

    def result(self, messages: int, deliveries: int, samples: list[float], cut_off: int = 0) -> RunResult:
        """End the run and put its account together."""
        wall, own = self.elapsed(), time.process_time() - self._own
        cpu, (user, system) = self._broker.seconds() - self._cpu, self._broker.user_and_system()
        return RunResult(
            messages=messages,
            deliveries=deliveries,
            wall=wall,
            broker_cpu=cpu,
            load_cpu=own,
            disturbed=self._broker.disturbed() - self._disturbed,
            completion_ms=samples,
            cut_off=cut_off,
            grown_kib=resident_kib(self._broker.pid) - self._resident,
            load_disturbed=self._generator.disturbed() - self._load_disturbed,
            user=user - self._times[0],
            system=system - self._times[1],
        )


def wait(poll: select.epoll, flying: int) -> list[tuple[int, int]]:
    """Wait for what happens next.

    Raises:
        BenchError: Nothing does, with `flying` messages in flight.
    """
    events = poll.poll(_STUCK_SECONDS)
    if not events:
        raise BenchError(f"nothing arrived for {_STUCK_SECONDS:.0f} s with {flying} messages in flight")
    return events


def check_totals(got: Iterable[int], wanted: int) -> None:
    """Compare the bytes that subscribers got with what each must have got.

    Raises:
        BenchError: Somebody got less or more.
    """
    wrong = [count for count in got if count != wanted]
    if wrong:
        raise BenchError(f"{len(wrong)} subscribers got {wrong[0]} bytes or so, not {wanted}")


class ClosedLoop:
    """One publisher, its subscribers, and what is in flight between them.

    Args:
        publisher: Sends; it must read nothing.
        readers: The subscribers that count, non-blocking.
        cycle: What is sent.
        window: Messages in flight.
        poll: What it waits with; the sockets are registered there.
        framed: Whether every message arrives as a frame of its own.
        answered: Whether the broker says a word to the publisher about each message.
        laggards: Subscribers that read a trickle and that nobody waits for.
    """

    def __init__(
        self,
        publisher: socket.socket,
        readers: list[socket.socket],
        cycle: Cycle,
        window: int,
        poll: select.epoll,
        *,
        framed: bool,
        answered: bool = False,
        laggards: Laggards | None = None,
    ) -> None:
        self._cycle = cycle
        self._window = window
        self._laggards = laggards
        self._subscribers = subscribe(readers, cycle, framed=framed)
        self._poll = poll
        self._publisher = Publisher(publisher, cycle, self._poll, answered=answered)
        for descriptor in self._subscribers:
            self._poll.register(descriptor, select.EPOLLIN)
        self._done = 0
        """Messages that every subscriber has."""
        self._pending = 0
        """Subscribers that do not have message number `_done` yet, the next one to complete."""
        self._probe: tuple[int, float] | None = None
        self._samples: list[float] = []

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        """Keep the window full for `seconds`, let it run empty, and account for the broker's time.

        Raises:
            BenchError: Something was lost, doubled, out of order, changed or echoed, or nothing moves.
        """
        self._reset()
        meter = Meter(broker)
        while meter.elapsed() < seconds:
            self._send_more(self._window)
            self._step()
            if self._laggards:
                self._laggards.trickle()
        self._finish()
        sent = self._publisher.sent
        check_totals((subscriber.got for subscriber in self._subscribers.values()), sent * self._cycle.in_size)
        cut_off = self._laggards.cut_off if self._laggards else 0
        return meter.result(sent, sent * len(self._subscribers), self._samples, cut_off)

    def _finish(self) -> None:
        """Send one window more under everybody's eyes, and let the run end with nothing in flight."""
        for subscriber in self._subscribers.values():
            subscriber.look_closely()
        last = self._publisher.sent + self._window
        while self._done < last:
            self._send_more(min(self._window, last - self._done))
            self._step()

    def _reset(self) -> None:
        self._publisher.sent = self._done = 0
        self._samples = []
        self._probe = None
        for subscriber in self._subscribers.values():
            subscriber.begin()
        self._pending = len(self._subscribers)

    def _send_more(self, window: int) -> None:
        """Fill the window, unless the socket still holds back what was sent before."""
        publisher = self._publisher
        free = window - (publisher.sent - self._done)
        if free > 0 and not publisher.blocked:
            if self._probe is None:
                self._probe = (publisher.sent, time.perf_counter())
            publisher.send(free)

    def _step(self) -> None:
        """Wait for what arrives next, and take it in."""
        subscribers = self._subscribers
        target = (self._done + 1) * self._cycle.in_size
        for descriptor, _ in wait(self._poll, self._publisher.sent - self._done):
            subscriber = subscribers.get(descriptor)
            if subscriber is None:
                self._publisher.ready()
                continue
            before = subscriber.got
            if subscriber.receive() >= target > before:
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
