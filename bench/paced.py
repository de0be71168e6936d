"""The open loop: messages leave at a fixed rate, whatever comes back.

A latency begins when its message was *due*. When the broker, or the generator, is late, everything behind it is late
as well and counts as late: nothing is left out because nobody could send it ("coordinated omission").

The generator waits in the kernel between messages, with the precision of microseconds, so its own processor time
still tells whether it was the bottleneck.
"""

import select
import socket
import time
from array import array

from bench.cpu import CpuReader
from bench.load import Meter, RunResult, check_totals, wait
from bench.publisher import Publisher
from bench.subscribers import subscribe
from bench.wire import Cycle


class PacedLoop:
    """One publisher with a timetable, and its subscribers; each delivery is timed."""

    def __init__(
        self,
        publisher: socket.socket,
        readers: list[socket.socket],
        cycle: Cycle,
        rate: int,
        poll: select.epoll,
        *,
        framed: bool,
        answered: bool = False,
    ) -> None:
        self._cycle = cycle
        self._interval = 1 / rate
        self._subscribers = subscribe(readers, cycle, framed=framed)
        self._poll = poll
        self._publisher = Publisher(publisher, cycle, self._poll, answered=answered)
        for descriptor in self._subscribers:
            self._poll.register(descriptor, select.EPOLLIN)
        self._began = 0.0
        self._delays = array("d")

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        """Send on time for `seconds`, await what is in flight, and account for the broker's time.

        Raises:
            BenchError: Something was lost, doubled, out of order, changed or echoed, or nothing moves.
        """
        self._publisher.sent = 0
        self._delays = array("d")
        for subscriber in self._subscribers.values():
            subscriber.begin()
        last = round(seconds / self._interval)
        meter = Meter(broker)
        self._began = time.perf_counter()
        while self._publisher.sent < last:
            self._send_due(last)
            self._take(self._arrived())
        self._finish()
        check_totals((s.got for s in self._subscribers.values()), last * self._cycle.in_size)
        return meter.result(last, last * len(self._subscribers), list(self._delays))

    def _send_due(self, last: int) -> None:
        """Send everything that is due by now, each message by itself."""
        publisher = self._publisher
        due = min(last, int((time.perf_counter() - self._began) / self._interval) + 1)
        while publisher.sent < due and not publisher.blocked:
            publisher.send(1)

    def _arrived(self) -> list[tuple[int, int]]:
        """Wait until something arrives or the next message is due.

        An epoll waits in whole milliseconds; select() on it waits in microseconds.
        """
        left = self._began + self._publisher.sent * self._interval - time.perf_counter()
        select.select([self._poll], [], [], max(left, 0.0))
        return self._poll.poll(0)

    def _finish(self) -> None:
        wanted = self._publisher.sent * self._cycle.in_size
        while any(subscriber.got < wanted for subscriber in self._subscribers.values()):
            self._take(wait(self._poll, self._publisher.sent))

    def _take(self, events: list[tuple[int, int]]) -> None:
        """Receive, and time every message that is complete now."""
        size = self._cycle.in_size
        began, interval, delays = self._began, self._interval, self._delays
        for descriptor, _ in events:
            subscriber = self._subscribers.get(descriptor)
            if subscriber is None:
                self._publisher.ready()
                continue
            before = subscriber.got // size
            after = subscriber.receive() // size
            now = time.perf_counter() - began
            for number in range(before, after):
                delays.append((now - number * interval) * 1e3)
