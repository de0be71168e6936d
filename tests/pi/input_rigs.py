"""One face for all ways in: a server, settings that reach it, and what an application would do.

Where there is another client than the one under test, the application's side uses that.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import aio_pika
import redis.asyncio
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from otp.pi import settings as pi_settings
from otp.pi.inputs import Input, open_input
from otp.pi.model import Origin
from tests.conftest import until
from tests.publisher import rigs
from tests.publisher.certificates import Certificates
from tests.publisher.servers import HOST, PASSWORD

Inbox = asyncio.Queue[bytes]
USER = rigs.USER


class Taker:
    """Stands for whatever stores commands.

    Attributes:
        stored: Payloads that were stored, in order.
        origins: Where they came from.
        errors: Raised one after the other by the next calls, instead of storing.
        poison: Payloads that are refused for good.
        refused: Those that were.
        open: Cleared to have calls wait.
        waiting: Calls that wait.
    """

    def __init__(self) -> None:
        self.stored: list[bytes] = []
        self.origins: list[Origin] = []
        self.errors: list[Exception] = []
        self.refusal: Exception | None = None
        self.poison: set[bytes] = set()
        self.refused: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0

    async def __call__(self, payload: bytes, origin: Origin) -> None:
        self.waiting += 1
        try:
            await self.open.wait()
        finally:
            self.waiting -= 1
        if self.errors:
            raise self.errors.pop(0)
        if payload in self.poison:
            self.refused.append(payload)
            assert self.refusal is not None
            raise self.refusal
        self.stored.append(payload)
        self.origins.append(origin)

    async def holds(self, *payloads: bytes, seconds: float = 20.0) -> None:
        """Wait until exactly these are stored, repetitions aside."""
        await until(lambda: tuple(dict.fromkeys(self.stored)) == payloads, seconds)


class InputRig(ABC):
    """A way in under test.

    Attributes:
        keeps: Whether the server brings again what was not acknowledged.
        server: What can be killed, stopped and started.
        topic: Fresh for every rig.
    """

    keeps: ClassVar[bool]
    settings_class: ClassVar[type[pi_settings.Broker]]
    sections: ClassVar[dict[str, Any]] = {}

    def __init__(self, server: Any, certificates: Certificates, data_dir: Path) -> None:
        self.server = server
        self.certificates = certificates
        self.data_dir = data_dir
        self.topic = f"sms-{uuid4().hex[:12]}"

    def settings(self, **more: Any) -> pi_settings.Broker:
        """Return settings that reach the server, and heal fast."""
        wanted = {
            "host": HOST,
            "port": self.server.port,
            "username": USER,
            "password": PASSWORD,
            "topic": self.topic,
            "reconnect_longest": 0.2,
        }
        return self.settings_class(**(wanted | self.sections | more))

    def open(self, taker: Taker, *, name: str = "road", **more: Any) -> Input:
        """Return the way in, not yet running."""
        return open_input(name, self.settings(**more), taker, data_dir=self.data_dir)

    def tls(self) -> dict[str, Any]:
        """Return settings for TLS."""
        return {"tls": True, "port": self.server.tls_port, "tls_ca": str(self.certificates.authority)}

    @abstractmethod
    async def send(self, *payloads: bytes) -> None:
        """Publish commands as an application does, one after the other."""

    @abstractmethod
    def answers(self, topic: str) -> AbstractAsyncContextManager[Inbox]:
        """Listen for answers as a publisher does."""


class WsInputRig(InputRig):
    """Our broker."""

    keeps = False
    settings_class = pi_settings.WebSocket
    sections: ClassVar[dict[str, Any]] = {"ping_interval": 0.3}

    async def send(self, *payloads: bytes) -> None:
        async with self._rig(self.topic)._connect(self.topic) as socket:
            for payload in payloads:
                await socket.send(payload.decode())
            await (await socket.ping())

    def answers(self, topic: str) -> AbstractAsyncContextManager[Inbox]:
        return self._rig(topic).receiving()

    def _rig(self, topic: str) -> rigs.WsRig:
        rig = rigs.WsRig(self.server, self.certificates)
        rig.topic = topic
        return rig


class AmqpInputRig(InputRig):
    """RabbitMQ."""

    keeps = True
    settings_class = pi_settings.Amqp

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        """Open a channel as an application does."""
        async with await aio_pika.connect(
            host=HOST, port=self.server.port, login=USER, password=PASSWORD
        ) as connection:
            yield await connection.channel()

    async def send(self, *payloads: bytes) -> None:
        async with self.channel() as channel:
            for payload in payloads:
                await channel.default_exchange.publish(aio_pika.Message(payload), self.topic)

    @asynccontextmanager
    async def answers(self, topic: str) -> AsyncIterator[Inbox]:
        inbox: Inbox = asyncio.Queue()
        async with self.channel() as channel:
            queue = await channel.declare_queue(topic, durable=True)

            async def arrive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                inbox.put_nowait(message.body)

            tag = await queue.consume(arrive, no_ack=True)
            yield inbox
            await queue.cancel(tag)
            await queue.delete(if_unused=False, if_empty=False)


class RedisInputRig(InputRig):
    """A channel of Redis."""

    keeps = False
    settings_class = pi_settings.Redis

    def client(self) -> Any:
        """Return an application's client."""
        return redis.asyncio.Redis(host=HOST, port=self.server.port, username=USER, password=PASSWORD)

    async def send(self, *payloads: bytes) -> None:
        async with self.client() as client:
            for payload in payloads:
                await self.push(client, payload)

    async def push(self, client: Any, payload: bytes) -> None:
        """Publish one command."""
        await client.publish(self.topic, payload)

    def answers(self, topic: str) -> AbstractAsyncContextManager[Inbox]:
        rig = rigs.RedisRig(self.server, self.certificates)
        rig.topic = topic
        return rig.receiving()


class StreamInputRig(RedisInputRig):
    """A stream of Redis."""

    keeps = True
    sections: ClassVar[dict[str, Any]] = {"mode": "stream"}

    async def push(self, client: Any, payload: bytes) -> None:
        await client.xadd(self.topic, {"data": payload})


class ListInputRig(RedisInputRig):
    """A list of Redis."""

    keeps = True
    sections: ClassVar[dict[str, Any]] = {"mode": "list"}

    async def push(self, client: Any, payload: bytes) -> None:
        await client.lpush(self.topic, payload)


class MqttInputRig(InputRig):
    """Mosquitto."""

    keeps = True
    settings_class = pi_settings.Mqtt
    qos = 1

    async def send(self, *payloads: bytes) -> None:
        await self.publish(*payloads)

    async def publish(self, *payloads: bytes, retain: bool = False, qos: int | None = None) -> None:
        """Publish commands, and wait for their acknowledgements."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(USER, PASSWORD)
        client.connect(HOST, self.server.port)
        client.loop_start()
        for payload in payloads:
            sent = client.publish(self.topic, payload, qos=self.qos if qos is None else qos, retain=retain)
            await asyncio.to_thread(sent.wait_for_publish, 5)
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)

    def answers(self, topic: str) -> AbstractAsyncContextManager[Inbox]:
        rig = rigs.MqttRig(self.server, self.certificates)
        rig.topic = topic
        return rig.receiving()


class MqttTwoInputRig(MqttInputRig):
    """Mosquitto at quality of service 2."""

    qos = 2
    sections: ClassVar[dict[str, Any]] = {"qos": 2}


RIGS: dict[str, tuple[type[InputRig], str]] = {
    "ws": (WsInputRig, "broker"),
    "amqp": (AmqpInputRig, "rabbit"),
    "pubsub": (RedisInputRig, "redis_server"),
    "stream": (StreamInputRig, "redis_server"),
    "list": (ListInputRig, "redis_server"),
    "mqtt": (MqttInputRig, "mosquitto"),
    "mqtt-2": (MqttTwoInputRig, "mosquitto"),
}


@asynccontextmanager
async def running(way: Input, *, wait: bool = True) -> AsyncIterator[Input]:
    """Run a way in; wait until it is connected, and in the end until it has stopped."""
    task = asyncio.create_task(way.run())
    try:
        if wait:
            await until(lambda: way.status.connected or task.done(), 30)
            assert not task.done(), task.exception()
        yield way
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=20)
        assert task.done(), f"it did not end when cancelled: {task.get_stack()}"
        assert task.cancelled(), f"it ended otherwise: {task.exception()!r}"


class Proxy:
    """A TCP proxy that can go deaf: connections stay open and carry nothing."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.deaf = False
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Serve."""
        server = await asyncio.start_server(self._meet, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self.target)
        state = {"deaf": False}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pump(source, sink, state))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: dict[str, bool]) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    state["deaf"] |= self.deaf
                    if not state["deaf"]:
                        writer.write(data)
                        await writer.drain()
        finally:
            writer.close()
