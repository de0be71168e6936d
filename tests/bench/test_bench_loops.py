"""Generators for many publishers, many topics, a fixed rate, slow subscribers and TLS: they load and they check."""

import contextlib
import os
import select
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.budget import BenchError
from bench.cpu import CpuReader
from bench.crowd import Member
from bench.load import RunResult
from bench.machine import choose_cores
from bench.peers import PEERS
from bench.process import running
from bench.runs import Pace, measure, ready, warm_up
from bench.shapes import Shape
from bench.slow import BUFFER, Laggards
from bench.tls import make_certificate
from bench.wire import build_cycle

CORE = choose_cores().broker
TINY = Pace(rounds=1, seconds=0.05, warm_up=0.02)
CYCLES = [build_cycle(16, 1, first=number * 10_000) for number in range(3)]
SIZE = CYCLES[0].in_size


def message(publisher: int, number: int) -> bytes:
    return CYCLES[publisher].incoming[number * SIZE : (number + 1) * SIZE]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection; the second one does not block."""
    broker, client = socket.socketpair()
    client.setblocking(False)
    with broker, client:
        yield broker, client


def member(client: socket.socket, own: int | None = None) -> Member:
    made = Member(client, CYCLES, bytearray(4096), own, framed=True)
    made.read_from([0, 0, 0])
    return made


@pytest.mark.parametrize(
    ("shape", "receivers"),
    [
        (Shape(2, 1, publishers=3), 4),
        (Shape(2, 4, publishers=2), 3),
        (Shape(1, 2, topics=5), 1),
        (Shape(3, 1, rate=400), 3),
        (Shape(3, 4, slow=1), 3),
        (Shape(2, 4, 32, kind="utf8", idle=3, idle_topics=3), 2),
        (Shape(20, 4, kind="binary"), 20),
    ],
    ids=lambda value: value.name if isinstance(value, Shape) else "",
)
def test_shape_is_delivered_to_everyone(shape: Shape, receivers: int) -> None:
    """Whatever the shape, every message reaches every receiver, and time passes on the broker's clock."""
    with running(PEERS["websockets"], CORE) as broker:
        result = measure(broker, shape, CORE, TINY)
    assert result.deliveries == result.messages * receivers > 0
    assert result.broker_cpu > 0
    assert result.completion_ms


class Trickle:
    """A generator that gets some messages through in each run."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.runs = 0

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        del broker
        self.runs += 1
        return RunResult(self.messages, self.messages, seconds, 0.0, 0.0, 0.0, [])


def test_warm_up_lasts_until_enough_messages() -> None:
    """Runs of 60 messages are repeated until there are 200; a run of many is enough by itself."""
    reader = CpuReader(os.getpid(), CORE)
    slow, fast = Trickle(60), Trickle(5000)
    assert (warm_up(slow, 0.01, reader), slow.runs) == (240, 4)
    assert (warm_up(fast, 0.01, reader), fast.runs) == (5000, 1)


def test_warm_up_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shape whose messages take too long is not waited for."""
    monkeypatch.setattr("bench.runs._WARM_SECONDS", 0.0)
    loop = Trickle(1)
    assert (warm_up(loop, 0.01, CpuReader(os.getpid(), CORE)), loop.runs) == (1, 1)


def test_brokers_take_turns_while_all_clients_are_connected() -> None:
    """Several runs of each, one after the other, without connecting anew; also at a rate."""
    shape = Shape(3, 1, rate=400)
    with contextlib.ExitStack() as stack:
        polls = [stack.enter_context(select.epoll()) for _ in range(2)]
        brokers = [stack.enter_context(running(PEERS["websockets"], CORE)) for _ in range(2)]
        loaded = [
            stack.enter_context(ready(broker, shape, CORE, 0.05, poll))
            for broker, poll in zip(brokers, polls, strict=True)
        ]
        for each in loaded * 3:
            assert each.run(0.05).deliveries == 20 * 3


def test_paced_sends_what_is_due_and_times_each_delivery() -> None:
    """400 messages a second for a tenth of a second are 40, and each delivery has a time of its own."""
    with running(PEERS["websockets"], CORE) as broker:
        result = measure(broker, Shape(3, 1, rate=400), CORE, Pace(rounds=1, seconds=0.1, warm_up=0.05))
    assert result.messages == 40
    assert len(result.completion_ms) == 120
    assert min(result.completion_ms) > 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("shape", [Shape(2, 16, 16384, tls=True), Shape(18, 1, tls=True)], ids=lambda shape: shape.name)
def test_tls_is_checked_like_the_rest(shape: Shape, tmp_path: Path) -> None:
    """Records of any size arrive decrypted, in order and complete."""
    peer = PEERS["websockets"].secured(make_certificate(tmp_path))
    with running(peer, CORE) as broker:
        result = measure(broker, shape, CORE, TINY)
    assert result.deliveries == result.messages * shape.subscribers > 0


def test_member_follows_every_publisher(pair: tuple[socket.socket, socket.socket]) -> None:
    """Publishers may overtake each other; each one's own messages are in order, wherever the bytes are cut."""
    broker, client = pair
    reader = member(client)
    stream = message(0, 0) + message(2, 0) + message(2, 1) + message(0, 1)
    broker.sendall(stream[: SIZE + 5])
    assert reader.receive() == [0]
    broker.sendall(stream[SIZE + 5 :])
    assert reader.receive() == [2, 2, 0]
    assert reader.got == 4 * SIZE


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (message(1, 0) + message(1, 2), "lost, doubled or out of order"),
        (message(1, 0) + message(1, 0), "lost, doubled or out of order"),
        (message(0, 0), "received its own"),
        (message(1, 0).replace(b"0001", b"0007", 1), "nobody sent"),
    ],
    ids=["lost", "doubled", "echo", "stranger"],
)
def test_member_sees_what_is_wrong(pair: tuple[socket.socket, socket.socket], stream: bytes, error: str) -> None:
    """A gap, a double, an echo and a message of nobody each end the run."""
    broker, client = pair
    broker.sendall(stream)
    with pytest.raises(BenchError, match=error):
        member(client, own=0).receive()


def test_member_closed_by_the_broker(pair: tuple[socket.socket, socket.socket]) -> None:
    """A connection that ends is an error."""
    broker, client = pair
    broker.close()
    with pytest.raises(BenchError, match="closed a member"):
        member(client).receive()


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection, the broker's and a client's that does not block and keeps little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client.connect(listener.getsockname())
        broker, _ = listener.accept()
    client.setblocking(False)
    with broker, client:
        yield broker, client


def test_laggards_take_their_time(connection: tuple[socket.socket, socket.socket]) -> None:
    """A sip now, and the next one not before its time."""
    broker, client = connection
    broker.sendall(bytes(3 * 512))
    select.select([client], [], [], 20)
    laggards = Laggards([client])
    laggards.trickle()
    broker.sendall(bytes(512))
    select.select([client], [], [], 20)
    laggards.trickle()
    assert len(client.recv(65536)) >= 512
    assert laggards.cut_off == 0


def test_laggards_see_their_end_before_they_reach_it(connection: tuple[socket.socket, socket.socket]) -> None:
    """A connection that the broker has closed counts as cut off while its bytes still lie in the kernel."""
    broker, client = connection
    laggards = Laggards([client])
    broker.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while broker.send(bytes(65536)):
            pass
    assert laggards.cut_off == 0
    broker.close()
    assert laggards.cut_off == 1
    laggards.trickle()
    assert client.recv(1)


def test_laggards_read_to_their_end(connection: tuple[socket.socket, socket.socket]) -> None:
    """Who has read the end of its connection is counted once, and left alone."""
    broker, client = connection
    laggards = Laggards([client])
    broker.close()
    deadline = time.monotonic() + 20
    while laggards._readers:
        assert time.monotonic() < deadline
        laggards.trickle()
    laggards.trickle()
    assert laggards.cut_off == 1
