"""Be one end of a serial cable: a pty whose slave the driver opens, under a link that stays."""

import asyncio
import os
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_READ = 4096
_LARGEST_QUEUE = 64 * 1024
"""Octets that wait for a driver that does not read; a real modem's buffer is smaller still."""


class Wire:
    """A plugged-in cable; ``close`` pulls it out for good."""

    def __init__(self, received: Callable[[bytes], None], *, link: Path | None, chunk: Callable[[], int]) -> None:
        """Open a pty on the running loop.

        Args:
            received: Called with what the driver wrote.
            link: Symbolic link that shall lead to the slave; replaced where there is one.
            chunk: Octets to write at a time; 0 is no limit.
        """
        self._loop = asyncio.get_running_loop()
        self._received = received
        self._chunk = chunk
        self._queue = bytearray()
        # The slave stays open here too: a driver that closes it is no hang-up, and may come back at will.
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._link = link
        if link is not None:
            _point(link, self.path)
        self._loop.add_reader(self._master, self._readable)

    @property
    def port(self) -> str:
        """Path that a driver opens."""
        return self.path if self._link is None else str(self._link)

    def write(self, data: bytes) -> None:
        """Send to the driver; what nobody reads for long is lost, as it is on a cable."""
        if len(self._queue) + len(data) > _LARGEST_QUEUE:
            return
        idle = not self._queue
        self._queue += data
        if idle:
            self._loop.add_writer(self._master, self._writable)
            self._writable()

    def close(self) -> None:
        """Pull the cable out: whoever has the port open reads an end or an I/O error."""
        # What was said before is on the wire already.
        with suppress(BlockingIOError):
            os.write(self._master, self._queue)
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        if self._link is not None and self._link.is_symlink() and str(self._link.readlink()) == self.path:
            self._link.unlink()
        os.close(self._slave)
        os.close(self._master)

    def _readable(self) -> None:
        with suppress(BlockingIOError):
            self._received(os.read(self._master, _READ))

    def _writable(self) -> None:
        piece = self._queue[: self._chunk() or None]
        with suppress(BlockingIOError):
            del self._queue[: os.write(self._master, piece)]
        if not self._queue:
            self._loop.remove_writer(self._master)


def _point(link: Path, target: str) -> None:
    """Make a symbolic link in one step, so that nobody finds it missing."""
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
