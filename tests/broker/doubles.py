"""Doubles for what the broker's parts are handed: a clock to turn, a transport to hold up, a broker's shared core."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from broker.config import load_settings
from broker.connection import Connection
from broker.core import Core
from broker.deadlines import Deadlines


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> float:
        """Let time pass; return the new time."""
        self.now += seconds
        return self.now


class Loop:
    """Run what is due when the test says so: `turn` is one turn of an event loop."""

    def __init__(self) -> None:
        self.soon: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.later: list[tuple[float, Callable[[], object]]] = []
        """What was asked for with a delay, in seconds."""

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.soon.append((callback, arguments))

    def call_later(self, delay: float, callback: Callable[[], object]) -> None:
        self.later.append((delay, callback))

    def turn(self) -> None:
        """Run everything that was scheduled before this turn."""
        due, self.soon = self.soon, []
        for callback, arguments in due:
            callback(*arguments)

    def run(self) -> None:
        """Turn until nothing is left."""
        while self.soon:
            self.turn()


class Pipe(asyncio.Transport):
    """A transport whose other side takes bytes only while it is told to.

    Its socket is a real one, since the broker asks the kernel about it: what `far` sends can be read from it.
    """

    HIGH_WATER = 64 * 1024

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.extra: dict[str, object] = {"socket": self.near}
        """What `get_extra_info` knows."""
        self.protocol: Any = None
        self.sent = bytearray()
        """What the other side took."""
        self.buffer = bytearray()
        """What waits for it."""
        self.writes = 0
        self.taking = True
        self._reading = True
        self.ended = False
        """`write_eof` was called."""
        self.closed = False
        self._aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.extra.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes += 1
        (self.sent if self.taking else self.buffer).extend(data)
        if len(self.buffer) > self.HIGH_WATER >= len(self.buffer) - len(data):
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def take(self, size: int) -> None:
        """Let the other side take some bytes."""
        was_high = len(self.buffer) > self.HIGH_WATER
        self.sent += self.buffer[:size]
        del self.buffer[:size]
        if was_high and not self.buffer:
            self.protocol.resume_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def is_reading(self) -> bool:
        return self._reading

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self._aborted = True

    def was_aborted(self) -> bool:
        """Tell whether the line was cut."""
        return self._aborted

    def lose(self, error: Exception | None = None) -> None:
        """Tell the protocol that the connection is gone."""
        self.closed = True
        self.protocol.connection_lost(error)

    def dispose(self) -> None:
        """Close the sockets."""
        self.near.close()
        self.far.close()


class House:
    """A core with its own clock and loop, and connections on pipes: a broker without a socket of its own."""

    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.loop = Loop()
        self.pipes: list[Pipe] = []
        self.core = Core(
            load_settings({"settle_time": 0} | settings),
            self.loop,  # type: ignore[arg-type] # as much of a loop as the core and its connections use
            max_connections=1000,
        )
        self.core.clock = self.core.topics.clock = self.clock
        self.core.deadlines = Deadlines(self.clock())

    def connect(self, topic: str = "t", user: str = "alice", origin: str | None = None, early: bytes = b"") -> "Guest":
        """Open a connection, as the handshake does."""
        pipe = Pipe()
        self.pipes.append(pipe)
        connection = Connection(self.core, pipe, user, "192.0.2.7", origin)
        connection.topic = self.core.topics.join(topic, connection)
        pipe.set_protocol(connection)
        self.core.census.open += 1
        connection.begin(early)
        return Guest(connection, pipe)

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass in steps, with everything that a broker does meanwhile."""
        end = self.clock() + seconds
        while self.clock() < end:
            self.core.tick(self.clock.turn(min(step, end - self.clock())))
            self.core.check_behind(self.clock())
            self.loop.run()

    def dispose(self) -> None:
        """Let go of threads and sockets."""
        self.core.auth.close()
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.dispose()


class Guest:
    """A connection and its pipe."""

    def __init__(self, connection: Connection, pipe: Pipe) -> None:
        self.connection = connection
        self.pipe = pipe

    def send(self, data: bytes) -> None:
        """Hand bytes over as the transport does."""
        self.pipe.protocol.data_received(data)

    def take(self) -> bytes:
        """Return what it was sent since the last look."""
        taken = bytes(self.pipe.sent)
        self.pipe.sent.clear()
        return taken

    def gone(self) -> bool:
        """Tell whether the broker has counted it out."""
        return self.connection.gone
