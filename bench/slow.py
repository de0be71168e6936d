"""Subscribers that read a trickle: the load does not wait for them, and neither should a broker."""

import socket
import sys
import time
from pathlib import Path

BUFFER = 4096
"""Bytes the kernel keeps for a slow subscriber, about: what is not read piles up at the broker."""
_SIP = 4096
_INTERVAL = 0.05
_CONNECTIONS = Path("/proc/net/tcp")
_ESTABLISHED = "01"


class Laggards:
    """Some subscribers that read 4 KiB every 50 ms each, and check nothing."""

    def __init__(self, readers: list[socket.socket]) -> None:
        self._readers = list(readers)
        self._next = 0.0
        self._ended = 0

    @property
    def cut_off(self) -> int:
        """How many the broker has closed, whether they have read as far as the end or not.

        Megabytes can lie in the kernel before the end, so it is the broker's side of the connection that is asked.
        """
        established = _established()
        return self._ended + sum(_seen_by_the_broker(reader) not in established for reader in self._readers)

    def trickle(self) -> None:
        """Read a little, when it is time."""
        now = time.perf_counter()
        if now < self._next:
            return
        self._next = now + _INTERVAL
        for reader in list(self._readers):
            if not _sip(reader):
                self._readers.remove(reader)
                self._ended += 1


def _sip(reader: socket.socket) -> bool:
    """Read a little; return False when the broker has closed the connection."""
    try:
        return bool(reader.recv(_SIP))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def _established() -> set[tuple[str, str]]:
    """Return the (local, remote) addresses of this machine's established connections (proc_net_tcp.rst of Linux)."""
    lines = (line.split(maxsplit=4) for line in _CONNECTIONS.read_text().splitlines()[1:])
    return {(local, remote) for _, local, remote, state, _ in lines if state == _ESTABLISHED}


def _seen_by_the_broker(reader: socket.socket) -> tuple[str, str]:
    try:
        return _written(reader.getpeername()), _written(reader.getsockname())
    except OSError:
        return "", ""  # reset


def _written(address: tuple[str, int]) -> str:
    """Write an address as the kernel does: the four bytes as one number of this machine's byte order."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"
