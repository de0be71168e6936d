"""What every connection shares, built once per broker."""

import asyncio
import ipaddress
import re
import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol, cast

from broker.auth import Authenticator
from broker.census import Census
from broker.deadlines import Deadlines
from broker.errors import Closure
from broker.limits import Buckets
from broker.logs import Log
from broker.metrics import Counters
from broker.rates import BURST_SECONDS
from broker.request import networks
from broker.settings import Settings
from broker.topics import Topics

try:
    from websockets.speedups import apply_mask  # compiled: 0.1 us for 128 bytes
except ImportError:  # no wheel for this machine: 1.6 us
    from websockets.utils import apply_mask


class Transient(Protocol):
    """A socket on its way in or out, which the end of the broker has to cut."""

    transport: asyncio.Transport


class Client(Protocol):
    """An open connection, as its owner sees it."""

    user: str
    origin: str | None
    transport: asyncio.Transport
    received: int

    @property
    def gone(self) -> bool:
        """Whether it is counted out."""

    def leave(self, closure: Closure) -> None:
        """Ask the client to go."""

    def close(self, closure: Closure, detail: str = "") -> None:
        """Send it away."""


class Behind(Protocol):
    """A connection whose write side is paused."""

    def check_progress(self, now: float) -> None:
        """Close it when it took no byte for `write_timeout`."""

    def queued_bytes(self) -> int:
        """Bytes that wait for it."""


class Core:
    """Settings, counts, topics and clock of one broker.

    Args:
        settings: as loaded; `reconfigure` replaces them.
        loop: the loop everything runs on.
        max_connections: connections in all, as the descriptor limit allows.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop, *, max_connections: int) -> None:
        self.loop = loop
        self.clock: Callable[[], float] = time.monotonic
        self.log: Final = Log()
        self.counters = Counters()
        self.census = Census(settings, max_connections)
        self.topics = Topics(loop.call_soon, self.clock, observe=self.counters.relays.append)
        self.auth = Authenticator(settings, self.counters, self.clock)
        self.deadlines = Deadlines(self.clock())
        self.unmask: Callable[[bytes, bytes], bytes] = apply_mask
        self.transients: set[Transient] = set()
        """Handshakes that are not over, and sockets that wait for the other side to hang up."""
        self.behind: set[Behind] = set()
        """Open connections whose write side is paused."""
        self.losing: set[Behind] = set()
        """Of these, the ones whose messages are being dropped (`slow_consumer = "drop"`)."""
        self.draining = False
        """True from the first signal to stop: nobody new comes in."""
        self.draining_retry = 1.0
        """Seconds that `Retry-After` tells who comes meanwhile."""
        self.serial = 0
        """Number of the newest connection."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when a socket came or went: the listener watches the descriptors."""
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take over settings; what is open keeps going under the new limits."""
        self.settings = settings
        self.census.settings = settings
        self.auth.configure(settings)
        # What each message asks for stands here as plain attributes: pydantic's cost three times as much.
        self.max_message_size = settings.max_message_size
        self.binary_as_text = settings.binary_as_text
        self.rated = bool(settings.message_rate or settings.byte_rate)
        """Whether `message_rate` or `byte_rate` is set."""
        self.topics.max_topics = settings.max_topics
        self.topics.max_subscribers = settings.max_subscribers_per_topic
        self.topic_allowed = re.compile(settings.topic_pattern, re.DOTALL).fullmatch
        self.proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = networks(settings.trusted_proxies)
        self.trust_unix = "unix" in settings.trusted_proxies
        rate = float(settings.connection_rate)
        self.arrivals = Buckets(rate, rate * BURST_SECONDS) if rate else None

    def next_serial(self) -> int:
        """Number a connection, for the log."""
        self.serial += 1
        return self.serial

    def everyone(self) -> Iterator[Client]:
        """Yield every open connection: each is on exactly one topic. Safe while they leave."""
        for topic in tuple(self.topics.by_name.values()):
            yield from cast("tuple[Client, ...]", tuple(topic.members))

    def tick(self, now: float) -> None:
        """Run the deadlines that are over, and sort what was measured since the last tick."""
        self.counters.count_relays()
        self.deadlines.tick(now)
        self.topics.tick(now)

    def check_behind(self, now: float) -> None:
        """Look at the connections that are behind; the others cost nothing."""
        for connection in tuple(self.behind):
            connection.check_progress(now)

    def queued_bytes(self) -> int:
        """Bytes that wait for connections which are behind."""
        return sum(connection.queued_bytes() for connection in self.behind)
