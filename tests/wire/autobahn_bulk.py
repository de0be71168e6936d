"""Section 9 of the Autobahn WebSocket test suite: large messages, many fragments, tiny segments, round trips."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from broker.frames import BINARY, TEXT
from tests.wire.raw import CONTINUATION, client_frame

KIB: Final = 1024
MIB: Final = 1024 * KIB
TEXT_PATTERN: Final = b"BAsd7&jh23"
BINARY_PATTERN: Final = bytes.fromhex("00fe23faf0")


@dataclass(frozen=True, slots=True)
class Bulk:
    """One message or many of the same; bytes are made when the case runs, since some take 16 MiB."""

    number: str
    first: int
    """First byte of the message: `TEXT` or `BINARY`."""
    pattern: bytes
    """Repeated to fill the message."""
    size: int
    """Bytes of payload."""
    fragment: int = 0
    """Bytes per fragment; 0 is one frame."""
    chop: int = 0
    """Bytes per write; 0 is all at once."""
    count: int = 1
    """Messages, each sent when the one before came back."""

    def payload(self) -> bytes:
        """Build the message."""
        return (self.pattern * (self.size // len(self.pattern) + 1))[: self.size]

    def wire(self) -> bytes:
        """Build what is sent."""
        payload, size = self.payload(), self.fragment
        if not size:
            return client_frame(self.first, payload)
        return b"".join(
            client_frame(
                CONTINUATION if start else self.first, payload[start : start + size], fin=start + size >= len(payload)
            )
            for start in range(0, len(payload), size)
        )


def section_9() -> Iterator[Bulk]:
    """Text cases have odd group numbers, binary ones even."""
    for offset, first, pattern, byte in ((0, TEXT, TEXT_PATTERN, b"*"), (1, BINARY, BINARY_PATTERN, b"\xfe")):
        for index, size in enumerate((64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB), 1):
            yield Bulk(f"9.{1 + offset}.{index}", first, pattern, size)
        for index in range(1, 10):
            yield Bulk(f"9.{3 + offset}.{index}", first, byte, 4 * MIB, fragment=16 * 4**index)
        for index in range(1, 7):
            yield Bulk(f"9.{5 + offset}.{index}", first, pattern, MIB, chop=32 * 2**index)
        for index, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            yield Bulk(f"9.{7 + offset}.{index}", first, byte, size, count=1000)


CASES: Final = tuple(section_9())
