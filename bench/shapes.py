"""The shapes of load: how many subscribers, how large a message, how many in flight."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of load on one topic, with one publisher."""

    subscribers: int
    window: int
    """Messages in flight: sent and not yet received by every subscriber."""
    size: int = 128
    """Payload of a message in bytes, ASCII text."""

    @property
    def name(self) -> str:
        """Name the shape in a table: subscribers, then how many messages in flight."""
        flight = "one at a time" if self.window == 1 else f"{self.window} in flight"
        size = "" if self.size == 128 else f", {self.size} bytes"
        return f"{self.subscribers}, {flight}{size}"


BASE = (
    Shape(subscribers=1, window=256),
    Shape(subscribers=10, window=256),
    Shape(subscribers=100, window=256),
    Shape(subscribers=1000, window=64),
    Shape(subscribers=1, window=1),
    Shape(subscribers=100, window=1),
)
