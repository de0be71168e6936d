"""A client process that will be killed: connections in every state in which a client can be, none of them at rest.

Run with the port of a broker and the handshake in hex; prints `ready` once everything is sent.
"""

import signal
import socket
import sys

PORT, REQUEST = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
MASK = b"\0\0\0\0"
HALVES = (
    b"",  # connected, nothing more
    b"\x81",  # half a header
    b"\x81\xfe\x10",  # half a length
    b"\x82\xff" + (60_000).to_bytes(8, "big") + MASK + b"half of it" * 3000,
    b"\x01\x85" + MASK + b"first",  # a fragment
    b"\x01\x85" + MASK + b"first" + b"\x00\x8a" + MASK + b"sec",  # a fragment, and half of the next
    b"\x81\x84" + MASK + b"whole"[:4] + b"\x81\x84" + MASK + b"on",  # a whole message, and half a message
)


def connect(data: bytes) -> socket.socket:
    """Connect and send."""
    client = socket.create_connection(("127.0.0.1", PORT))
    client.sendall(data)
    return client


kept = [connect(REQUEST[: len(REQUEST) // 2]) for _ in range(5)]
for half in HALVES * 3:
    client = connect(REQUEST)
    answer = client.recv(1024)
    assert b" 101 " in answer, answer
    client.sendall(half)
    kept.append(client)
print("ready", flush=True)  # noqa: T201 - its parent waits for this line
signal.pause()
