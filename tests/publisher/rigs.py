"""One face for five roads in tests: a server, the settings that reach it, and what the receiving end would do.

The receiving ends are written with other clients than the roads use, wherever there are others.
"""

import asyncio
import base64
import json
import logging
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar
from uuid import uuid4

import aio_pika
import redis.asyncio
from aiohttp import web
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from websockets.asyncio.client import ClientConnection, connect

from examples.ports import free_ports
from tests.publisher.certificates import Certificates
from tests.publisher.servers import HOST, PASSWORD, Server

Inbox = asyncio.Queue[bytes]
Reply = Callable[[dict[str, Any]], dict[str, Any]]

USER = "app"

_QUIET = logging.getLogger("tests.receiving_end")
"""For the receiving end, whose library logs what it receives at DEBUG."""
_QUIET.disabled = True


class Rig(ABC):
    """A road under test.

    Attributes:
        method: Its name in the configuration.
        server: What can be killed, stopped and started.
        topic: Fresh for every rig, so that tests do not meet.
    """

    method: ClassVar[str]

    def __init__(self, server: Any, certificates: Certificates) -> None:
        self.server = server
        self.certificates = certificates
        self.topic = f"sms-{uuid4().hex[:12]}"

    def keywords(self, **more: Any) -> dict[str, Any]:
        """Return settings that reach the server."""
        return {
            "method": self.method,
            "host": HOST,
            "port": self.server.port,
            "username": USER,
            "password": PASSWORD,
            "topic": self.topic,
            "timeout": "5s",
            "callback_timeout": "5s",
        } | more

    def tls_keywords(self, **more: Any) -> dict[str, Any]:
        """Return settings that reach it over TLS."""
        wanted = {"tls": True, "port": self.server.tls_port, "tls_ca": str(self.certificates.authority)}
        return self.keywords(**wanted) | more

    @abstractmethod
    def receiving(self) -> AbstractAsyncContextManager[Inbox]:
        """Subscribe as the OTP-Pi does."""

    @abstractmethod
    async def publish(self, topic: str, payload: bytes) -> None:
        """Send an answer as the OTP-Pi does."""

    @asynccontextmanager
    async def answering(self, reply: Reply) -> AsyncIterator[None]:
        """Answer every command with a callback topic."""
        async with self.receiving() as inbox:

            async def work() -> None:
                while True:
                    command = json.loads(await inbox.get())
                    if "callback_topic" in command:
                        await self.publish(command["callback_topic"], json.dumps(reply(command)).encode())

            working = asyncio.create_task(work())
            try:
                yield
            finally:
                working.cancel()
                await asyncio.wait([working])

    async def kill(self) -> None:
        """End the server at once."""
        await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.server.start)

    async def pause(self) -> None:
        """Have it keep its connections and say nothing."""
        self.server.pause()

    async def resume(self) -> None:
        """Let it go on."""
        self.server.resume()


class WsRig(Rig):
    """Our broker."""

    method = "WS"

    def keywords(self, **more: Any) -> dict[str, Any]:
        return super().keywords(path="/ws") | more

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Inbox]:
        inbox: Inbox = asyncio.Queue()

        async def work() -> None:
            async for message in socket:
                inbox.put_nowait(message.encode() if isinstance(message, str) else message)

        async with self._connect(self.topic) as socket:
            working = asyncio.create_task(work())
            yield inbox
        await asyncio.wait([working])

    async def publish(self, topic: str, payload: bytes) -> None:
        async with self._connect(topic) as socket:
            await socket.send(payload.decode())

    def _connect(self, topic: str) -> AbstractAsyncContextManager[ClientConnection]:
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return connect(
            f"ws://{HOST}:{self.server.port}/ws?topic={topic}",
            additional_headers={"Authorization": f"Basic {credentials}"},
            proxy=None,
            logger=_QUIET,
        )


class RestRig(Rig):
    """A stand-in for the REST interface of an OTP-Pi."""

    method = "REST"

    def __init__(self, server: "RestStandIn", certificates: Certificates) -> None:
        super().__init__(server, certificates)

    def keywords(self, **more: Any) -> dict[str, Any]:
        wanted = super().keywords(url=f"http://{HOST}:{self.server.port}/api/otp") | more
        return {name: value for name, value in wanted.items() if name not in ("host", "port", "topic", "tls")}

    def tls_keywords(self, **more: Any) -> dict[str, Any]:
        return self.keywords(
            url=f"https://{HOST}:{self.server.tls_port}/api/otp", tls_ca=str(self.certificates.authority)
        ) | {name: value for name, value in more.items() if name not in ("host", "port", "topic", "tls")}

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Inbox]:
        self.server.inbox = asyncio.Queue()
        yield self.server.inbox

    @asynccontextmanager
    async def answering(self, reply: Reply) -> AsyncIterator[None]:
        self.server.reply = reply
        yield

    async def publish(self, topic: str, payload: bytes) -> None:
        raise AssertionError("REST has no topics")

    async def kill(self) -> None:
        await self.server.stop()

    async def start(self) -> None:
        await self.server.start()

    async def pause(self) -> None:
        self.server.going.clear()

    async def resume(self) -> None:
        self.server.going.set()


def success(command: dict[str, Any]) -> dict[str, Any]:
    """Answer as the OTP-Pi does when all went well."""
    return {"command": command["command"], "response_code": "0000", "data": {}}


class RestStandIn:
    """An HTTP server that answers what a test wants.

    Attributes:
        inbox: Takes every body received.
        headers: Of the last request.
        reply: Makes the answer from the command.
        going: Cleared to have requests wait.
        status: Of the answers.
        raw: Sent instead of an answer, where set.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.port, self.tls_port = free_ports(2)
        self.inbox: Inbox = asyncio.Queue()
        self.headers: dict[str, str] = {}
        self.reply: Reply = success
        self.going = asyncio.Event()
        self.going.set()
        self.status = 200
        self.raw: bytes | None = None
        self._certificates = certificates
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificates.certificate, self._certificates.key)
        await web.TCPSite(self._runner, HOST, self.port).start()
        await web.TCPSite(self._runner, HOST, self.tls_port, ssl_context=context).start()

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.headers = dict(request.headers)
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {expected}":
            return web.Response(status=401)
        body = await request.read()
        self.inbox.put_nowait(body)
        await self.going.wait()
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status)
        return web.json_response(self.reply(json.loads(body)), status=self.status)


class AmqpRig(Rig):
    """RabbitMQ."""

    method = "AMQP"

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Inbox]:
        inbox: Inbox = asyncio.Queue()
        async with await self._connect() as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(self.topic, durable=False)

            async def arrive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                inbox.put_nowait(message.body)

            await queue.consume(arrive, no_ack=True)
            yield inbox

    async def publish(self, topic: str, payload: bytes) -> None:
        async with await self._connect() as connection:
            channel = await connection.channel()
            await channel.declare_queue(topic, durable=True)
            await channel.default_exchange.publish(aio_pika.Message(payload), topic)

    async def _connect(self) -> aio_pika.abc.AbstractConnection:
        return await aio_pika.connect(host=HOST, port=self.server.port, login=USER, password=PASSWORD)


class RedisRig(Rig):
    """Redis."""

    method = "REDIS"

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Inbox]:
        inbox: Inbox = asyncio.Queue()
        subscribed = asyncio.Event()
        client = self._client()

        async def work() -> None:
            async with client.pubsub() as subscriber:
                await subscriber.subscribe(self.topic)
                async for message in subscriber.listen():
                    if message["type"] == "message":
                        inbox.put_nowait(message["data"])
                    else:
                        subscribed.set()

        working = asyncio.create_task(work())
        await asyncio.wait_for(subscribed.wait(), 5)
        try:
            yield inbox
        finally:
            working.cancel()
            await asyncio.wait([working])
            await client.aclose()

    async def publish(self, topic: str, payload: bytes) -> None:
        client = self._client()
        await client.publish(topic, payload)
        await client.aclose()

    def _client(self) -> Any:
        return redis.asyncio.Redis(host=HOST, port=self.server.port, username=USER, password=PASSWORD)


class MqttRig(Rig):
    """Mosquitto; the receiving end speaks MQTT 3.1.1 as the original does."""

    method = "MQTT"

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[Inbox]:
        loop, inbox, subscribed = asyncio.get_running_loop(), asyncio.Queue[bytes](), asyncio.Event()
        client = self._client()

        def on_connect(*_: Any) -> None:
            client.subscribe(self.topic, qos=1)

        def on_subscribe(*_: Any) -> None:
            loop.call_soon_threadsafe(subscribed.set)

        def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
            loop.call_soon_threadsafe(inbox.put_nowait, bytes(message.payload))

        client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
        client.connect(HOST, self.server.port)
        client.loop_start()
        try:
            await asyncio.wait_for(subscribed.wait(), 5)
            yield inbox
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    async def publish(self, topic: str, payload: bytes) -> None:
        client = self._client()
        client.connect(HOST, self.server.port)
        client.loop_start()
        await asyncio.to_thread(client.publish(topic, payload, qos=1).wait_for_publish, 5)
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)

    def _client(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(USER, PASSWORD)
        return client


RIGS: dict[str, type[Rig]] = {"ws": WsRig, "rest": RestRig, "amqp": AmqpRig, "redis": RedisRig, "mqtt": MqttRig}


def server_of(rig: Rig) -> Server:
    """Return the server process behind a rig."""
    server = rig.server
    assert isinstance(server, Server)
    return server
