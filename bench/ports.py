"""Private ports on the loopback."""

import socket


def free_port() -> int:
    """Ask the kernel for a TCP port of 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
