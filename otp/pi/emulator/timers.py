"""Keep track of what shall happen later, so that it can be called off."""

import asyncio
import math
from collections.abc import Callable


class Timers:
    """Calls that are due on the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._handles: set[asyncio.TimerHandle] = set()

    def later(self, delay: float, call: Callable[[], None]) -> None:
        """Call after ``delay`` seconds; at once where it is 0, never where it is infinite."""
        if math.isinf(delay):
            return
        if delay <= 0:
            call()
            return

        def due() -> None:
            self._handles.discard(handle)
            call()

        handle = self._loop.call_later(delay, due)
        self._handles.add(handle)

    def cancel(self) -> None:
        """Call all of it off."""
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()
