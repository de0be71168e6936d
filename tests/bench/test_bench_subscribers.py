"""The reading ends see everything that is not as it must be."""

import socket
from collections.abc import Iterator

import pytest

from bench.budget import BenchError
from bench.peers.nats import NatsDialect
from bench.subscribers import CountingSubscriber, Subscriber, UnframingSubscriber, subscribe
from bench.wire import BINARY, Cycle, build_cycle, server_frame

CYCLE = build_cycle(16, 4)
STREAM = CYCLE.incoming


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: the broker's and the subscriber's, which never blocks for long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        near.settimeout(10)
        yield far, near


def make(kind: type[Subscriber], client: socket.socket, cycle: Cycle = CYCLE) -> Subscriber:
    subscriber = kind(client, cycle, bytearray(cycle.in_length))
    subscriber.begin()
    return subscriber


def receive(subscriber: Subscriber, total: int) -> None:
    while subscriber.got < total:
        subscriber.receive()


def test_subscriber_accepts_the_stream_across_its_end(pair: tuple[socket.socket, socket.socket]) -> None:
    """The cycle's messages in order, in pieces of any size, past the end of the cycle: all is well."""
    broker, client = pair
    subscriber = make(Subscriber, client)
    sent = 0
    for size in (1, 7, CYCLE.in_length - 5, 30, CYCLE.in_length):
        start = sent % CYCLE.in_length
        broker.sendall((STREAM + STREAM)[start : start + size])
        sent += size
        receive(subscriber, sent)
    assert subscriber.got == sent


@pytest.mark.parametrize(
    ("what", "stream"),
    [
        ("lost", STREAM[CYCLE.in_size :]),
        ("doubled", STREAM[: CYCLE.in_size] * 2),
        ("out of order", STREAM[CYCLE.in_size : 2 * CYCLE.in_size] + STREAM[: CYCLE.in_size]),
        ("changed", STREAM[:10] + b"?" + STREAM[11:100]),
        ("a ping in between", b"\x89\x00" + STREAM[:100]),
    ],
)
def test_subscriber_sees_a_message(pair: tuple[socket.socket, socket.socket], what: str, stream: bytes) -> None:
    """A message that is lost, doubled, out of order or changed ends the run."""
    del what
    broker, client = pair
    broker.sendall(stream[: 2 * CYCLE.in_size])
    subscriber = make(Subscriber, client)
    with pytest.raises(BenchError, match="read something else than was sent, at byte"):
        receive(subscriber, 2 * CYCLE.in_size)


@pytest.mark.parametrize("kind", [Subscriber, CountingSubscriber, UnframingSubscriber])
def test_subscriber_closed_by_the_broker(pair: tuple[socket.socket, socket.socket], kind: type[Subscriber]) -> None:
    """A connection that ends is an error, not an empty read without end."""
    broker, client = pair
    broker.close()
    with pytest.raises(BenchError, match="closed a subscriber after 0 bytes"):
        make(kind, client).receive()


def test_counting_subscriber_counts_then_looks(pair: tuple[socket.socket, socket.socket]) -> None:
    """While counting any bytes pass; from the look on each must be the right one at its place."""
    broker, client = pair
    subscriber = make(CountingSubscriber, client)
    broker.sendall(bytes(CYCLE.in_size))
    receive(subscriber, CYCLE.in_size)
    subscriber.look_closely()
    broker.sendall(STREAM[CYCLE.in_size : 2 * CYCLE.in_size])
    receive(subscriber, 2 * CYCLE.in_size)
    broker.sendall(STREAM[CYCLE.in_size : 2 * CYCLE.in_size])
    with pytest.raises(BenchError, match="read something else"):
        subscriber.receive()


def test_unframing_subscriber_whole_and_byte_by_byte(pair: tuple[socket.socket, socket.socket]) -> None:
    """Messages packed into frames of any length pass, however the bytes are cut, with a NATS ping between."""
    broker, client = pair
    cycle = build_cycle(16, 4, NatsDialect("u", "p"))
    size = cycle.in_size
    once = (
        server_frame(cycle.incoming[: 5 * size], opcode=BINARY)
        + server_frame(b"PING\r\n", opcode=BINARY)
        + server_frame(cycle.incoming[5 * size : 5 * size + 3], opcode=BINARY)
        + server_frame(cycle.incoming[5 * size + 3 : 6 * size], opcode=BINARY)
    )
    subscriber = make(UnframingSubscriber, client, cycle)
    broker.sendall(once)
    receive(subscriber, 6 * size)
    subscriber.begin()
    for byte in server_frame(cycle.incoming[: 5 * size], opcode=BINARY):
        broker.sendall(bytes([byte]))
        subscriber.receive()
    assert subscriber.got == 5 * size


def test_unframing_subscriber_sees_a_lost_message(pair: tuple[socket.socket, socket.socket]) -> None:
    """A gap inside a packed frame ends the run."""
    broker, client = pair
    cycle = build_cycle(16, 4, NatsDialect("u", "p"))
    size = cycle.in_size
    broker.sendall(server_frame(cycle.incoming[:size] + cycle.incoming[2 * size : 3 * size], opcode=BINARY))
    with pytest.raises(BenchError, match="read something else"):
        receive(make(UnframingSubscriber, client, cycle), 2 * size)


def test_subscribe_checks_the_first_sixteen_fully(pair: tuple[socket.socket, socket.socket]) -> None:
    """The first sixteen compare every byte, the others count; a dialect of its own is always compared."""
    _, client = pair
    others = [socket.socket() for _ in range(17)]
    try:
        kinds = [type(s) for s in subscribe([client, *others], CYCLE, framed=True).values()]
        assert kinds == [Subscriber] * 16 + [CountingSubscriber] * 2
        unframed = subscribe([client, *others], CYCLE, framed=False).values()
        assert {type(subscriber) for subscriber in unframed} == {UnframingSubscriber}
    finally:
        for other in others:
            other.close()
