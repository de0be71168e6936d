"""Open a serial port and move bytes; the only module that imports serialx."""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Callable
from typing import Final

import serialx

from otp.pi.modems.dialogue import UnpluggedError

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that closing may take: drivers may wait for bytes that a hung modem never takes."""

# It writes every byte to its debug log: PINs, numbers and messages.
logging.getLogger("serialx").setLevel(logging.INFO)


class PortError(Exception):
    """A port cannot be opened; the text says why and what to do."""


class Port(asyncio.Protocol):
    """An open port.

    Attributes:
        path: Where it was opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._on_data: Callable[[bytes], None] = self._early.extend
        self._on_lost: Callable[[], None] = lambda: None

    def attach(self, on_data: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """Hand what is read to ``on_data``, from the first byte on, and tell ``on_lost`` when the port is gone."""
        self._on_data, self._on_lost = on_data, on_lost
        if self._early:
            on_data(bytes(self._early))
            self._early.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport: called by serialx."""
        self._transport = transport  # type: ignore[assignment]  # asyncio's own signature is wider

    def data_received(self, data: bytes) -> None:
        """Hand on what was read."""
        self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that it was unplugged, or closed by us."""
        self.lost.set()
        self._on_lost()

    def write(self, data: bytes) -> None:
        """Write, or queue what the port does not take at once.

        Raises:
            UnpluggedError: it is gone.
        """
        if self._transport is None or self._transport.is_closing():
            raise UnpluggedError
        try:
            self._transport.write(data)
        except (OSError, serialx.SerialException) as error:
            raise UnpluggedError from error

    async def close(self) -> None:
        """Close it; waits ``CLOSE_TIMEOUT`` at most."""
        if self._transport is not None:
            self._transport.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.lost.wait()


async def open_port(path: str, baud_rate: int) -> Port:
    """Open a port for nobody but us: 8 data bits, no parity, 1 stop bit, no flow control.

    Args:
        path: Device, best a link below ``/dev/serial/by-id``, which is followed anew each time.
        baud_rate: bit/s; USB modems ignore it.

    Raises:
        PortError: it cannot be opened.
    """
    port = Port(path)
    loop = asyncio.get_running_loop()
    try:
        await serialx.create_serial_connection(loop, lambda: port, path, baudrate=baud_rate, exclusive=True)
    except (OSError, serialx.SerialException, ValueError) as error:
        raise PortError(_explain(path, error)) from error
    return port


def _explain(path: str, error: Exception) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"{path} is not there: plug the modem in"
    if code in (errno.EACCES, errno.EPERM):
        return f"{path} may not be opened: add the user of this service to the group that owns it, often dialout"
    if code in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program, such as ModemManager: stop it, or make it leave this port alone"
    return f"{path} cannot be opened: {error}"
