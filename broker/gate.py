"""Sockets in their TLS handshake: counted and bounded before there is a protocol that could be asked.

The loops make the protocol's connection only once TLS stands. Uncounted, silent sockets would take every descriptor
past `max_connections` and `max_unauthenticated`: 400 of them did, of 200, without a log line.
"""

import socket
import ssl

from broker.core import Core
from broker.errors import FULL
from broker.handshake import Handshake
from broker.logs import describe


class Gate:
    """Count who knocks; the handshake counts on from there.

    Args:
        core: where sockets are counted.
    """

    def __init__(self, core: Core) -> None:
        self.core = core

    def enter(self, address: str) -> bool:
        """Count one more handshake under way.

        Returns:
            False when there are `max_unauthenticated` already; the socket is then closed without a TLS handshake,
            since a readable refusal would cost more than it is worth.
        """
        census = self.core.census
        limit = self.core.settings.max_unauthenticated
        if limit and census.unauthenticated >= limit:
            self.core.counters.rejected["max_unauthenticated"] += 1
            self.core.log.info("refused", status=FULL.status, reason="max_unauthenticated", address=address)
            return False
        census.arrive()
        self.core.on_change()
        return True

    def make_protocol(self, line: socket.socket, address: str) -> Handshake:
        """Make the protocol of a socket that `enter` has counted; nothing is sent past its TLS."""
        del line
        return Handshake(self.core, address, counted=True)

    def fail(self, address: str, error: Exception) -> None:
        """Count a handshake out that did not succeed."""
        census = self.core.census
        census.unauthenticated -= 1
        census.open -= 1
        self.core.counters.rejected["tls"] += 1
        cause = error.reason if isinstance(error, ssl.SSLError) else None
        self.core.log.info("refused", reason="tls", address=address, cause=cause or describe(error))
        self.core.on_change()
