"""What one connection may send: `message_rate` and `byte_rate`. Pure."""

from typing import Final

from broker.limits import TokenBucket

BURST_SECONDS: Final = 2.0
"""How many seconds' worth of a rate may come at once."""


class Rates:
    """What one connection may send: only there when `message_rate` or `byte_rate` is set."""

    __slots__ = ("messages", "volume")

    def __init__(self, message_rate: int, byte_rate: int, now: float) -> None:
        self.messages = TokenBucket(message_rate, message_rate * BURST_SECONDS, now) if message_rate else None
        self.volume = TokenBucket(byte_rate, byte_rate * BURST_SECONDS, now) if byte_rate else None

    def allow(self, frames: list[bytes], now: float) -> int:
        """Return how many of the messages, from the first on, are within the rates."""
        allowed = len(frames) if self.messages is None else self.messages.take(len(frames), now)
        if self.volume is not None:
            for index in range(allowed):
                if not self.volume.spend(len(frames[index]), now):
                    return index
        return allowed
