"""What the kernel still holds of a client's socket, on its way in and on its way out."""

import asyncio
import os
import sys
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Final

CHUNK: Final = 64 * 1024
REST_CHUNKS: Final = 128
"""Reads of `CHUNK` bytes after a connection is lost: 8 MiB, more than a kernel buffers."""


def read_rest(transport: asyncio.Transport) -> bytes:
    """Read what the kernel still holds for a connection that was lost; it keeps at most 6 MB (tcp_rmem)."""
    chunks: list[bytes] = []
    try:
        descriptor = transport.get_extra_info("socket").fileno()
        while len(chunks) < REST_CHUNKS and (chunk := os.read(descriptor, CHUNK)):
            chunks.append(chunk)
    except OSError:  # nothing more is there, or the reset itself: both are the end
        pass
    return b"".join(chunks)


def unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes in the kernel that the client's kernel has not acknowledged (SIOCOUTQ, tcp(7))."""
    try:
        raw = ioctl(transport.get_extra_info("socket").fileno(), TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int.from_bytes(raw, sys.byteorder)
