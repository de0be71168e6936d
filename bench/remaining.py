"""How long it will still take, for the person who waits."""

import time


class Remaining:
    """Learns from what is done how long the rest will take.

    Args:
        estimate: Seconds that all of it should take. The estimate need not be right, only in proportion.
    """

    def __init__(self, estimate: float) -> None:
        self._left = estimate
        self._done = 0.0
        self._began = time.monotonic()

    def done(self, estimate: float) -> None:
        """Note that a piece of the work is done which was estimated at so many seconds."""
        self._done += estimate
        self._left = max(self._left - estimate, 0.0)

    def text(self) -> str:
        """Say how much is left, `4:20 left`; nothing before anything is done."""
        if not self._done:
            return ""
        seconds = round((time.monotonic() - self._began) / self._done * self._left)
        return f"{seconds // 60}:{seconds % 60:02} left"
