"""What is said on a WebSocket, for tests that hold a connection in their hands."""

from broker.frames import CLOSE, TEXT, server_frame
from tests.broker.doubles import Guest, House
from tests.wire.raw import client_frame

CUT = {"max_message_size": "64KiB", "max_queued_bytes": "256KiB"}
"""A small bound, so that a test crosses it with few messages."""
CHUNK = 60_000
"""Bytes of a message; five of them are above the bound, two above a transport's high-water mark."""


def said(message: str) -> bytes:
    """A text message as a client sends it."""
    return client_frame(TEXT, message.encode())


def heard(*messages: str) -> bytes:
    """Text messages as a client gets them."""
    return b"".join(server_frame(TEXT, message.encode()) for message in messages)


def goodbye(data: bytes) -> tuple[int, str]:
    """Take code and reason off the Close frame at the end of what was sent."""
    start = data.rindex(bytes((CLOSE,)))
    assert data[start + 1] == len(data) - start - 2
    return int.from_bytes(data[start + 2 : start + 4], "big"), data[start + 4 :].decode()


def exchange(house: House) -> tuple[Guest, Guest]:
    """Two clients on a topic."""
    return house.connect(), house.connect(user="bob")


def stuck(house: House) -> tuple[Guest, Guest, Guest]:
    """A sender, a reader that takes nothing, and one that keeps up."""
    sender, slow, fast = house.connect(), house.connect(user="bob"), house.connect(user="bob")
    slow.pipe.taking = False
    return sender, slow, fast
