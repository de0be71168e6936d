"""What everybody shares who speaks to Redis: the pool of connections, and what a failed log-in means."""

import ssl
from typing import Any

from redis import exceptions
from redis.asyncio import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from otp.roads import failures
from otp.roads.errors import RoadError

PORT = 6379

LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
"""What the library raises when a connection cannot be opened, or has broken."""


def pool(context: ssl.SSLContext | None, *, username: str, password: str, **options: Any) -> ConnectionPool:
    """Return a pool whose connections never repeat a command: a message must not go out twice.

    Args:
        context: For TLS; ``None`` for none.
        username: An ACL user; empty is the default one.
        password: Its password; without one neither is sent.
        options: Others of ``redis.asyncio.Connection``, such as ``host`` and ``port``.
    """
    wanted: dict[str, Any] = {
        "username": (username or None) if password else None,
        "password": password or None,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        **options,
    }
    if context is None:
        return ConnectionPool(connection_class=Connection, **wanted)
    return ConnectionPool(connection_class=_TlsConnection, context=context, **wanted)


class _TlsConnection(SSLConnection):
    """A connection over TLS with a context made beforehand, the same as on every other road."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = context


def not_connected(error: BaseException, server: str) -> RoadError:
    """Return what a failed log-in becomes; a server that wants no password says so with an error as well."""
    refused = isinstance(error, exceptions.AuthenticationError) or "NOAUTH" in str(error)
    if refused or "without any password configured" in str(error):
        return RoadError("unauthorized", f"{server} did not accept username and password.")
    return failures.not_connected(error, server)
