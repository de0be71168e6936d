"""MQTT: messages to a topic at quality of service 1, acknowledged by the broker.

MQTT 5 says more than 3.1.1: that nobody is subscribed, that the account may not publish (3.1.1 brokers acknowledge and
drop), and it carries the time after which a waiting message is thrown away. So 5 is tried first.

The library has a thread for each connection. Its callbacks only hand over to the event loop; all state is kept there.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from otp.publisher.errors import ConfigError, RoadError
from otp.publisher.settings import Mqtt, MqttProtocol
from otp.publisher.transports.base import Answer, Receipt
from otp.publisher.transports.first import First
from otp.publisher.transports.kept import Kept
from otp.roads import failures, tls
from otp.roads.closing import quietly

PORT, TLS_PORT = 1883, 8883

_KEEPALIVE = 15
"""Seconds: a dead connection is noticed within one and a half times that, even while nothing is sent."""

_PREFIX = 14
"""Characters of a client id that are ours to choose: with a dash and 8 random ones it has the 23 that every
broker has to accept (MQTT 3.1.1, 3.1.3.1)."""

_LONGEST_LIFE = 2**32 - 1
"""Seconds that a message expiry interval can say (MQTT 5, 3.3.2.3.3); 136 years."""

_NO_SUBSCRIBERS = 16
_FAILURE = 128
_VERSION_REFUSED = 132
_BAD_CREDENTIALS = (134, 135)
_NOT_AUTHORIZED = 135
"""Reason codes (MQTT 5, 2.4); the library translates those of 3.1.1."""


class _VersionRefusedError(Exception):
    """The broker does not speak the version we tried."""


def open_road(settings: Mqtt) -> "MqttRoad":
    """Return the road; see ``transports.open_road``."""
    return MqttRoad(settings)


class MqttRoad:
    """Messages to a topic of an MQTT broker."""

    answers_at_once = False

    def __init__(self, settings: Mqtt) -> None:
        if any(sign in settings.topic for sign in "+#\0"):
            raise ConfigError("topic of [MQTT] must not hold + or #: nothing can be published there.")
        self._settings = settings
        self._port = settings.port or (TLS_PORT if settings.tls else PORT)
        self._server = f"{settings.host}:{self._port}"
        self._tls = tls.context(settings) if settings.tls else None
        self._versions = _versions(settings.protocol)
        self._kept = Kept(self._connect, _Session.alive, _Session.prove, _Session.close)

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        """Publish one message and wait for its acknowledgement."""
        async with self._kept.use() as session:
            code = await session.publish(self._settings.topic, payload, self._settings.qos, lifetime)
        if code == _NO_SUBSCRIBERS:
            return self._unheard()
        if code == _NOT_AUTHORIZED:
            text = f"{self._server} does not allow this account to publish to {self._settings.topic}."
            raise RoadError("forbidden", text)
        if code >= _FAILURE:
            raise RoadError("rejected", f"{self._server} did not take the message (reason code {code}).")
        return Receipt(note="The broker has the message.")

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Answer]:
        """Subscribe on the same connection and wait for the broker to confirm it."""
        async with self._kept.use() as session:
            first = await session.subscribe(topic)
            try:
                yield first.wait
            finally:
                session.unsubscribe(topic)

    async def check(self) -> str:
        """Connect and log in."""
        async with self._kept.use() as session:
            version = "5" if session.version is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        return f"{self._server} answered, MQTT {version}"

    async def close(self) -> None:
        """Close the connection."""
        await self._kept.close()

    def _unheard(self) -> Receipt:
        text = f"The broker has the message, but nobody is subscribed to {self._settings.topic}: it is gone."
        if self._settings.require_receiver:
            raise RoadError("nobody_listens", text)
        return Receipt(note=text, listeners=0)

    async def _connect(self) -> "_Session":
        """Connect with the newest version the broker speaks, and remember it."""
        for version in self._versions:
            session = _Session(self._settings, self._server, self._tls, version)
            try:
                async with asyncio.timeout(self._settings.connect_timeout):
                    await session.connect(self._settings.host, self._port)
            except _VersionRefusedError:
                if version is self._versions[-1]:
                    text = f"{self._server} ended the connection instead of accepting it."
                    raise RoadError("rejected", text) from None
            except (OSError, ValueError) as error:
                await quietly(session.close())
                raise failures.not_connected(error, self._server) from error
            except BaseException:
                await quietly(session.close())
                raise
            else:
                self._versions = [version]
                return session
        raise AssertionError("the last version either works or raises")


class _Session:
    """One connection of the library, and what waits for its callbacks.

    Attributes:
        version: The MQTT version spoken.
        _connected: Becomes the reason code of CONNACK.
        _ended: Set when the connection is over.
        _waiting: By packet id, what waits for an acknowledgement.
        _topics: By topic, what waits for its first message.
    """

    def __init__(self, settings: Mqtt, server: str, context: Any, version: MQTTProtocolVersion) -> None:
        self.version = version
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[int] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._topics: dict[str, First] = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{settings.client_id[:_PREFIX]}-{secrets.token_hex(4)}",
            protocol=version,
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = settings.connect_timeout
        if settings.username or settings.password:
            self._client.username_pw_set(settings.username, settings.password or None)
        if context is not None:
            self._client.tls_set_context(context)
        self._client.on_connect = lambda _client, _data, _flags, code, _more: self._tell(self._on_connect, code)
        self._client.on_disconnect = lambda *_: self._tell(self._on_end)
        self._client.on_publish = lambda _client, _data, mid, code, _more: self._tell(self._on_ack, mid, code)
        self._client.on_subscribe = lambda _client, _data, mid, codes, _more: self._tell(self._on_ack, mid, codes[0])
        self._client.on_message = lambda _client, _data, message: self._tell(
            self._on_message, message.topic, bytes(message.payload)
        )

    async def connect(self, host: str, port: int) -> None:
        """Open the connection and log in.

        Raises:
            _VersionRefusedError: The broker does not speak this version, or hung up without a word.
            RoadError: It did not let us in.
            OSError: It cannot be reached.
        """
        await asyncio.to_thread(self._client.connect, host, port, keepalive=_KEEPALIVE)
        self._client.loop_start()
        code = await self._connected
        if code == _VERSION_REFUSED:
            raise _VersionRefusedError
        if code in _BAD_CREDENTIALS:
            raise RoadError("unauthorized", f"{self._server} did not accept username and password.")
        if code >= _FAILURE:
            raise RoadError("rejected", f"{self._server} refused the connection (reason code {code}).")

    def alive(self) -> bool:
        """Tell whether the connection is open as far as is known."""
        return not self._ended.is_set() and self._client.is_connected()

    async def prove(self) -> None:
        """Trust the keep-alive pings of the library after a quiet time, and nothing after a failure."""
        if self._waiting:
            raise RoadError("connection_lost", f"{self._server} owes an acknowledgement.")

    async def publish(self, topic: str, payload: bytes, qos: int, lifetime: int | None) -> int:
        """Publish and return the reason code of the acknowledgement."""
        properties = None
        if self.version is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            if lifetime is not None:
                properties.MessageExpiryInterval = min(lifetime, _LONGEST_LIFE)
        sent = self._client.publish(topic, payload, qos=qos, properties=properties)
        return await self._acknowledged(sent.rc, sent.mid)

    async def subscribe(self, topic: str) -> First:
        """Subscribe and return what takes the first message."""
        first = self._topics[topic] = First()
        status, mid = self._client.subscribe(topic, qos=1)
        if await self._acknowledged(status, mid) >= _FAILURE:
            raise RoadError("forbidden", f"{self._server} does not allow this account to subscribe.")
        return first

    def unsubscribe(self, topic: str) -> None:
        """Stop listening; nobody waits for the broker's word."""
        self._topics.pop(topic, None)
        self._client.unsubscribe(topic)

    async def close(self) -> None:
        """Say goodbye; the thread ends by itself."""
        connected = self._client.is_connected()
        self._client.disconnect()
        if connected:
            await self._ended.wait()

    async def _acknowledged(self, status: MQTTErrorCode, mid: int | None) -> int:
        """Wait for a packet's acknowledgement. No callback can come before we wait: it comes through the loop."""
        if status is not MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise self._lost()
        waiting: asyncio.Future[int] = self._loop.create_future()
        self._waiting[mid] = waiting
        return await waiting

    def _tell(self, function: Callable[..., None], *values: Any) -> None:
        """Have the event loop call a function; called from the library's thread."""
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(function, *values)

    def _on_connect(self, code: ReasonCode) -> None:
        if not self._connected.done():
            self._connected.set_result(code.value)

    def _on_ack(self, mid: int, code: ReasonCode) -> None:
        waiting = self._waiting.pop(mid, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(code.value)

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic in self._topics:
            self._topics[topic].arrive(payload)

    def _on_end(self) -> None:
        self._ended.set()
        if not self._connected.done():
            self._connected.set_result(_VERSION_REFUSED)
        for first in self._topics.values():
            first.fail(self._lost())
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._lost())

    def _lost(self) -> RoadError:
        text = f"The connection to {self._server} broke before the message was confirmed."
        return RoadError("connection_lost", text)


def _versions(protocol: MqttProtocol) -> list[MQTTProtocolVersion]:
    if protocol is MqttProtocol.V311:
        return [MQTTProtocolVersion.MQTTv311]
    if protocol is MqttProtocol.V5:
        return [MQTTProtocolVersion.MQTTv5]
    return [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]
