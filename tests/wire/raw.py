"""A client made of bytes: no library decides for it what may be sent, and it believes nothing about what comes back."""

import asyncio
import base64
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from broker.frames import BINARY, CLOSE, PING, PONG, TEXT

CONTINUATION: Final = 0x80
"""First byte of a final continuation frame."""
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of RFC 6455, 1.3, whose answer everybody knows."""
ACCEPT: Final = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK: Final = bytes.fromhex("37fa213d")
PATIENCE: Final = 20.0
"""Seconds until a test gives up waiting; nothing here takes a hundredth of it."""
CHUNK: Final = 2**18


class Frame(NamedTuple):
    """A frame of the broker: its first byte, its payload."""

    first: int
    payload: bytes

    @property
    def code(self) -> int:
        """Code of a Close frame."""
        assert self.first == CLOSE, f"not a Close frame: {self!r}"
        return int.from_bytes(self.payload[:2], "big")

    @property
    def reason(self) -> str:
        """Reason of a Close frame."""
        assert self.first == CLOSE, f"not a Close frame: {self!r}"
        return self.payload[2:].decode()

    def __repr__(self) -> str:
        shown = self.payload if len(self.payload) <= 40 else self.payload[:40] + b"..."
        return f"Frame({self.first:#x}, {shown!r}, {len(self.payload)} bytes)"


def text(payload: str | bytes) -> Frame:
    """Say what a text message must come back as."""
    return Frame(TEXT, payload.encode() if isinstance(payload, str) else payload)


def binary(payload: bytes) -> Frame:
    """Say what a binary message must come back as."""
    return Frame(BINARY, payload)


def pong(payload: bytes) -> Frame:
    """Say what a ping must be answered with."""
    return Frame(PONG, payload)


def xor(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask, in a way that shares no code with the broker."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def client_frame(
    first: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    width: int | None = None,
) -> bytes:
    """Build a frame as a client sends it, or as it must not.

    Args:
        first: first byte with the FIN bit, such as `TEXT`.
        payload: the application data.
        fin: False clears the FIN bit.
        rsv: the three reserved bits, 0 to 7.
        mask: None leaves the frame unmasked.
        width: bytes of the extended length, 0, 2 or 8; None is the shortest.
    """
    first = (first & 0x8F if fin else first & 0x0F) | rsv << 4
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    short = {0: size, 2: 126, 8: 127}[width]
    length = size.to_bytes(width, "big") if width else b""
    if mask is None:
        return bytes((first, short)) + length + payload
    return bytes((first, short | 0x80)) + length + mask + xor(payload, mask)


def cut(stream: bytes) -> Iterator[bytes]:
    """Cut a client's stream where its frames end, as their headers say; the last piece may be incomplete."""
    while stream:
        short = stream[1] if len(stream) > 1 else 0
        width = {126: 2, 127: 8}.get(short & 0x7F, 0)
        size = int.from_bytes(stream[2 : 2 + width], "big") if width else short & 0x7F
        end = 2 + width + (4 if short > 127 else 0) + size
        yield stream[:end]
        stream = stream[end:]


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """Build the payload of a Close frame."""
    return code.to_bytes(2, "big") + reason


def basic(credentials: str) -> str:
    """Encode `user:password` as the value of an Authorization header."""
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def upgrade_request(
    target: str = "/ws?topic=t", credentials: str = "alice:secret", *extra: str, host: str = "127.0.0.1"
) -> bytes:
    """Build a handshake as plain as it gets, with further header lines."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        f"Authorization: {basic(credentials)}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, taken apart."""

    status: int
    reason: str
    headers: dict[str, str]
    """By lower-case name; a header that comes twice fails the test."""
    body: bytes

    @property
    def token(self) -> str:
        """The machine token of a refusal."""
        return str(self.json()["error"])

    def json(self) -> dict[str, Any]:
        """Read the body as JSON."""
        assert self.headers["content-type"] == "application/json"
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


def parse_response(raw: bytes) -> Response:
    """Take a response apart; the body is what follows the headers."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    assert blank, f"not a whole response: {raw[:200]!r}"
    first, *lines = head.decode("ascii").split("\r\n")
    version, status, reason = first.split(" ", 2)
    assert version == "HTTP/1.1", first
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        assert colon, f"no blank behind the colon: {line!r}"
        assert name.lower() not in headers, f"twice: {line!r}"
        headers[name.lower()] = value
    return Response(int(status), reason, headers, body)


class Wire:
    """One TCP connection to a broker, on the running loop.

    Args:
        sock: connected; it is closed by `close`, `reset`, or the fixture that made this.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = bytearray()
        """Received and not yet read by the test."""

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1", receive_buffer: int = 0) -> "Wire":
        """Connect without saying anything.

        Args:
            port: the broker's.
            host: an IPv4 address.
            receive_buffer: bytes that the kernel may keep for us; 0 leaves it to the kernel.
        """
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return cls(sock)

    @classmethod
    async def connect_unix(cls, path: Path) -> "Wire":
        """Connect to a Unix socket without saying anything."""
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(path))
        return cls(sock)

    # -- out

    async def send(self, data: bytes, chop: int = 0) -> None:
        """Send bytes, all at once or so many at a time.

        Between two chops the loop goes round twice: the first round finds the broker's socket readable, the second
        has handled what it read, so that each chop is a read of its own.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            for start in range(0, len(data), chop or max(1, len(data))):
                await loop.sock_sendall(self.sock, data[start : start + chop] if chop else data)
                if chop:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)

    async def send_text(self, payload: str) -> None:
        """Send one text message."""
        await self.send(client_frame(TEXT, payload.encode()))

    def fin(self) -> None:
        """Say that nothing more is sent; what the broker sends can still be read."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close: the kernel sends FIN, or RST when bytes came that nobody read."""
        self.sock.close()

    def reset(self) -> None:
        """Close with RST at once, whatever is on its way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # -- in

    async def _more(self) -> bool:
        chunk = await asyncio.get_running_loop().sock_recv(self.sock, CHUNK)
        self.buffer += chunk
        return bool(chunk)

    def _take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    async def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(PATIENCE):
            while len(self.buffer) < size:
                if not await self._more():
                    raise EOFError(f"{len(self.buffer)} of {size} bytes came before the end: {bytes(self.buffer)!r}")
        return self._take(size)

    async def to_end(self) -> bytes:
        """Read everything until the broker hangs up with FIN; a reset fails the test, here and below."""
        async with asyncio.timeout(PATIENCE):
            while await self._more():
                pass
        return self._take(len(self.buffer))

    async def head(self) -> Response:
        """Read an HTTP head; the bytes behind it stay in the buffer."""
        async with asyncio.timeout(PATIENCE):
            while b"\r\n\r\n" not in self.buffer:
                if not await self._more():
                    raise EOFError(f"the answer ended in its head: {bytes(self.buffer)!r}")
        return parse_response(self._take(self.buffer.index(b"\r\n\r\n") + 4))

    async def response(self) -> Response:
        """Read a refusal: the whole answer, and the end of the connection behind it."""
        response = parse_response(await self.to_end())
        assert response.headers["content-length"] == str(len(response.body))
        return response

    async def frame(self) -> Frame:
        """Read one frame, which must be as a server may send it (RFC 6455, 5.1 and 5.2) and whole."""
        first, short = await self.exactly(2)
        assert first in {TEXT, BINARY, CLOSE, PING, PONG}, f"first byte {first:#x}"
        assert short < 128, "masked"
        size = short
        if short == 126:
            size = int.from_bytes(await self.exactly(2), "big")
            assert size > 125, "not the shortest length"
        elif short == 127:
            size = int.from_bytes(await self.exactly(8), "big")
            assert size > 65535, "not the shortest length"
        return Frame(first, await self.exactly(size))

    async def frames(self, count: int) -> list[Frame]:
        """Read so many frames."""
        return [await self.frame() for _ in range(count)]

    async def frames_to_end(self) -> list[Frame]:
        """Read every frame until the broker hangs up."""
        frames: list[Frame] = []
        while not await self.at_end():
            frames.append(await self.frame())
        return frames

    async def at_end(self) -> bool:
        """Wait for a byte or the end, and tell which it was."""
        async with asyncio.timeout(PATIENCE):
            return not self.buffer and not await self._more()

    # -- in and out

    async def upgrade(self, request: bytes) -> Response:
        """Send a handshake that must succeed."""
        await self.send(request)
        response = await self.head()
        assert response.status == 101, response
        assert response.headers["sec-websocket-accept"] == ACCEPT
        return response

    async def settled(self) -> None:
        """Wait until the broker has handled all that was sent, and check that nothing else came meanwhile.

        A pong keeps its place behind what was sent before its ping.
        """
        assert await self.settled_after() == []

    async def settled_after(self) -> list[Frame]:
        """Wait as `settled` does, and return what came meanwhile."""
        await self.send(client_frame(PING, b"settled?"))
        before: list[Frame] = []
        while (frame := await self.frame()) != pong(b"settled?"):
            before.append(frame)
        return before

    async def say_goodbye(self, code: int = 1000) -> None:
        """Close as RFC 6455, 7.1.2 wants it: Close, the echo of it, then the end of TCP by the server."""
        await self.send(client_frame(CLOSE, close_payload(code)))
        assert await self.frame() == Frame(CLOSE, close_payload(code))
        assert await self.to_end() == b""


async def echo(wire: Wire, received: list[Frame]) -> None:
    """Send back every message until the broker hangs up, and note it."""
    while not await wire.at_end():
        frame = await wire.frame()
        if frame.first not in {TEXT, BINARY}:
            return
        received.append(frame)
        await wire.send(client_frame(frame.first, frame.payload))


@contextmanager
def closing(wires: list[Wire]) -> Iterator[list[Wire]]:
    """Close the sockets of a test with it."""
    try:
        yield wires
    finally:
        for wire in wires:
            wire.close()
