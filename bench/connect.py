"""Open authenticated WebSocket clients on raw sockets."""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.budget import BenchError
from bench.process import Running
from bench.tls import secured
from bench.wire import client_frame

# In `socket` only from Python 3.12 on (Linux, ip(7)): bind an address and leave the port to connect(), so that
# one port can serve several destinations.
_IP_BIND_ADDRESS_NO_PORT = 24
_SOURCES = 32
_AT_ONCE = 64
_ANSWER_SECONDS = 20.0
# Some brokers send nothing to a client in its first moments; a measurement begins after them.
SETTLE_SECONDS = 0.2


def source_address(number: int) -> str:
    """Spread clients over loopback addresses, so that a limit per address is not what is measured."""
    return f"127.0.0.{2 + number % _SOURCES}"


def new_socket(number: int) -> socket.socket:
    """Make a TCP socket with a loopback source address of its own and without Nagle's delay."""
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.bind((source_address(number), 0))
    return client


def read_until(client: socket.socket, end: bytes, data: bytes = b"") -> bytes:
    """Read until `end` has appeared, and return all that was read."""
    while end not in data:
        received = client.recv(65536)
        if not received:
            raise BenchError(f"the connection was closed after {data[:200]!r}")
        data += received
    return data


def check_upgrade(answer: bytes) -> None:
    """Refuse to go on with anything but a 101."""
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if not status.startswith("HTTP/1.1 101"):
        raise BenchError(f"the handshake was refused: {status}")


def _greet(client: socket.socket, running: Running, topic: str) -> None:
    """Await the 101, and say what the broker's dialect wants said before anything else."""
    dialect = running.peer.dialect.on(topic)
    answer = read_until(client, b"\r\n\r\n")
    check_upgrade(answer)
    rest = answer.split(b"\r\n\r\n", 1)[1]
    if dialect.hello:
        client.sendall(client_frame(dialect.hello, mask=b"\1\2\3\4", opcode=dialect.opcode_for("text")))
        read_until(client, dialect.ready, rest)
    elif rest:
        raise BenchError(f"{running.peer.name} sent something unasked after its 101: {rest[:80]!r}")


def _connected(running: Running, number: int, receive_buffer: int) -> socket.socket:
    client = new_socket(number)
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(_ANSWER_SECONDS)
    client.connect(("127.0.0.1", running.port))
    certificate = running.peer.certificate
    return secured(client, certificate) if certificate else client


def _open_batch(
    running: Running, topics: Sequence[str], first: int, *, publishing: bool, receive_buffer: int
) -> list[socket.socket]:
    """Open a client per topic together: all requests leave before the first answer is awaited."""
    clients = []
    for number, topic in enumerate(topics):
        client = _connected(running, first + number, receive_buffer)
        client.sendall(running.request(topic, publishing=publishing))
        clients.append(client)
    for client, topic in zip(clients, topics, strict=True):
        _greet(client, running, topic)
        client.setblocking(False)
    return clients


@contextmanager
def joined(
    running: Running, topics: Sequence[str], *, publishing: bool = False, receive_buffer: int = 0
) -> Iterator[list[socket.socket]]:
    """Hold an open client per topic given for the length of the block, non-blocking.

    Args:
        running: The broker.
        topics: What each client joins; a topic may stand there any number of times.
        publishing: Whether the clients only publish.
        receive_buffer: Bytes the kernel keeps for each; 0 for its usual choice.
    """
    opened: list[socket.socket] = []
    try:
        while len(opened) < len(topics):
            batch = topics[len(opened) : len(opened) + _AT_ONCE]
            opened += _open_batch(running, batch, len(opened), publishing=publishing, receive_buffer=receive_buffer)
        yield opened
    finally:
        for client in opened:
            client.close()


def settle() -> None:
    """Let the first moments of new clients pass."""
    time.sleep(SETTLE_SECONDS)


@contextmanager
def clients(running: Running, topic: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold `count` open, settled clients of one topic for the length of the block, non-blocking."""
    with joined(running, [topic] * count) as opened:
        settle()
        yield opened
