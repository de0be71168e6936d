"""Client and server frames of RFC 6455, built ahead of time (pure).

The load generators must cost less than the brokers they drive, so nothing is built or parsed while the clock
runs: every frame that will be sent, and every byte that must come back, exists beforehand in a `Cycle`.
"""

import base64
import random
from dataclasses import dataclass

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA
CONTINUATION = 0x0

_MASKS = 0x5EED  # fixed: two runs of one shape send the same bytes


def _length(size: int, mask_bit: int) -> bytes:
    """Encode a payload length the shortest way (RFC 6455 section 5.2)."""
    if size < 126:
        return bytes([mask_bit | size])
    if size < 65536:
        return bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    return bytes([mask_bit | 127]) + size.to_bytes(8, "big")


def mask_payload(payload: bytes, mask: bytes) -> bytes:
    """XOR a payload with a four-byte mask (RFC 6455 section 5.3)."""
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mixed.to_bytes(len(payload), "big")


def client_frame(payload: bytes, *, mask: bytes, opcode: int = TEXT, fin: bool = True) -> bytes:
    """Build one masked frame, as a client must send it."""
    first = bytes([(0x80 if fin else 0) | opcode])
    return first + _length(len(payload), 0x80) + mask + mask_payload(payload, mask)


def server_frame(payload: bytes, *, opcode: int = TEXT) -> bytes:
    """Build the one unmasked frame a subscriber must receive for `payload`."""
    return bytes([0x80 | opcode]) + _length(len(payload), 0) + payload


_EVERY_BYTE = bytes(range(255, -1, -1))
FILLERS = {
    "text": b"abcdefghijklmnopqrstuvwxyz",
    "utf8": "äöüßéèñåçø".encode(),
    "binary": _EVERY_BYTE,
}
"""What fills a payload behind its number, by kind: ASCII text, text of two-byte characters, binary."""


def numbered_payload(number: int, size: int, kind: str = "text") -> bytes:
    """Build a payload of exactly `size` bytes that starts with its number.

    Args:
        number: The message's place in its cycle.
        size: Payload length in bytes, at least 8: the number takes eight digits.
        kind: What fills the rest, see `FILLERS`. For `utf8` the size is even, so that no character is cut.
    """
    if size < 8:
        raise ValueError(f"a numbered payload needs 8 bytes or more, not {size}")
    if kind == "utf8" and size % 2:
        raise ValueError(f"text of two-byte characters needs an even size, not {size}")
    filler = FILLERS[kind]
    return (b"%08d" % number + filler * (size // len(filler) + 1))[:size]


def upgrade_request(
    port: int, target: str, credentials: tuple[str, str] | None, subprotocol: str | None = None
) -> bytes:
    """Build the opening handshake of a client (RFC 6455 section 4.1, RFC 7617 for the credentials)."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    if credentials is not None:
        token = base64.b64encode(":".join(credentials).encode()).decode()
        lines.append(f"Authorization: Basic {token}")
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Dialect:
    """How a message travels inside WebSocket frames: as it is, for every broker but NATS and Mosquitto.

    A dialect belongs to one topic, since some name it in every message.
    """

    subprotocol: str | None = None
    """What a client asks for in its handshake (RFC 6455 section 1.9)."""
    hello = b""
    """Payload a client sends after its handshake, before anything else; empty for none."""
    ready = b""
    """What the server's answer to `hello` contains once the client is subscribed."""
    opcode: int | None = None
    """The only opcode its frames may have; None when text and binary differ as they do for a user."""
    framed = True
    """Whether every message arrives as one frame of its own, so that frames compare byte by byte."""

    def on(self, topic: str) -> "Dialect":
        """Return the dialect for a topic: itself, unless messages name their topic."""
        del topic
        return self

    def opcode_for(self, kind: str) -> int:
        """Return the opcode of a message of a kind of `FILLERS`."""
        return self.opcode or (BINARY if kind == "binary" else TEXT)

    def published(self, payload: bytes) -> bytes:
        """Wrap a payload the way a publisher sends it."""
        return payload

    def delivered(self, payload: bytes) -> bytes:
        """Wrap a payload the way a subscriber receives it."""
        return payload


PLAIN = Dialect()


@dataclass(frozen=True, slots=True)
class Cycle:
    """A stretch of numbered messages that repeats: what is sent, and what every subscriber must read.

    The stretch is four windows long, so that a message lost, doubled or out of order within the window
    shows as a difference in the bytes.
    """

    messages: int
    """How many messages until the numbers repeat."""
    outgoing: bytes
    """The publisher's frames, twice over, so that a slice may run past the end of the stretch."""
    incoming: bytes
    """The bytes every subscriber receives, twice over."""
    out_size: int
    """Length of one message in `outgoing`, in bytes."""
    in_size: int
    """Length of one message in `incoming`, in bytes."""

    @property
    def in_length(self) -> int:
        """Length in bytes of the received stretch, once."""
        return self.messages * self.in_size

    def slice_to_send(self, first: int, count: int) -> bytes:
        """Cut the frames of `count` messages, the first being number `first` since the start of the run."""
        start = (first % self.messages) * self.out_size
        return self.outgoing[start : start + count * self.out_size]


def build_cycle(
    size: int, window: int, dialect: Dialect = PLAIN, *, kind: str = "text", first: int = 0, messages: int = 0
) -> Cycle:
    """Build the messages of a run.

    Args:
        size: Payload length in bytes.
        window: How many messages may be in flight at once.
        dialect: How this broker's clients wrap a message.
        kind: What the payloads are made of, see `FILLERS`.
        first: The number of the first message, so that publishers can be told apart.
        messages: How many there are until they repeat; 0 for four windows, and 64 at least.
    """
    messages = messages or max(4 * window, 64)
    source = random.Random(_MASKS)
    opcode = dialect.opcode_for(kind)
    payloads = [numbered_payload(first + number, size, kind) for number in range(messages)]
    sent = [client_frame(dialect.published(p), mask=source.randbytes(4), opcode=opcode) for p in payloads]
    received = [dialect.delivered(p) for p in payloads]
    if dialect.framed:
        received = [server_frame(p, opcode=opcode) for p in received]
    return Cycle(messages, b"".join(sent) * 2, b"".join(received) * 2, len(sent[0]), len(received[0]))
