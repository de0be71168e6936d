"""Private ports on the loopback."""

import random
import socket
from pathlib import Path
from typing import Final

_LOWEST: Final = 10_000
_EPHEMERAL: Final = 32_768
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return TCP ports that nobody uses on the loopback.

    They lie below the range from which the kernel takes a port for every outgoing connection: one of those is free
    now and may be taken a moment later by any client on the machine. No port is given twice by one process.

    Args:
        count: how many.
    """
    return [_free_port() for _ in range(count)]


def free_port() -> int:
    """Return one such port."""
    return free_ports(1)[0]


def _free_port() -> int:
    ports = [port for port in range(_LOWEST, _first_ephemeral()) if port not in _given]
    random.SystemRandom().shuffle(ports)  # processes that run at the same time rarely try the same one
    for port in ports:
        if _is_free(port):
            _given.add(port)
            return port
    raise OSError("there is no free port on 127.0.0.1")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _first_ephemeral() -> int:
    """Return where the kernel's own choice begins (Linux, ip(7)); its default where that cannot be read."""
    try:
        return max(int(_RANGE.read_text().split()[0]), _LOWEST + 1000)
    except (OSError, ValueError, IndexError):
        return _EPHEMERAL
