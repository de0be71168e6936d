"""The reading ends of the load: each takes bytes off its socket and checks them against what must come.

All share one buffer, and nothing is parsed: the bytes that must come exist beforehand (see `wire.Cycle`).
"""

import socket

from bench.budget import BenchError
from bench.wire import Cycle

_READ_SIZE = 256 * 1024
_FULLY_CHECKED = 16


class Subscriber:
    """Compares every byte it reads."""

    __slots__ = ("_buffer", "_expected", "_length", "_receive", "_view", "got")

    def __init__(self, client: socket.socket, cycle: Cycle, buffer: bytearray) -> None:
        self._receive = client.recv_into
        self._buffer = buffer  # shared by all: its content is looked at before the next one reads
        self._view = memoryview(buffer)
        self._expected = cycle.incoming
        self._length = cycle.in_length
        self.got = 0
        """Bytes of messages received since the run began."""

    def begin(self) -> None:
        """Start a run: nothing received, the cycle at its first message."""
        self.got = 0

    def look_closely(self) -> None:
        """Compare every byte from now on."""

    def receive(self) -> int:
        """Read what is there, check it, and return `got`."""
        count = self._receive(self._buffer)
        # startswith() with an offset compares in place (memcmp): no slice of the expected bytes is made.
        if count == 0 or not self._expected.startswith(self._view[:count], self.got % self._length):
            self._explain(bytes(self._view[:count]))
        self.got += count
        return self.got

    def _explain(self, data: bytes) -> None:
        """Say what arrived instead of the expected bytes."""
        if not data:
            raise BenchError(f"the broker closed a subscriber after {self.got} bytes")
        start = self.got % self._length
        pairs = zip(data, self._expected[start:], strict=False)
        differs = next(place for place, (got, wanted) in enumerate(pairs) if got != wanted)
        near = data[max(0, differs - 16) : differs + 48]
        place = self.got + differs
        raise BenchError(f"a subscriber read something else than was sent, at byte {place}: {near!r}")


class CountingSubscriber(Subscriber):
    """Counts what arrives without copying it, until it is told to look."""

    __slots__ = ("_counting",)

    def begin(self) -> None:
        """Start a run: nothing received, only counting."""
        self._counting = True
        super().begin()

    def look_closely(self) -> None:
        """Compare every byte from now on, each at its place in the stream."""
        self._counting = False

    def receive(self) -> int:
        """Take what is there off the socket, checked or only counted, and return `got`."""
        if not self._counting:
            return super().receive()
        # MSG_TRUNC on a TCP socket: the kernel drops the bytes instead of copying them (tcp(7)). Over TLS they are
        # decrypted and read all the same.
        count = self._receive(self._buffer, 0, socket.MSG_TRUNC)
        if count == 0:
            self._explain(b"")
        self.got += count
        return self.got


class Stripper:
    """Takes the frame headers off a stream of server frames that may be cut anywhere."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        """A frame's header as far as it has arrived, empty inside a payload."""
        self._left = 0
        """Bytes of the present frame's payload still to come."""

    def payload(self, data: bytes) -> bytes:
        """Return what the frames carry, joined."""
        parts = []
        while data:
            if not self._left:
                data = self._read_head(self._head + data)
            parts.append(data[: self._left])
            data = data[self._left :]
            self._left -= len(parts[-1])
        return b"".join(parts)

    def _read_head(self, data: bytes) -> bytes:
        """Take a frame header off the data (RFC 6455 section 5.2), or keep an incomplete one."""
        code = data[1] & 0x7F if len(data) > 1 else 0
        extra = {126: 2, 127: 8}.get(code, 0)
        if len(data) < 2 + extra:
            self._head = data
            return b""
        self._head = b""
        self._left = int.from_bytes(data[2 : 2 + extra], "big") if extra else code
        return data[2 + extra :]


class UnframingSubscriber(Subscriber):
    """Compares the payloads of a broker that packs messages into frames as it likes."""

    __slots__ = ("_frames",)

    def __init__(self, client: socket.socket, cycle: Cycle, buffer: bytearray) -> None:
        super().__init__(client, cycle, buffer)
        self._frames = Stripper()

    def receive(self) -> int:
        """Read what is there, strip the frame headers, check the rest, and return `got`."""
        count = self._receive(self._buffer)
        data = bytes(self._view[:count])
        if not data:
            self._explain(data)
        payload = self._frames.payload(data)
        if not self._matches(payload):
            # A NATS server asks now and then whether its client lives; within a run it needs no answer.
            payload = payload.replace(b"PING\r\n", b"")
            if not self._matches(payload):
                self._explain(payload)
        self.got += len(payload)
        return self.got

    def _matches(self, payload: bytes) -> bool:
        return self._expected.startswith(payload, self.got % self._length)


def subscribe(readers: list[socket.socket], cycle: Cycle, *, framed: bool) -> dict[int, Subscriber]:
    """Make a subscriber of every socket, by its descriptor.

    Args:
        readers: Non-blocking sockets of clients on the topic.
        cycle: What they must receive.
        framed: Whether every message comes in a frame of its own.
    """
    buffer = bytearray(min(_READ_SIZE, cycle.in_length))
    found: dict[int, Subscriber] = {}
    for number, client in enumerate(readers):
        kind = CountingSubscriber if number >= _FULLY_CHECKED else Subscriber
        found[client.fileno()] = (kind if framed else UnframingSubscriber)(client, cycle, buffer)
    return found
