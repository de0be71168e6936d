"""Talk to systemd without a library: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

LISTEN_FDS_START: Final = 3
"""First descriptor that systemd hands over."""


class Notifier:
    """Tell the service manager how we are; without one every call does nothing.

    Args:
        environment: where NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are looked up.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self.address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog = _watchdog_interval(environment)
        """Seconds between two signs of life, half of what the manager waits; None when it does not watch."""

    def send(self, *states: str) -> None:
        """Send `NAME=VALUE` lines; a manager that is gone is no reason to fail."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(states).encode(), address)
        except OSError:
            pass

    def ready(self, status: str) -> None:
        """Say that clients are served."""
        self.send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Say that a reload begins; `ready` ends it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self.send("STOPPING=1", "STATUS=draining")

    def alive(self) -> None:
        """Reset the watchdog."""
        self.send("WATCHDOG=1")


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    usec, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2_000_000


def inherited_sockets(
    environment: Mapping[str, str] | None = None, start: int = LISTEN_FDS_START
) -> list[socket.socket]:
    """Return the listening sockets that systemd opened for this process; none without socket activation.

    Args:
        environment: where LISTEN_PID and LISTEN_FDS are looked up.
        start: the first descriptor.
    """
    environment = os.environ if environment is None else environment
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit():
        return []
    sockets = [socket.socket(fileno=descriptor) for descriptor in range(start, start + int(count))]
    for each in sockets:
        each.setblocking(False)
        os.set_inheritable(each.fileno(), False)
    return sockets
