"""A minimal topic broker on `websockets.serve()` and `broadcast()`: port, user and password as arguments.

A certificate and its key may follow.
"""

import asyncio
import ssl
import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, basic_auth, broadcast, serve

from bench.peers.servers.loop import run, tls_context

_topics: defaultdict[str, set[ServerConnection]] = defaultdict(set)


def _topic_of(connection: ServerConnection) -> str:
    request = connection.request
    query = urlsplit(request.path).query if request else ""
    return parse_qs(query).get("topic", [""])[0]


async def _relay(connection: ServerConnection) -> None:
    """Send what one client says to everyone else on its topic."""
    members = _topics[_topic_of(connection)]
    members.add(connection)
    try:
        async for message in connection:
            # Leaving for the moment of the broadcast costs nothing; a copy of the others would cost O(members).
            members.discard(connection)
            broadcast(members, message)
            members.add(connection)
    finally:
        members.discard(connection)


async def _serve(port: int, user: str, password: str, context: ssl.SSLContext | None) -> None:
    async with serve(
        _relay,
        "127.0.0.1",
        port,
        ssl=context,
        compression=None,
        ping_interval=None,
        backlog=4096,
        process_request=basic_auth(credentials=(user, password)),
    ):
        await asyncio.Future()


if __name__ == "__main__":
    run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], tls_context(sys.argv[4:])))
