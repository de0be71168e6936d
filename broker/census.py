"""Who is connected: the counts behind every cap. Pure: no socket, no clock.

A connection is counted three times over: when TCP accepts it (all, and per address), while its handshake lasts, and
once it is open (per user). Each `enter` has its `leave`.
"""

from broker.errors import FULL, TOO_MANY_CONNECTIONS, Refused
from broker.limits import Tally
from broker.settings import Settings


class Census:
    """Counts of connections.

    Args:
        settings: where the caps stand; replaced on reload.
        max_connections: connections in all, already cut to what the descriptor limit allows.
    """

    __slots__ = ("by_address", "by_user", "max_connections", "open", "settings", "unauthenticated")

    def __init__(self, settings: Settings, max_connections: int) -> None:
        self.settings = settings
        self.max_connections = max_connections
        self.open = 0
        """Accepted sockets that are not yet gone, in whatever state."""
        self.unauthenticated = 0
        """Of these, the ones whose handshake is not over."""
        self.by_address = Tally()
        """Open WebSockets per address key."""
        self.by_user = Tally()
        """Open WebSockets per account."""

    def arrive(self) -> None:
        """Count an accepted socket, whose handshake begins."""
        self.open += 1
        self.unauthenticated += 1

    def check_arrival(self) -> None:
        """Refuse a connection whose place is already one too many; the caller has counted it in `open`."""
        if self.open > self.max_connections:
            raise Refused(
                FULL,
                f"all {self.max_connections} connections (max_connections) are in use",
                reason="max_connections",
            )
        limit = self.settings.max_unauthenticated
        if limit and self.unauthenticated > limit:
            raise Refused(FULL, f"{limit} handshakes (max_unauthenticated) are under way", reason="max_unauthenticated")

    def check_address(self, address: str) -> None:
        """Refuse an address that holds as many connections as it may."""
        limit = self.settings.max_connections_per_address
        if limit and self.by_address[address] >= limit:
            raise Refused(
                TOO_MANY_CONNECTIONS,
                f"your address holds {limit} connections (max_connections_per_address)",
                reason="max_connections_per_address",
            )

    def check_user(self, user: str) -> None:
        """Refuse an account that holds as many connections as it may."""
        limit = self.settings.max_connections_per_user
        if limit and self.by_user[user] >= limit:
            raise Refused(
                TOO_MANY_CONNECTIONS,
                f"the account holds {limit} connections (max_connections_per_user)",
                reason="max_connections_per_user",
            )

    def admit(self, address: str, user: str) -> None:
        """Count an open WebSocket."""
        self.by_address.add(address)
        self.by_user.add(user)

    def dismiss(self, address: str, user: str) -> None:
        """Undo `admit`."""
        self.by_address.drop(address)
        self.by_user.drop(user)
