"""The shapes of load: who sends how much of what to whom, and how many are in flight."""

from dataclasses import dataclass
from enum import StrEnum

from bench.budget import BenchError


class Flow(StrEnum):
    """Which generator drives a shape."""

    CLOSED = "closed"
    CROWD = "crowd"
    PAIRS = "pairs"
    PACED = "paced"


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of load; what is not said is as usual: one topic, one publisher, 128 bytes of ASCII text."""

    subscribers: int
    """Subscribers of the topic; of each topic when there are several."""
    window: int
    """Messages in flight per publisher: sent and not yet received by every subscriber."""
    size: int = 128
    """Payload of a message in bytes."""
    kind: str = "text"
    """What payloads are made of: text, utf8 (two-byte characters) or binary."""
    publishers: int = 1
    """Publishers on the topic; where there are several, each receives what the others send."""
    topics: int = 1
    """Topics with a publisher and subscribers of their own."""
    rate: int = 0
    """Messages per second, sent on time whatever comes back; 0 for a window."""
    slow: int = 0
    """Subscribers beside the others that read a trickle."""
    tls: bool = False
    idle: int = 0
    """Idle connections beside the load, all on one other topic."""
    idle_topics: int = 0
    """Idle connections beside the load, each on a topic of its own."""

    @property
    def flow(self) -> Flow:
        """Which generator drives this shape."""
        if self.rate:
            return Flow.PACED
        if self.topics > 1:
            return Flow.PAIRS
        return Flow.CROWD if self.publishers > 1 else Flow.CLOSED

    @property
    def connections(self) -> int:
        """How many clients there are in all."""
        return self.topics * (self.subscribers + self.publishers) + self.slow + self.idle + self.idle_topics

    @property
    def receivers(self) -> int:
        """How many clients receive each message."""
        return self.subscribers + self.publishers - 1

    @property
    def name(self) -> str:
        """Name the shape in a table: subscribers, how many messages in flight, then what is unusual."""
        flight = "one at a time" if self.window == 1 else f"{self.window} in flight"
        parts = [f"{self.subscribers}, {self.rate} messages/s" if self.rate else f"{self.subscribers}, {flight}"]
        if self.publishers > 1:
            parts.append(f"{self.publishers} publishers")
        if self.topics > 1:
            parts.append(f"{self.topics} topics")
        if self.size != 128:
            parts.append(f"{self.size} bytes")
        if self.kind != "text":
            parts.append({"utf8": "not ASCII", "binary": "binary"}[self.kind])
        for count, what in ((self.slow, "slow"), (self.idle, "idle"), (self.idle_topics, "idle topics")):
            parts += [f"{count} {what}"] if count else []
        return ", ".join([*parts, "TLS"] if self.tls else parts)


BASE = (
    Shape(1, 256),
    Shape(10, 256),
    Shape(100, 256),
    Shape(1000, 64),
    Shape(1, 1),
    Shape(100, 1),
)
_FEW = Shape(10, 256)

GROUPS: dict[str, tuple[Shape, ...]] = {
    "base": BASE,
    "subscribers": (Shape(9000, 16), Shape(10, 1), Shape(1000, 1), Shape(9000, 1)),
    "sizes": (Shape(10, 256, 32), _FEW, Shape(10, 256, 1024), Shape(10, 256, 16384)),
    "kinds": (
        _FEW,
        Shape(10, 256, kind="utf8"),
        Shape(10, 256, kind="binary"),
        Shape(10, 256, 16384, kind="utf8"),
        Shape(10, 256, 16384, kind="binary"),
    ),
    "windows": (Shape(10, 1), Shape(10, 16), _FEW),
    "publishers": (
        Shape(10, 1),
        Shape(10, 1, publishers=10),
        Shape(10, 1, publishers=100),
        Shape(10, 16, publishers=10),
    ),
    "topics": (Shape(1, 1), Shape(1, 1, topics=100), Shape(1, 1, topics=1000)),
    "paced": (Shape(100, 1, rate=1000), Shape(1000, 1, rate=200)),
    "slow": (Shape(90, 16, 16384), Shape(90, 16, 16384, slow=10)),
    "tls": (Shape(10, 256, tls=True), Shape(100, 1, tls=True)),
    "idle": (_FEW, Shape(10, 256, idle=1000), Shape(10, 256, idle=8000)),
    "idle topics": (_FEW, Shape(10, 256, idle_topics=1000), Shape(10, 256, idle_topics=8000)),
}
"""The dimensions, each varied by itself; the first group is what everyone looks at first."""


def shapes_of(names: str) -> tuple[Shape, ...]:
    """Return the shapes of groups, given with commas between them, each shape once.

    Raises:
        BenchError: There is no such group.
    """
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in GROUPS]
    if unknown:
        raise BenchError(f"unknown group {unknown[0]!r}: choose from {', '.join(GROUPS)}")
    return tuple(dict.fromkeys(shape for name in wanted for shape in GROUPS[name]))


def parse_shapes(text: str) -> tuple[Shape, ...]:
    """Read shapes from `SUBSCRIBERSxWINDOW[xSIZE]`, separated by commas: `1x256,100x1,10x16x1024`.

    Raises:
        BenchError: A shape is not written so, or is beyond what one machine can hold.
    """
    return tuple(_parse_shape(part.strip()) for part in text.split(","))


def _parse_shape(text: str) -> Shape:
    numbers = text.split("x")
    if len(numbers) not in (2, 3) or not all(number.isdecimal() for number in numbers):
        raise BenchError(f"shape {text!r}: write SUBSCRIBERSxWINDOW or SUBSCRIBERSxWINDOWxSIZE, like 100x256")
    subscribers, window, size = (int(number) for number in [*numbers, "128"][:3])
    shape = Shape(subscribers, window, size)
    if not (1 <= shape.subscribers <= 9000 and 1 <= shape.window <= 4096 and 8 <= shape.size <= 65536):
        raise BenchError(f"shape {text!r}: 1 to 9000 subscribers, 1 to 4096 in flight, 8 to 65536 bytes")
    return shape
