"""Applications that publish until a server has confirmed."""

import asyncio
import json
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from otp.roads.closing import quietly
from tests.pi.chaos.plan import Text
from tests.publisher import rigs
from tests.publisher.servers import HOST, PASSWORD

CONFIRM_TIME = 3.0
"""Seconds after which a message that nobody has confirmed is published again."""

AT_ONCE = 3
"""Messages of one road on their way to the server at once, each over a connection of its own."""

_PAUSE = 0.1

LOST: tuple[type[Exception], ...] = (OSError, TimeoutError, RuntimeError, aio_pika.exceptions.AMQPError)
"""What a publisher's library raises when its server is gone; some say it with a plain RuntimeError."""


LIBRARIES = ("aiormq", "aio_pika")
"""They log a traceback for every server that goes away."""


@contextmanager
def hushed() -> Iterator[None]:
    """Keep the libraries from logging what is done to their servers on purpose."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def command(text: Text, deadline: int) -> bytes:
    """Return the command that sends a message."""
    data = {"receiver": text.receiver, "message": text.text, "id": f"m{text.number}", "expiration": deadline}
    return json.dumps({"command": "send-sms", "data": data}).encode()


class Publisher(ABC):
    """Publishes on one road.

    Attributes:
        confirmed: How many messages the server has confirmed.
        repeated: How often a message was published again, since no confirm came.
    """

    def __init__(self, port: int, topic: str) -> None:
        self.port = port
        self.topic = topic
        self.confirmed = 0
        self.repeated = 0
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self._unconfirmed = 0

    def publish(self, payload: bytes) -> None:
        """Have a message published, as often as it takes."""
        self._unconfirmed += 1
        self._waiting.put_nowait(payload)

    @property
    def done(self) -> bool:
        """Whether everything has been confirmed."""
        return self._unconfirmed == 0

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        connection: Any = None
        try:
            while True:
                payload = await self._waiting.get()
                while not await self._try(connection, payload):
                    await self._close(connection)
                    await asyncio.sleep(_PAUSE)
                    connection = await self._connected()
                self.confirmed += 1
                self._unconfirmed -= 1
        finally:
            await self._close(connection)

    async def _try(self, connection: Any, payload: bytes) -> bool:
        """Publish and return whether that was confirmed."""
        if connection is None:
            return False
        try:
            async with asyncio.timeout(CONFIRM_TIME):
                await self._confirm(connection, payload)
        except LOST:
            self.repeated += 1
            return False
        return True

    async def _connected(self) -> Any:
        """Return a connection, or ``None`` when there is no server."""
        try:
            async with asyncio.timeout(CONFIRM_TIME):
                return await self._connect()
        except LOST:
            return None

    async def _close(self, connection: Any) -> None:
        if connection is not None:
            await quietly(self._disconnect(connection))

    @abstractmethod
    async def _connect(self) -> Any:
        """Return a connection."""

    @abstractmethod
    async def _confirm(self, connection: Any, payload: bytes) -> None:
        """Publish and wait for the confirm."""

    @abstractmethod
    async def _disconnect(self, connection: Any) -> None:
        """Close a connection that may be gone."""


class _Connection(aio_pika.Connection):
    """The library's destructor starts a task in whatever thread collects the garbage."""

    def __del__(self) -> None:
        pass


class AmqpPublisher(Publisher):
    """Persistent messages to a durable queue, with publisher confirms."""

    async def _connect(self) -> tuple[Any, Any]:
        connection = await self._open()
        try:
            channel = await connection.channel()
            await channel.declare_queue(self.topic, durable=True)
        except BaseException:
            await quietly(connection.close())
            raise
        return connection, channel.default_exchange

    async def _confirm(self, connection: tuple[Any, Any], payload: bytes) -> None:
        message = aio_pika.Message(payload, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await connection[1].publish(message, self.topic, mandatory=True)

    async def _disconnect(self, connection: tuple[Any, Any]) -> None:
        await connection[0].close()

    async def _open(self) -> AbstractConnection:
        return await aio_pika.connect(
            host=HOST, port=self.port, login=rigs.USER, password=PASSWORD, connection_class=_Connection
        )


class MqttPublisher(Publisher):
    """Quality of service 1, each message waited for until its PUBACK."""

    async def _connect(self) -> tuple[paho.Client, threading.Event]:
        client, gone = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False), threading.Event()
        client.username_pw_set(rigs.USER, PASSWORD)
        client.connect_timeout = CONFIRM_TIME / 2
        client.on_disconnect = lambda *_: gone.set()
        await asyncio.to_thread(client.connect, HOST, self.port)
        client.loop_start()
        return client, gone

    async def _confirm(self, connection: tuple[paho.Client, threading.Event], payload: bytes) -> None:
        client, gone = connection
        sent = client.publish(self.topic, payload, qos=1)
        while sent.rc is MQTTErrorCode.MQTT_ERR_SUCCESS and not gone.is_set():
            if sent.is_published():
                return
            await asyncio.sleep(0.002)
        raise ConnectionError

    async def _disconnect(self, connection: tuple[paho.Client, threading.Event]) -> None:
        connection[0].disconnect()
        await asyncio.to_thread(connection[0].loop_stop)
