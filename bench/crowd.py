"""Many publishers on one topic, each of them a member: everyone receives what everyone else sends.

Rules:

1. A publisher's next window leaves when the *witness*, the first subscriber, has its last one. The witness reads
   every message and knows, publisher by publisher, which one must come next.
2. The others' bytes are counted until the last window of a run. That one is read by everybody, message by message:
   each sender's sequence, and nobody gets its own.
3. A run begins and ends with nothing in flight.
"""

import select
import socket
import time
from collections.abc import Sequence

from bench.budget import BenchError
from bench.cpu import CpuReader
from bench.load import Meter, RunResult, check_totals, wait
from bench.publisher import Publisher
from bench.subscribers import Stripper
from bench.wire import Cycle

NUMBERS_EACH = 10_000
"""Publisher number `n` numbers its messages from `n * NUMBERS_EACH` on; see `wire.build_cycle`."""
_READ_SIZE = 256 * 1024


class Member:
    """One client of the topic: counts what it gets, or reads it message by message."""

    __slots__ = (
        "_buffer",
        "_client",
        "_cycles",
        "_number_at",
        "_partial",
        "_places",
        "_strip",
        "_view",
        "got",
        "own",
        "reading",
    )

    def __init__(
        self, client: socket.socket, cycles: Sequence[Cycle], buffer: bytearray, own: int | None, *, framed: bool
    ) -> None:
        self._client = client
        self._cycles = cycles
        self._buffer = buffer  # shared by all: its content is used before the next one reads
        self._view = memoryview(buffer)
        self._strip = None if framed else Stripper()
        self._number_at = cycles[0].incoming.index(b"%08d" % 0)
        self.own = own
        """Its number as a publisher; None for one that only listens."""
        self.begin()

    def begin(self) -> None:
        """Start a run: nothing received, only counting."""
        self.got = 0
        self.reading = False
        self._partial = b""
        self._places = [0] * len(self._cycles)

    def read_from(self, places: Sequence[int]) -> None:
        """Read every message from now on; of each publisher the one at its place in `places` comes next."""
        self.reading = True
        self._places = list(places)

    def receive(self) -> list[int]:
        """Take what is there off the socket; return whose messages were read, none while only counting."""
        counting = self._strip is None and not self.reading
        count = self._client.recv_into(self._buffer, 0, socket.MSG_TRUNC if counting else 0)
        if not count:
            raise BenchError(f"the broker closed a member of the topic after {self.got} bytes")
        if counting:
            self.got += count
            return []
        data = bytes(self._view[:count])
        if self._strip is not None:
            # A NATS server asks now and then whether its client lives; within a run it needs no answer.
            data = self._strip.payload(data).replace(b"PING\r\n", b"")
        self.got += len(data)
        return self._read(self._partial + data) if self.reading else []

    def _read(self, data: bytes) -> list[int]:
        size = self._cycles[0].in_size
        whole = len(data) - len(data) % size
        self._partial = data[whole:]
        return [self._check(data[start : start + size]) for start in range(0, whole, size)]

    def _check(self, message: bytes) -> int:
        digits = message[self._number_at : self._number_at + 4]
        publisher = int(digits) if digits.isdigit() else -1
        if publisher == self.own:
            raise BenchError("a publisher received its own message")
        if not 0 <= publisher < len(self._cycles):
            raise BenchError(f"a member of the topic read something nobody sent: {message[:64]!r}")
        cycle = self._cycles[publisher]
        start = self._places[publisher] % cycle.messages * cycle.in_size
        if not cycle.incoming.startswith(message, start):
            raise BenchError(f"publisher {publisher}: lost, doubled or out of order: {message[:64]!r}")
        self._places[publisher] += 1
        return publisher


class CrowdLoop:
    """All publishers at once, each with `window` messages in flight."""

    def __init__(
        self,
        publishers: Sequence[socket.socket],
        readers: Sequence[socket.socket],
        cycles: Sequence[Cycle],
        window: int,
        poll: select.epoll,
        *,
        framed: bool,
    ) -> None:
        self._window = window
        self._size = cycles[0].in_size
        self._poll = poll
        buffer = bytearray(_READ_SIZE)
        self._publishers = [
            Publisher(client, cycle, self._poll) for client, cycle in zip(publishers, cycles, strict=True)
        ]
        self._writers = {publisher.client.fileno(): publisher for publisher in self._publishers}
        listening: list[tuple[socket.socket, int | None]] = [
            (client, number) for number, client in enumerate(publishers)
        ]
        listening += [(client, None) for client in readers]
        self._members = {c.fileno(): Member(c, cycles, buffer, own, framed=framed) for c, own in listening}
        self._witness = self._members[readers[0].fileno()]
        for reader in readers:
            self._poll.register(reader.fileno(), select.EPOLLIN)
        self._seen = [0] * len(self._publishers)
        """How many messages of each publisher the witness has."""
        self._probe = 0.0
        self._samples: list[float] = []

    def run(self, seconds: float, broker: CpuReader) -> RunResult:
        """Keep every window full for `seconds`, let all run empty, and account for the broker's time.

        Raises:
            BenchError: Something was lost, doubled, out of order, changed or echoed, or nothing moves.
        """
        self._reset()
        meter = Meter(broker)
        self._send_all()
        while meter.elapsed() < seconds:
            self._step(go_on=True)
        self._drain()
        self._finish()
        messages = sum(publisher.sent for publisher in self._publishers)
        return meter.result(messages, messages * (len(self._members) - 1), self._samples)

    def _reset(self) -> None:
        self._samples = []
        self._seen = [0] * len(self._publishers)
        for publisher in self._publishers:
            publisher.sent = 0
        for member in self._members.values():
            member.begin()
        self._witness.read_from(self._seen)

    def _send_all(self) -> None:
        self._probe = time.perf_counter()
        for publisher in self._publishers:
            publisher.send(self._window)

    def _finish(self) -> None:
        """Send one window more under everybody's eyes."""
        for member in self._members.values():
            member.read_from([publisher.sent for publisher in self._publishers])
        self._send_all()
        self._drain()
        for member in self._members.values():
            check_totals([member.got], self._wanted(member))

    def _wanted(self, member: Member) -> int:
        """Return the bytes that a member must have got when nothing is in flight: everyone's but its own."""
        own = 0 if member.own is None else self._publishers[member.own].sent
        return (sum(publisher.sent for publisher in self._publishers) - own) * self._size

    def _drain(self) -> None:
        missing = {key for key, member in self._members.items() if member.got < self._wanted(member)}
        while missing:
            for descriptor in self._step(go_on=False):
                if self._members[descriptor].got >= self._wanted(self._members[descriptor]):
                    missing.discard(descriptor)

    def _step(self, *, go_on: bool) -> list[int]:
        """Take in what arrives next, send what may leave, and return who received something."""
        received = []
        for descriptor, event in wait(self._poll, sum(p.sent for p in self._publishers) - sum(self._seen)):
            if event & select.EPOLLOUT:
                self._writers[descriptor].flush()
            if event & ~select.EPOLLOUT:
                received.append(descriptor)
                member = self._members[descriptor]
                heard = member.receive()
                if member is self._witness:
                    self._note(heard, go_on=go_on)
        return received

    def _note(self, heard: Sequence[int], *, go_on: bool) -> None:
        """The witness has these messages: let those who have nothing in flight send again."""
        for number in heard:
            self._seen[number] += 1
            publisher = self._publishers[number]
            if self._seen[number] == publisher.sent and go_on and not publisher.blocked:
                if number == 0:
                    now = time.perf_counter()
                    self._samples.append((now - self._probe) * 1e3)
                    self._probe = now
                publisher.send(self._window)
