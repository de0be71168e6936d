"""The sending end of the load: what may come back to it, and what ends the run."""

import select
import socket
from collections.abc import Iterator

import pytest

from bench.budget import BenchError
from bench.publisher import Publisher
from bench.wire import build_cycle

NATS_QUESTION = b"\x82\x06PING\r\n"
CYCLE = build_cycle(32, 4)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Publisher]]:
    """A broker's end of a connection, and who publishes at the other."""
    broker, client = socket.socketpair()
    client.setblocking(False)
    with broker, client, select.epoll() as poll:
        yield broker, Publisher(client, CYCLE, poll)


@pytest.mark.parametrize("pieces", [[8], [2, 6], [1] * 8, [8, 2, 6]], ids=str)
def test_question_of_nats_is_no_echo(pair: tuple[socket.socket, Publisher], pieces: list[int]) -> None:
    """However many there are and however they are cut: over TLS the two bytes before it come by themselves."""
    broker, publisher = pair
    rest = NATS_QUESTION * (sum(pieces) // len(NATS_QUESTION))
    for size in pieces:
        broker.sendall(rest[:size])
        rest = rest[size:]
        publisher.ready()
    assert not rest


@pytest.mark.parametrize("echo", [CYCLE.incoming[:10], NATS_QUESTION + b"\x82", NATS_QUESTION[:3] + b"?"], ids=str)
def test_echo_ends_the_run(pair: tuple[socket.socket, Publisher], echo: bytes) -> None:
    """Anything else that comes back is a message that its sender must not get."""
    broker, publisher = pair
    broker.sendall(echo + b"more")
    with pytest.raises(BenchError, match="must not get its own messages back"):
        publisher.ready()


def test_words_about_messages_are_thrown_away(pair: tuple[socket.socket, Publisher]) -> None:
    """Where a broker answers each message."""
    broker, silent = pair
    with select.epoll() as poll:
        publisher = Publisher(silent.client, CYCLE, poll, answered=True)
        broker.sendall(b"queued messages: 1")
        publisher.ready()
    with pytest.raises(BlockingIOError):
        silent.client.recv(1)


def test_end_of_the_connection_ends_the_run(pair: tuple[socket.socket, Publisher]) -> None:
    """A broker that hangs up is told from one that echoes."""
    broker, publisher = pair
    broker.close()
    with pytest.raises(BenchError, match="was closed"):
        publisher.ready()
