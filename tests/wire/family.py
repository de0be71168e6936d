"""The clients that are in the field, byte for byte: the PHP publisher, the Java subscriber, the WSMB examples.

None of them is a model of RFC 6455. The PHP client reads the 101 with one `fread` of 1024 bytes, looks for two strings
in it, and takes what comes next as frames; the Java client is Java-WebSocket 1.5.1 with its headers in alphabetical
order. All of them hang up without a Close.
"""

import asyncio
import json

from broker import WSMessageBroker
from broker.frames import BINARY, PONG, TEXT
from tests.wire.raw import KEY, MASK, PATIENCE, Frame, Wire, basic, client_frame

READ_SIZE = 1024
"""Bytes that the PHP client reads at once, once."""


def php_request(target: str, credentials: str) -> bytes:
    """Build what `WSClient.php` sends: no port in Host, `WebSocket` with capitals, a Content-type."""
    return (
        f"GET {target} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "pragma: no-cache\r\n"
        "Upgrade: WebSocket\r\n"
        "Connection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        f"Authorization: {basic(credentials)}\r\n"
        "Content-type: application/json\r\n"
        "\r\n"
    ).encode()


def java_request(target: str, credentials: str, port: int) -> bytes:
    """Build what Java-WebSocket 1.5.1 sends: six headers in alphabetical order."""
    return (
        f"GET {target} HTTP/1.1\r\n"
        f"Authorization: {basic(credentials)}\r\n"
        "Connection: Upgrade\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"Sec-WebSocket-Key: {KEY}\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Upgrade: websocket\r\n"
        "\r\n"
    ).encode()


def php_json(command: str, data: dict[str, str]) -> bytes:
    """Encode as PHP's `json_encode`: `/` is escaped, and so is everything that is not ASCII."""
    return json.dumps({"command": command, "data": data}, separators=(",", ":")).replace("/", "\\/").encode()


def php_frame(payload: bytes) -> bytes:
    """Build a frame as the PHP publisher does: lengths of 7, 16 or 64 bits, masked, final."""
    return client_frame(TEXT, payload)


def wsmb_frame(payload: bytes) -> bytes:
    """Build a frame as the WSMB examples do: binary, and with 64 bits of length from 65535 bytes on."""
    return client_frame(BINARY, payload, width=8 if len(payload) >= 65535 else None)


PHP_PONG = bytes((PONG, 0x80)) + MASK
"""What the PHP client answers any ping with: no payload, whatever the ping's was."""


class PhpClient:
    """`WSClient.php`, as a publisher or as one that waits for a callback."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.answer = b""
        """The one read that must hold the whole 101."""

    async def connect(self, target: str = "/ws/?topic=sms", credentials: str = "alice:secret") -> bool:
        """Send the handshake in one segment and judge the answer as the original does."""
        await self.wire.send(php_request(target, credentials))
        async with asyncio.timeout(PATIENCE):
            self.answer = await asyncio.get_running_loop().sock_recv(self.wire.sock, READ_SIZE)
        return b" 101 " in self.answer and b"sec-websocket-accept: " in self.answer.lower()

    async def publish(self, payload: bytes) -> None:
        """Send one message and hang up: FIN, no Close."""
        await self.wire.send(php_frame(payload))
        self.wire.close()

    async def callback(self) -> bytes:
        """Wait for one message; a ping, an empty frame or half a header would end the wait for good."""
        frame = await self.wire.frame()
        assert frame.first == TEXT, "the PHP client takes only text for an answer"
        assert frame.payload, "fread with length 0 is a fatal error"
        return frame.payload


class JavaClient:
    """The OTP-Pi's subscriber."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    async def connect(
        self, broker: WSMessageBroker, target: str = "/ws?topic=sms", credentials: str = "alice:secret"
    ) -> None:
        """Connect, as it does every 10 s until it succeeds."""
        await self.wire.upgrade(java_request(target, credentials, broker.port))

    async def text(self) -> bytes:
        """Wait for the next message; only text reaches the program."""
        frame = await self.wire.frame()
        assert frame.first == TEXT, f"the Java client ignores {frame!r}"
        return frame.payload

    async def ping(self) -> Frame:
        """Send the empty ping of every 60 s and return what comes back."""
        await self.wire.send(client_frame(0x89))
        return await self.wire.frame()
