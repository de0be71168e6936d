"""Clients of other libraries behind one face: `websockets`, `aiohttp`, and the `ws` package of node in its process."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import pytest
from aiohttp import WSMsgType
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.wire.raw import PATIENCE

NODE: Final = Path(__file__).parent / "node"
Message = str | bytes


class Ended(NamedTuple):
    """How a connection ended, as the library tells it."""

    code: int
    reason: str


class Refusal(Exception):  # noqa: N818 - what a library reports, in one form
    """The broker refused the upgrade."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Talker(Protocol):
    """A connected client."""

    async def send(self, message: Message) -> None:
        """Send one message."""

    async def send_fragments(self, parts: Iterable[str]) -> None:
        """Send one text message in fragments; a library without them joins them."""

    async def receive(self) -> Message:
        """Wait for the next message."""

    async def ping(self, payload: bytes) -> None:
        """Ping, and wait for the pong with the same payload."""

    async def close(self, code: int, reason: str) -> Ended:
        """Close, and tell how it ended."""

    async def end(self) -> Ended:
        """Wait until the broker closes, and tell how it ended."""


class Websockets:
    """`websockets`, with its own defaults: compression offered, keepalive on."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[Talker]:
        """Connect."""
        try:
            async with connect(url) as connection:
                yield cls(connection)
        except InvalidStatus as error:
            raise Refusal(error.response.status_code) from None

    async def send(self, message: Message) -> None:
        await self.connection.send(message)

    async def send_fragments(self, parts: Iterable[str]) -> None:
        await self.connection.send(parts)

    async def receive(self) -> Message:
        return await self.connection.recv()

    async def ping(self, payload: bytes) -> None:
        await (await self.connection.ping(payload))

    async def close(self, code: int, reason: str) -> Ended:
        await self.connection.close(code, reason)
        return self._ended()

    async def end(self) -> Ended:
        with contextlib.suppress(ConnectionClosed):
            await self.connection.recv()
        return self._ended()

    def _ended(self) -> Ended:
        return Ended(self.connection.close_code or 0, self.connection.close_reason or "")


class Aiohttp:
    """`aiohttp`, with Basic credentials taken from the URL."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[Talker]:
        """Connect."""
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(url, autoping=False, autoclose=False, compress=15) as socket,
            ):
                yield cls(socket)
        except aiohttp.WSServerHandshakeError as error:
            raise Refusal(error.status) from None

    async def send(self, message: Message) -> None:
        if isinstance(message, str):
            await self.socket.send_str(message)
        else:
            await self.socket.send_bytes(message)

    async def send_fragments(self, parts: Iterable[str]) -> None:
        await self.socket.send_str("".join(parts))

    async def receive(self) -> Message:
        message = await self.socket.receive()
        assert message.type in {WSMsgType.TEXT, WSMsgType.BINARY}, message
        data: Message = message.data
        return data

    async def ping(self, payload: bytes) -> None:
        await self.socket.ping(payload)
        answer = await self.socket.receive()
        assert (answer.type, answer.data) == (WSMsgType.PONG, payload)

    async def close(self, code: int, reason: str) -> Ended:
        await self.socket.close(code=code, message=reason.encode())
        return Ended(self.socket.close_code or 0, reason)

    async def end(self) -> Ended:
        message = await self.socket.receive()
        assert message.type is WSMsgType.CLOSE, message
        return Ended(message.data, message.extra or "")


class NodeWs:
    """The `ws` package of node, driven over pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, url: str) -> AsyncIterator[Talker]:
        """Start node and connect."""
        process = await asyncio.create_subprocess_exec(
            "node",
            "client.mjs",
            url,
            cwd=NODE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**24,
        )
        try:
            client = cls(process)
            first = await client._event()
            if "refused" in first:
                raise Refusal(first["refused"])
            assert first == {"open": ""}, first
            yield client
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    async def _event(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        event = json.loads(line or b'{"error": "node ended"}')
        assert "error" not in event, event
        assert isinstance(event, dict)
        return event

    async def _command(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()

    async def send(self, message: Message) -> None:
        if isinstance(message, str):
            await self._command(send=message)
        else:
            await self._command(sendHex=message.hex())

    async def send_fragments(self, parts: Iterable[str]) -> None:
        *rest, last = parts
        for part in rest:
            await self._command(send=part, fin=False)
        await self._command(send=last)

    async def receive(self) -> Message:
        event = await self._event()
        if "text" in event:
            return str(event["text"])
        return bytes.fromhex(event["hex"])

    async def ping(self, payload: bytes) -> None:
        await self._command(ping=payload.hex())
        assert await self._event() == {"pong": payload.hex()}

    async def close(self, code: int, reason: str) -> Ended:
        await self._command(close=code, reason=reason)
        return await self.end()

    async def end(self) -> Ended:
        event = await self._event()
        return Ended(event["close"], event["reason"])


def prepare_node() -> None:
    """Install the `ws` package from the lock file once; skip where node is not there, fail in CI."""
    if (NODE / "node_modules" / "ws").is_dir() and shutil.which("node"):
        return
    if not (shutil.which("node") and shutil.which("npm")):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "node and npm are not there: sudo apt install nodejs npm"
        )
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=NODE, check=True, timeout=100)


LIBRARIES: Final[dict[str, type[Websockets | Aiohttp | NodeWs]]] = {
    "websockets": Websockets,
    "aiohttp": Aiohttp,
    "node ws": NodeWs,
}
