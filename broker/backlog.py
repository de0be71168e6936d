"""What waits for one client. Pure: no socket, no clock.

While it settles, batches wait here; once it is behind, they wait in its transport, and this tells how it is getting on.
Only there while needed: most clients are neither for most of their life.
"""


class Settling:
    """Batches from the 101 to the end of `settle_time`, shared with all subscribers."""

    __slots__ = ("batches", "size")

    def __init__(self) -> None:
        self.batches: list[bytes] = []
        self.size = 0
        """Bytes in `batches`."""

    def add(self, data: bytes) -> None:
        """Let a batch wait."""
        self.batches.append(data)
        self.size += len(data)


class Lag:
    """How a client that is behind takes what waits for it.

    Args:
        unsent: bytes that it has not taken now, the kernel's included.
        now: seconds.
    """

    __slots__ = ("queued", "taken_at", "unsent")

    def __init__(self, unsent: int, now: float) -> None:
        self.unsent = unsent
        """Bytes that it had not taken at the last look."""
        self.queued = 0
        """Bytes that came behind them since."""
        self.taken_at = now
        """When it was last seen to take a byte."""

    def add(self, data: bytes) -> None:
        """Note what came behind what waits; the transport has it."""
        self.queued += len(data)

    def look(self, unsent: int, now: float) -> float:
        """Note how much it has not taken now; return for how many seconds it has taken nothing."""
        if unsent < self.unsent + self.queued:
            self.taken_at = now
        self.unsent, self.queued = unsent, 0
        return now - self.taken_at
