"""A topic of a WebSocket broker.

RFC 6455 has no acknowledgement, but frames of one connection stay in order and so do our answers: a ping of the
server is answered only after every message that came before it is stored. A broker that holds messages until the
pong of a later ping, as ours does, loses none.
"""

import asyncio
from pathlib import Path

import aiohttp
from yarl import URL

from otp.pi.inputs.base import MAX_PAYLOAD, Take
from otp.pi.inputs.healing import CONNECT_TIME, HealingInput
from otp.pi.settings import WebSocket
from otp.roads import failures, http, tls
from otp.roads.closing import quietly
from otp.roads.errors import RoadError

DEFAULT_PORT = 9000

_MAX_FRAME = 16 * MAX_PAYLOAD
"""Bytes of a message above which the library hangs up; below it a message that is too long is only refused."""

_PING = b"otp-pi"
"""Payload of our pings; never empty, since some PHP servers fail on that."""

_UNANSWERED = 2
"""Pings without any sign of life after which a link is given up."""

_CLOSED = {
    1000: "closed the connection; brokers that check accounts late do so for a wrong user name or password",
    1001: "is being stopped",
    1008: "refused us by its policy",
    1009: "refused the size of a message",
    1012: "is being restarted",
    1013: "asks to come back later",
    3000: "did not accept username and password",
    3003: "does not allow this account to use the topic",
}
"""What Close codes of a server say (RFC 6455, 7.4, and the IANA registry)."""


def open_input(name: str, settings: WebSocket, take: Take, _data_dir: Path) -> "WsInput":
    """Return the way in; see ``inputs.open_input``."""
    return WsInput(name, settings, take)


class WsInput(HealingInput):
    """Commands from a topic of a WebSocket broker."""

    def __init__(self, name: str, settings: WebSocket, take: Take) -> None:
        super().__init__(name, settings, http.netloc(settings.host, settings.port or DEFAULT_PORT), take)
        self._settings = settings
        self._door = http.Door(
            tls.context(settings) if settings.tls else None,
            username=settings.username,
            password=settings.password.get_secret_value(),
            connect_timeout=CONNECT_TIME,
        )

    async def run(self) -> None:
        """Connect, take commands, heal; see ``base.Input``."""
        try:
            await super().run()
        finally:
            await quietly(self._door.close())

    async def _serve(self) -> None:
        socket = await self._connect(self.topic)
        try:
            await self._read(socket)
        except (aiohttp.ClientError, OSError) as error:
            raise failures.lost(error, self._server) from error
        finally:
            await quietly(socket.close())

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Send one frame over a connection of its own and wait for the pong of a ping sent after it."""
        socket = await self._connect(topic)
        try:
            await socket.send_str(payload.decode())
            await socket.ping(_PING)
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
                await self._answer(socket, message)
        except (aiohttp.ClientError, OSError) as error:
            raise failures.lost(error, self._server) from error
        finally:
            await quietly(socket.close())

    async def _connect(self, topic: str) -> aiohttp.ClientWebSocketResponse:
        try:
            async with asyncio.timeout(CONNECT_TIME):
                return await self._door.session().ws_connect(self._url(topic), autoping=False, max_msg_size=_MAX_FRAME)
        except aiohttp.WSServerHandshakeError as error:
            raise http.refused(error.status, self._server) from None
        except (aiohttp.ClientError, OSError) as error:
            raise failures.not_connected(error, self._server) from error

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take one frame after the other, and send pings in between, until the connection ends.

        The first frame of all says that we are in: some servers check accounts only after the upgrade.
        """
        loop, interval = asyncio.get_running_loop(), self._settings.ping_interval
        due, unanswered, standing = loop.time(), 0, False
        while True:
            if loop.time() >= due:
                await self._ping(socket, unanswered)
                due, unanswered = loop.time() + interval, unanswered + 1
            try:
                async with asyncio.timeout_at(due):
                    message = await socket.receive()
            except TimeoutError:
                continue
            self._ended(socket, message)
            if not standing:
                standing = True
                self._up()
            unanswered = 0
            await self._take_frame(socket, message)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse, unanswered: int) -> None:
        if unanswered >= _UNANSWERED:
            seconds = _UNANSWERED * self._settings.ping_interval
            raise RoadError("connection_lost", f"{self._server} has not answered a ping for {seconds:g} s.")
        await socket.ping(_PING)

    async def _take_frame(self, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> None:
        """Store a message; answer a ping, now that all before it is stored."""
        if message.type is aiohttp.WSMsgType.TEXT:
            await self._hold(message.data.encode())
        elif message.type is aiohttp.WSMsgType.BINARY:
            await self._hold(bytes(message.data))
        else:
            await self._answer(socket, message)

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> None:
        """Answer a ping; pongs and messages of others are nothing to answer."""
        self._ended(socket, message)
        if message.type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)

    def _ended(self, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> None:
        """Raise when a frame is the end of the connection."""
        kinds = aiohttp.WSMsgType
        if message.type in (kinds.TEXT, kinds.BINARY, kinds.PING, kinds.PONG):
            return
        code = socket.close_code
        said = _CLOSED.get(code or 0, "ended the connection")
        raise RoadError("connection_lost", f"{self._server} {said} (code {code or 1006}).")

    def _url(self, topic: str) -> URL:
        scheme = "wss" if self._settings.tls else "ws"
        return URL(f"{scheme}://{self._server}{http.with_topic(self._settings.path, topic)}", encoded=True)
