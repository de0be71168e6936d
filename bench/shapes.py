"""The shapes of load: how many subscribers, how large a message, how many in flight."""

from dataclasses import dataclass

from bench.budget import BenchError


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
    shape = Shape(*map(int, numbers))
    if not (1 <= shape.subscribers <= 9000 and 1 <= shape.window <= 4096 and 8 <= shape.size <= 65536):
        raise BenchError(f"shape {text!r}: 1 to 9000 subscribers, 1 to 4096 in flight, 8 to 65536 bytes")
    return shape
