"""Many topics: a publisher and a subscriber on each, every topic with a window of its own.

Every byte that arrives is compared with what was sent on that topic, in its order, so that a message on the wrong
topic shows as well as one that is lost.
"""

import select
import socket
import time
from collections.abc import Sequence

from bench.cpu import CpuReader
from bench.load import Meter, RunResult, check_totals, wait
from bench.publisher import Publisher
from bench.subscribers import Subscriber, UnframingSubscriber
from bench.wire import Cycle

_PROBED = 16  # topics whose round trips are timed


class _Pair:
    """One topic: its publisher, its subscriber, and what it waits for."""

    __slots__ = ("probe", "publisher", "subscriber")

    def __init__(self, publisher: Publisher, subscriber: Subscriber) -> None:
        self.publisher = publisher
        self.subscriber = subscriber
        self.probe = 0.0
        """When the present message was sent."""


class PairLoop:
    """All topics at once, each with `window` messages in flight."""

    def __init__(
        self,
        publishers: Sequence[socket.socket],
        readers: Sequence[socket.socket],
        cycles: Sequence[Cycle],
        window: int,
        poll: select.epoll,
        *,
        framed: bool,
        answered: bool = False,
    ) -> None:
        self._window = window
        self._size = cycles[0].in_size
        self._poll = poll
        self._by_reader: dict[int, _Pair] = {}
        self._by_publisher: dict[int, Publisher] = {}
        self._samples: list[float] = []
        buffer = bytearray(min(65536, cycles[0].in_length))
        kind = Subscriber if framed else UnframingSubscriber
        for sender, reader, cycle in zip(publishers, readers, cycles, strict=True):
            publisher = Publisher(sender, cycle, self._poll, answered=answered)
            self._by_publisher[sender.fileno()] = publisher
            self._by_reader[reader.fileno()] = _Pair(publisher, kind(reader, cycle, buffer))
            self._poll.register(reader.fileno(), select.EPOLLIN)
        self._probed = set(list(self._by_reader)[:_PROBED])

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        """Keep every window full for `seconds`, let all run empty, and account for the broker's time."""
        self._samples = []
        pairs = self._by_reader.values()
        meter = Meter(broker)
        for pair in pairs:
            pair.subscriber.begin()
            pair.publisher.sent = 0
            self._send(pair)
        while meter.elapsed() < seconds:
            self._step(go_on=True)
        while any(pair.subscriber.got < pair.publisher.sent * self._size for pair in pairs):
            self._step(go_on=False)
        for pair in pairs:
            check_totals([pair.subscriber.got], pair.publisher.sent * self._size)
        messages = sum(pair.publisher.sent for pair in pairs)
        return meter.result(messages, messages, self._samples)

    def _send(self, pair: _Pair) -> None:
        pair.probe = time.perf_counter()
        pair.publisher.send(self._window)

    def _step(self, *, go_on: bool) -> None:
        for descriptor, _ in wait(self._poll, len(self._by_reader) * self._window):
            pair = self._by_reader.get(descriptor)
            if pair is None:
                self._by_publisher[descriptor].ready()
                continue
            complete = pair.subscriber.receive() == pair.publisher.sent * self._size
            if complete and descriptor in self._probed:
                self._samples.append((time.perf_counter() - pair.probe) * 1e3)
            if complete and go_on and not pair.publisher.blocked:
                self._send(pair)
