"""WebSocket: one connection to a topic broker, kept open.

RFC 6455 has no acknowledgement, but frames of one connection stay in order. A ping is sent after each message; its
pong says that the broker has read the message before it. Pongs are cumulative (RFC 6455, 5.5.3): the pong of a later
ping answers the earlier ones as well.

A publisher is a subscriber like any other: what others send to the topic arrives here too, and is dropped.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from otp.publisher.errors import RoadError
from otp.publisher.settings import Ws
from otp.publisher.transports.base import MAX_ANSWER, Answer, Receipt
from otp.publisher.transports.first import First
from otp.publisher.transports.kept import Kept
from otp.roads import failures, http, tls
from otp.roads.closing import quietly

DEFAULT_PORT = 9000

_MAX_FRAME = 16 * 1024 * 1024
"""Bytes of a message that others may send to the topic before we hang up; above every broker's own limit."""

_CLOSE_REASONS = {1008: "rejected", 1009: "rejected", 3000: "unauthorized", 3003: "forbidden"}
"""What a Close code says of the message that was not confirmed (3000 and 3003: IANA registry)."""

_PHP_HINT = " The PHP publisher sent its user name as the password; here password is sent."


def open_road(settings: Ws) -> "WsRoad":
    """Return the road; see ``transports.open_road``."""
    return WsRoad(settings)


class WsRoad:
    """Messages to a topic of a WebSocket broker."""

    answers_at_once = False

    def __init__(self, settings: Ws) -> None:
        self._settings = settings
        self._server = http.netloc(settings.host, settings.port or DEFAULT_PORT)
        self._door = http.Door(
            tls.context(settings) if settings.tls else None,
            username=settings.username,
            password=settings.password,
            connect_timeout=settings.connect_timeout,
        )
        self._kept = Kept(self._publishing_line, _Line.alive, _Line.confirm, _Line.close)

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        """Send one text frame and wait for the pong of a ping sent after it."""
        async with self._kept.use() as line:
            await line.send(payload)
        return Receipt(note="The broker has the message; whether anyone listens cannot be known.")

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Answer]:
        """Subscribe with a connection of its own; a pong shows that the broker has finished joining it."""
        first = First()
        line = await self._connect(topic, first)
        try:
            await line.confirm()
            yield first.wait
        finally:
            await quietly(line.close())

    async def check(self) -> str:
        """Connect, and have a ping answered."""
        async with self._kept.use() as line:
            await line.confirm()
        return f"{self._url(self._settings.topic).human_repr()} answered a ping"

    async def close(self) -> None:
        """Close the connection."""
        await self._kept.close()
        await self._door.close()

    async def _publishing_line(self) -> "_Line":
        return await self._connect(self._settings.topic, None)

    async def _connect(self, topic: str, first: First | None) -> "_Line":
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                socket = await self._door.session().ws_connect(
                    self._url(topic), autoping=False, max_msg_size=MAX_ANSWER if first else _MAX_FRAME
                )
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error.status, self._server) from None
        except (aiohttp.ClientError, OSError) as error:
            raise failures.not_connected(error, self._server) from error
        return _Line(socket, self._server, first)

    def _url(self, topic: str) -> URL:
        scheme = "wss" if self._settings.tls else "ws"
        return URL(f"{scheme}://{self._server}{http.with_topic(self._settings.path, topic)}", encoded=True)


class _Line:
    """One open connection and the task that reads it.

    Attributes:
        _first: Takes the first message that others send to the topic; ``None`` where nobody wants it.
        _pings: Pings without their pong: payload and what waits for it, oldest first.
        _last: Number of the last ping; its text is the payload, which is never empty (PHP servers fail on that).
        _failure: Why the connection ended; ``None`` while it is open.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, server: str, first: First | None) -> None:
        self._socket = socket
        self._first = first
        self._server = server
        self._pings: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._last = 0
        self._failure: RoadError | None = None
        self._reader = asyncio.create_task(self._read())

    def alive(self) -> bool:
        """Tell whether the connection is open as far as is known."""
        return self._failure is None and not self._socket.closed

    async def send(self, payload: bytes) -> None:
        """Send a text frame and wait until the broker has it."""
        await self._write(self._socket.send_str(payload.decode()))
        await self.confirm()

    async def confirm(self) -> None:
        """Wait until the broker has read everything sent so far."""
        self._last += 1
        payload, pong = b"%d" % self._last, asyncio.get_running_loop().create_future()
        self._pings.append((payload, pong))
        await self._write(self._socket.ping(payload))
        if self._failure is not None:
            raise self._failure
        await pong

    async def close(self) -> None:
        """Say goodbye and stop reading."""
        try:
            await self._socket.close()
        finally:
            self._reader.cancel()

    async def _write(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except (aiohttp.ClientError, OSError) as error:
            raise self._failure or failures.broken(error, self._server) from error

    async def _read(self) -> None:
        """Answer pings, settle pongs, keep the first message, until the connection ends."""
        closing = None
        try:
            while closing is None:
                closing = await self._take(await self._socket.receive())
        except (aiohttp.ClientError, OSError):
            pass
        finally:
            self._end(_ended(self._server, self._socket.close_code, closing))

    async def _take(self, message: aiohttp.WSMessage) -> str | None:
        """Deal with one frame; return the reason once the connection is closed, an empty one if there is none."""
        if message.type is aiohttp.WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is aiohttp.WSMsgType.PONG:
            self._settle(bytes(message.data))
        elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            self._arrive(message.data)
        else:
            return str(message.extra or "")
        return None

    def _settle(self, payload: bytes) -> None:
        """Release whoever waits for this pong or an earlier one."""
        if not any(waiting == payload for waiting, _ in self._pings):
            return
        reached = False
        while not reached:
            waiting, pong = self._pings.popleft()
            reached = waiting == payload
            if not pong.done():
                pong.set_result(None)

    def _arrive(self, message: str | bytes) -> None:
        if self._first is not None:
            self._first.arrive(message.encode() if isinstance(message, str) else bytes(message))

    def _end(self, failure: RoadError) -> None:
        self._failure = failure
        if self._first is not None:
            self._first.fail(failure)
        for _, pong in self._pings:
            if not pong.done():
                pong.set_exception(failure)
        self._pings.clear()


def _refused(status: int, server: str) -> RoadError:
    error = http.refused(status, server)
    return RoadError(error.reason, str(error) + _PHP_HINT) if error.reason == "unauthorized" else error


def _ended(server: str, code: int | None, reason: str | None) -> RoadError:
    """Return what the end of a connection means for a message that was not confirmed."""
    token = re.match(r"[a-z_]{1,40}", reason or "")
    said = f", {token[0]}" if token else ""
    text = f"{server} ended the connection before the message was confirmed (code {code or 1006}{said})."
    return RoadError(_CLOSE_REASONS.get(code or 1006, "connection_lost"), text)
