"""Open authenticated WebSocket clients on raw sockets."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.budget import BenchError
from bench.process import Running
from bench.wire import client_frame

# In `socket` only from Python 3.12 on (Linux, ip(7)): bind an address and leave the port to connect(), so that
# one port can serve several destinations.
_IP_BIND_ADDRESS_NO_PORT = 24
_SOURCES = 32
_AT_ONCE = 64
_ANSWER_SECONDS = 20.0
# Some brokers send nothing to a client in its first moments; a measurement begins after them.
SETTLE_SECONDS = 0.3


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


def _finish(client: socket.socket, running: Running) -> None:
    dialect = running.peer.dialect
    answer = read_until(client, b"\r\n\r\n")
    check_upgrade(answer)
    rest = answer.split(b"\r\n\r\n", 1)[1]
    if dialect.hello:
        client.sendall(client_frame(dialect.hello, mask=b"\1\2\3\4", opcode=dialect.opcode))
        read_until(client, dialect.ready, rest)
    elif rest:
        raise BenchError(f"{running.peer.name} sent something unasked after its 101: {rest[:80]!r}")


def _open_batch(running: Running, request: bytes, first: int, count: int) -> list[socket.socket]:
    """Open some clients together: all requests leave before the first answer is awaited."""
    clients = [new_socket(first + number) for number in range(count)]
    for client in clients:
        client.settimeout(_ANSWER_SECONDS)
        client.connect(("127.0.0.1", running.port))
        client.sendall(request)
    for client in clients:
        _finish(client, running)
        client.setblocking(False)
    return clients


@contextmanager
def clients(running: Running, topic: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold `count` open, settled clients of one topic for the length of the block, non-blocking."""
    opened: list[socket.socket] = []
    request = running.request(topic)
    try:
        while len(opened) < count:
            opened += _open_batch(running, request, len(opened), min(_AT_ONCE, count - len(opened)))
        time.sleep(SETTLE_SECONDS)
        yield opened
    finally:
        for client in opened:
            client.close()
