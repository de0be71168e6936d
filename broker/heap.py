"""Keep the C library from giving memory back to the kernel and asking for it again with every large message.

glibc maps buffers above 128 KiB one by one, and gives the top of the heap back as soon as 128 KiB of it are free
(mallopt(3)). A turn's joined messages are such buffers: with 16 KiB messages a fifth of the broker's time went into
page faults (`python -m bench fanout --shapes 10x256x16384`: 8.1 us per delivery without this, 6.2 with it).
"""

import ctypes
from typing import Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3

KEPT: Final = 16 * 2**20
"""Bytes at the top of the heap that are kept for the next message."""

MAPPED_FROM: Final = 8 * 2**20
"""Size from which a buffer is mapped alone, and given back when it is done with."""


def keep_freed_memory() -> bool:
    """Tell glibc to keep some memory; return whether it was understood. Other C libraries are left as they are."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, MAPPED_FROM) and mallopt(M_TRIM_THRESHOLD, KEPT))
