"""A shape against one broker: connect everybody, warm up, measure once or as often as wanted."""

import gc
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol

from bench.connect import joined, settle
from bench.cpu import CpuReader
from bench.crowd import NUMBERS_EACH, CrowdLoop
from bench.load import ClosedLoop, RunResult
from bench.paced import PacedLoop
from bench.pairs import PairLoop
from bench.process import Running
from bench.shapes import Flow, Shape
from bench.slow import BUFFER, Laggards
from bench.wire import Cycle, build_cycle

_TOPIC = "bench"
_PACED_CYCLE = 256
_WARM_MESSAGES = 200
"""Messages after which runtimes that compile while they run have compiled what matters."""

_WARM_SECONDS = 3.0
"""How long a warm-up takes at most, apart from its last messages in flight."""

_SECONDS_PER_DELIVERY = 10e-6  # a guess, for the estimate alone


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often each shape is measured."""

    rounds: int
    seconds: float
    warm_up: float


class Loop(Protocol):
    """A generator with its clients connected."""

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        """Load the broker for some seconds and say what it came to."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A broker with the clients of a shape connected, warmed up, nothing in flight."""

    loop: Loop
    reader: CpuReader

    def run(self, seconds: float) -> RunResult:
        """Load the broker for some seconds and say what it came to; any number of times."""
        return self.loop.run(seconds, self.reader)


def topic_names(count: int, stem: str = _TOPIC) -> list[str]:
    """Name some topics, all equally long, so that messages that carry their topic are."""
    return [f"{stem}{number:05}" for number in range(count)]


def _closed(broker: Running, shape: Shape, poll: select.epoll, stack: ExitStack) -> Loop:
    dialect, peer = broker.peer.dialect, broker.peer
    (publisher,) = stack.enter_context(joined(broker, [_TOPIC], publishing=True))
    readers = stack.enter_context(joined(broker, [_TOPIC] * shape.subscribers))
    if shape.flow is Flow.PACED:
        cycle = build_cycle(shape.size, _PACED_CYCLE, dialect, kind=shape.kind)
        answered = peer.answers_publishers
        return PacedLoop(publisher, readers, cycle, shape.rate, poll, framed=dialect.framed, answered=answered)
    cycle = build_cycle(shape.size, shape.window, dialect, kind=shape.kind)
    slow = stack.enter_context(joined(broker, [_TOPIC] * shape.slow, receive_buffer=BUFFER))
    return ClosedLoop(
        publisher,
        readers,
        cycle,
        shape.window,
        poll,
        framed=dialect.framed,
        answered=peer.answers_publishers,
        laggards=Laggards(slow) if slow else None,
    )


def _pairs(broker: Running, shape: Shape, poll: select.epoll, stack: ExitStack) -> Loop:
    dialect, topics = broker.peer.dialect, topic_names(shape.topics)
    publishers = stack.enter_context(joined(broker, topics, publishing=True))
    readers = stack.enter_context(joined(broker, topics))
    same = build_cycle(shape.size, shape.window, dialect, kind=shape.kind)
    cycles: Sequence[Cycle] = [same] * len(topics)
    if dialect.on(topics[0]) is not dialect:
        cycles = [build_cycle(shape.size, shape.window, dialect.on(topic), kind=shape.kind) for topic in topics]
    answered = broker.peer.answers_publishers
    return PairLoop(publishers, readers, cycles, shape.window, poll, framed=dialect.framed, answered=answered)


def _crowd(broker: Running, shape: Shape, poll: select.epoll, stack: ExitStack) -> Loop:
    dialect = broker.peer.dialect
    publishers = stack.enter_context(joined(broker, [_TOPIC] * shape.publishers, publishing=True))
    readers = stack.enter_context(joined(broker, [_TOPIC] * shape.subscribers))
    firsts = [number * NUMBERS_EACH for number in range(shape.publishers)]
    cycles = [build_cycle(shape.size, shape.window, dialect, kind=shape.kind, first=first) for first in firsts]
    return CrowdLoop(publishers, readers, cycles, shape.window, poll, framed=dialect.framed)


_LOOPS = {Flow.CLOSED: _closed, Flow.PACED: _closed, Flow.PAIRS: _pairs, Flow.CROWD: _crowd}


@contextmanager
def quiet_generator() -> Iterator[None]:
    """Keep the collector away: its work in the generator would look like a slow broker."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _bystanders(broker: Running, shape: Shape) -> Iterator[list[socket.socket]]:
    """Hold the idle connections of a shape."""
    topics = ["idle"] * shape.idle + topic_names(shape.idle_topics, "idle")
    with joined(broker, topics) as idle:
        yield idle


def warm_up_seconds(shape: Shape) -> float:
    """Guess how long the first messages of a shape take."""
    each = max(shape.receivers * _SECONDS_PER_DELIVERY, 1 / shape.rate if shape.rate else 0.0)
    return min(_WARM_SECONDS, _WARM_MESSAGES * each)


def warm_up(loop: Loop, seconds: float, reader: CpuReader) -> int:
    """Load the broker for some seconds, and on until it has had enough messages or too much time went by.

    Returns:
        How many messages it has had.
    """
    until = time.perf_counter() + _WARM_SECONDS
    messages = loop.run(seconds, reader).messages
    while messages < _WARM_MESSAGES and time.perf_counter() < until:
        messages += loop.run(min(seconds, until - time.perf_counter()), reader).messages
    return messages


@contextmanager
def ready(broker: Running, shape: Shape, core: int, warming: float, poll: select.epoll) -> Iterator[Ready]:
    """Connect the clients of a shape for the length of the block, and warm up.

    Args:
        broker: Who is loaded.
        shape: The load.
        core: Where the broker runs.
        warming: How long a warm-up lasts at least, in seconds.
        poll: What the generator waits with. Made before the clients of several brokers, its descriptor stays below the
            1,024 that `select()` takes.
    """
    reader = CpuReader(broker.pid, core)
    with ExitStack() as stack:
        stack.enter_context(_bystanders(broker, shape))
        loop = _LOOPS[shape.flow](broker, shape, poll, stack)
        settle()
        warm_up(loop, warming, reader)
        yield Ready(loop, reader)


def measure(broker: Running, shape: Shape, core: int, pace: Pace) -> RunResult:
    """Connect the clients of a shape, warm up, and run it once."""
    with select.epoll() as poll, ready(broker, shape, core, pace.warm_up, poll) as loaded:
        return loaded.run(pace.seconds)
