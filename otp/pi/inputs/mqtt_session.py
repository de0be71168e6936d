"""One connection to an MQTT server: the library's thread on one side, the event loop on the other.

The library's callbacks only hand over to the event loop; all state is kept there.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from otp.pi.inputs.base import MAX_PAYLOAD
from otp.pi.inputs.healing import CONNECT_TIME
from otp.pi.settings import Mqtt
from otp.roads.errors import RoadError

KEEPALIVE = 15
"""Seconds: a link that has died is noticed within twice that, even while nothing comes."""

_IN_FLIGHT = 50
"""Messages on the way to us at once that are not acknowledged (MQTT 5, 3.1.2.11.3)."""

_MAX_PACKET = 16 * MAX_PAYLOAD
"""Bytes of a packet above which the server is asked to keep it; below it a message that is too long is refused."""

_MAX_WAITING = 1000
"""Messages of quality of service 0 that may wait to be stored; what comes then is lost, as that quality allows."""

_LONGEST_EXPIRY = 2**32 - 2
"""Seconds that a session may be kept (MQTT 5, 3.1.2.11.2); one more would be for ever."""

_FAILURE = 128
_VERSION_REFUSED = 132
_BAD_CREDENTIALS = (134, 135)
_TAKEN_OVER = 142
"""Reason codes (MQTT 5, 2.4); the library translates those of 3.1.1."""


class VersionRefusedError(Exception):
    """The server does not speak the version we tried, or hung up without a word."""


class _Client(paho.Client):
    """The library's client, with two differences.

    It acknowledges a message of quality of service 2 only when it is told to. By itself it sends PUBREC at once and
    keeps the message in memory until PUBREL. But after PUBREC the server sends a message no more (MQTT 5, 4.3.3): it
    would be lost with this process. So PUBREC waits for ``stored``, and every PUBREL is answered, also one that belongs
    to an earlier process.

    And a TLS handshake that fails closes its socket.
    """

    def stored(self, mid: int, qos: int) -> None:
        """Acknowledge a message."""
        if qos == 1:
            self._send_puback(mid)
        elif qos == 2:  # noqa: PLR2004 - that is its name
            super()._send_pubrec(mid)

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context
        assert context is not None  # noqa: S101 - the library calls this only after ``tls_set_context``
        return context.wrap_socket(tcp_sock, server_hostname=self._host)

    def _send_pubrec(self, mid: int) -> MQTTErrorCode:
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> MQTTErrorCode:
        code = super()._handle_publish()
        with self._in_message_mutex:
            held = list(self._in_messages.values())
            self._in_messages.clear()
        for message in held:
            self._handle_on_message(message)
        return code

    def _handle_pubrel(self) -> MQTTErrorCode:
        return self._send_pubcomp(int.from_bytes(self._in_packet["packet"][:2], "big"))


class Session:
    """An open connection, and what waits for its callbacks.

    Args:
        settings: Of the server.
        client_id: The session's name.
        server: ``host:port``.
        context: For TLS; ``None`` for none.
        version: Of MQTT.
    """

    def __init__(
        self,
        settings: Mqtt,
        client_id: str,
        server: str,
        context: ssl.SSLContext | None,
        version: MQTTProtocolVersion,
    ) -> None:
        self._server = server
        self._version = version
        self._expiry = min(int(settings.session_expiry), _LONGEST_EXPIRY)
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[int] = self._loop.create_future()
        self._failure = RoadError("connection_lost", f"The connection to {server} broke.")
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._arrived: asyncio.Queue[paho.MQTTMessage | None] = asyncio.Queue()
        self._client = self._make_client(settings, client_id, context)

    async def connect(self, host: str, port: int) -> None:
        """Open the connection and log in.

        Raises:
            VersionRefusedError: The server does not speak this version, or hung up without a word.
            RoadError: It did not let us in.
            OSError: It cannot be reached.
        """
        await self._open(host, port)
        self._client.loop_start()
        code = await self._connected
        if code == _VERSION_REFUSED:
            raise VersionRefusedError
        if code in _BAD_CREDENTIALS:
            raise RoadError("unauthorized", f"{self._server} did not accept username and password.")
        if code >= _FAILURE:
            raise RoadError("rejected", f"{self._server} refused the connection (reason code {code}).")

    async def subscribe(self, topic: str, qos: int) -> None:
        """Subscribe and wait for the server's word.

        Raises:
            RoadError: The account may not, or the connection broke.
        """
        status, mid = self._client.subscribe(topic, qos=qos)
        if await self._acknowledged(status, mid) >= _FAILURE:
            raise RoadError("forbidden", f"{self._server} does not allow this account to subscribe to the topic.")

    async def next(self) -> paho.MQTTMessage:
        """Return the next message.

        Raises:
            RoadError: The connection ended.
        """
        message = await self._arrived.get()
        if message is None:
            raise self._failure
        return message

    def acknowledge(self, message: paho.MQTTMessage) -> None:
        """Tell the server that a message is safe here. If the connection is gone, it will come again."""
        self._client.stored(message.mid, message.qos)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at quality of service 1 and wait for the acknowledgement.

        Raises:
            RoadError: It was not taken, or the connection broke.
        """
        sent = self._client.publish(topic, payload, qos=1)
        code = await self._acknowledged(sent.rc, sent.mid)
        if code >= _FAILURE:
            raise RoadError("rejected", f"{self._server} did not take the message (reason code {code}).")

    async def close(self) -> None:
        """Say goodbye, and wait for the library's thread."""
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _make_client(self, settings: Mqtt, client_id: str, context: ssl.SSLContext | None) -> _Client:
        old = self._version is MQTTProtocolVersion.MQTTv311
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False if old else None,
            protocol=self._version,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIME
        password = settings.password.get_secret_value()
        if settings.username or password:
            client.username_pw_set(settings.username, password or None)
        if context is not None:
            client.tls_set_context(context)
        client.on_connect = lambda _client, _data, _flags, code, _more: self._tell(self._on_connect, code)
        client.on_disconnect = lambda _client, _data, _flags, code, _more: self._tell(self._on_end, code)
        client.on_publish = lambda _client, _data, mid, code, _more: self._tell(self._on_ack, mid, code)
        client.on_subscribe = lambda _client, _data, mid, codes, _more: self._tell(self._on_ack, mid, codes[0])
        client.on_message = lambda _client, _data, message: self._tell(self._on_message, message)
        return client

    async def _open(self, host: str, port: int) -> None:
        """Open the socket in a thread; when we are cancelled meanwhile, it is closed as soon as it is open."""
        opening = asyncio.ensure_future(
            asyncio.to_thread(self._client.connect, host, port, keepalive=KEEPALIVE, **self._session_options())
        )
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(lambda done: done.exception() or self._client.disconnect())
            raise

    def _session_options(self) -> dict[str, Any]:
        if self._version is MQTTProtocolVersion.MQTTv311:
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._expiry
        properties.ReceiveMaximum = _IN_FLIGHT
        properties.MaximumPacketSize = _MAX_PACKET
        return {"clean_start": False, "properties": properties}

    async def _acknowledged(self, status: MQTTErrorCode, mid: int | None) -> int:
        """Wait for a packet's acknowledgement. No callback can come before we wait: it comes through the loop."""
        if status is not MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self._failure
        waiting: asyncio.Future[int] = self._loop.create_future()
        self._waiting[mid] = waiting
        try:
            return await waiting
        finally:
            self._waiting.pop(mid, None)

    def _tell(self, function: Callable[..., None], *values: Any) -> None:
        """Have the event loop call a function; called from the library's thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(function, *values)

    def _on_connect(self, code: ReasonCode) -> None:
        if not self._connected.done():
            self._connected.set_result(code.value)

    def _on_ack(self, mid: int, code: ReasonCode) -> None:
        waiting = self._waiting.get(mid)
        if waiting is not None and not waiting.done():
            waiting.set_result(code.value)

    def _on_message(self, message: paho.MQTTMessage) -> None:
        if message.qos or self._arrived.qsize() < _MAX_WAITING:
            self._arrived.put_nowait(message)

    def _on_end(self, code: ReasonCode) -> None:
        if code.value == _TAKEN_OVER:
            text = f"{self._server} gave the session to another client with the same client_id."
            self._failure = RoadError("connection_lost", text)
        if not self._connected.done():
            self._connected.set_result(_VERSION_REFUSED)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._failure)
        self._arrived.put_nowait(None)
