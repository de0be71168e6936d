"""Subscribers that read a trickle: the load does not wait for them, and neither should a broker."""

import socket
import time

BUFFER = 4096
"""Bytes the kernel keeps for a slow subscriber, about: what is not read piles up at the broker."""
_SIP = 4096
_INTERVAL = 0.05


class Laggards:
    """Some subscribers that read 4 KiB every 50 ms each, and check nothing."""

    def __init__(self, readers: list[socket.socket]) -> None:
        self._readers = list(readers)
        self._next = 0.0
        self.cut_off = 0
        """How many the broker has closed."""

    def trickle(self) -> None:
        """Read a little, when it is time."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        for reader in list(self._readers):
            if not _sip(reader):
                self._readers.remove(reader)
                self.cut_off += 1


def _sip(reader: socket.socket) -> bool:
    """Read a little; return False when the broker has closed the connection."""
    try:
        return bool(reader.recv(_SIP))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
