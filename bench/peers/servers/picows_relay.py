"""A minimal topic broker on picows: port, user and password as arguments; certificate and key may follow."""

import base64
import sys
from collections import defaultdict
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from bench.peers.servers.loop import run, tls_context

_topics: defaultdict[str, dict[WSTransport, None]] = defaultdict(dict)
_MESSAGES = (WSMsgType.TEXT, WSMsgType.BINARY)


class _Member(WSListener):
    """A client of a topic: what it says goes to everyone else there."""

    def __init__(self, topic: str) -> None:
        self._members = _topics[topic]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._members[transport] = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in _MESSAGES:
            payload, kind = frame.get_payload_as_bytes(), frame.msg_type
            for member in self._members:
                if member is not transport:
                    member.send(kind, payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._members.pop(transport, None)


async def _serve(port: int, user: str, password: str, files: list[str]) -> None:
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def listener(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        if request.headers.get("Authorization") != expected:
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(HTTPStatus.UNAUTHORIZED), None)
        topic = parse_qs(urlsplit(request.path.decode()).query).get("topic", [""])[0]
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(), _Member(topic))

    server = await ws_create_server(listener, "127.0.0.1", port, ssl=tls_context(files), backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
