"""A queue of RabbitMQ, or of another server that speaks AMQP 0-9-1.

A message is acknowledged once it is stored, and rejected without requeueing when it is no command: a dead letter
exchange of the queue's policy gets it then. When a command cannot be stored, the connection is closed: the server puts
it back, and all behind it, in their old order and for whoever else consumes from the queue
(https://www.rabbitmq.com/docs/confirms#automatic-requeueing).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue, DeliveryMode
from aiormq import exceptions

from otp.pi.inputs.base import Take
from otp.pi.inputs.healing import CONNECT_TIME, HealingInput
from otp.pi.settings import Amqp
from otp.roads import cancellation, failures, tls
from otp.roads.amqp import BAD_CREDENTIALS, LONGEST_NAME, LOST, PORT, TLS_PORT, refused_virtual_host, silence_bodies
from otp.roads.closing import quietly
from otp.roads.errors import ConfigError, RoadError

HEARTBEAT = 10
"""Seconds: a link that has died is noticed within three times that, even while nothing comes."""

for _library in ("aiormq", "aio_pika"):
    # What happens to a connection is said by this road. A logger without a handler would print it on standard error.
    logging.getLogger(_library).addHandler(logging.NullHandler())

_Arrived = asyncio.Queue[AbstractIncomingMessage | RoadError]
"""Messages as they come, and in the end why no more will."""


def open_input(name: str, settings: Amqp, take: Take, _data_dir: Path) -> "AmqpInput":
    """Return the way in; see ``inputs.open_input``."""
    return AmqpInput(name, settings, take)


class _Connection(aio_pika.Connection):
    """The library's connection, with a destructor that does nothing.

    The library's starts a task, wherever the garbage happens to be collected: mostly in a thread without a loop, which
    ends in a warning. Here every connection that was opened is closed, and one that could not be has nothing to close.
    """

    def __del__(self) -> None:
        pass


class AmqpInput(HealingInput):
    """Commands from a queue.

    Attributes:
        _connection: The open connection; ``None`` while there is none.
    """

    def __init__(self, name: str, settings: Amqp, take: Take) -> None:
        if len(settings.topic.encode()) > LONGEST_NAME:
            raise ConfigError(f"topic of [[amqp]] has more than {LONGEST_NAME} bytes.")
        self._port = settings.port or (TLS_PORT if settings.tls else PORT)
        super().__init__(name, settings, f"{settings.host}:{self._port}", take)
        self._settings = settings
        self._tls = tls.context(settings) if settings.tls else None
        self._connection: AbstractConnection | None = None
        silence_bodies()

    async def _serve(self) -> None:
        async with self._open() as connection, self._failures():
            async with asyncio.timeout(CONNECT_TIME):
                with cancellation.heeded():
                    arrived = await self._consume(connection)
            self._up()
            while True:
                message = await arrived.get()
                if isinstance(message, RoadError):
                    raise message
                if await self._hand(message.body):
                    await message.ack()
                else:
                    await message.reject(requeue=False)

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish to the queue ``topic`` through the default exchange and wait for the server's confirm."""
        if not topic or len(topic.encode()) > LONGEST_NAME:
            raise RoadError("rejected", f"The name of a queue has 1 to {LONGEST_NAME} bytes.")
        if self._connection is None:
            raise self._lost()
        message = aio_pika.Message(payload, content_type="application/json", delivery_mode=DeliveryMode.NOT_PERSISTENT)
        async with self._failures():
            await _declare_answers(self._connection, topic)
            channel = await self._connection.channel(on_return_raises=True)
            try:
                await channel.default_exchange.publish(message, routing_key=topic, mandatory=True)
            finally:
                await quietly(channel.close())

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[AbstractConnection]:
        connection = await self._connect()
        self._connection = connection
        try:
            yield connection
        finally:
            self._connection = None
            await quietly(connection.close())

    async def _connect(self) -> AbstractConnection:
        settings = self._settings
        try:
            async with asyncio.timeout(CONNECT_TIME):
                return await aio_pika.connect(
                    host=settings.host,
                    port=self._port,
                    login=settings.username or "guest",
                    password=settings.password.get_secret_value() or "guest",
                    virtualhost=settings.vhost,
                    ssl=settings.tls,
                    ssl_context=self._tls,
                    client_properties={"connection_name": f"otp-pi {self.name}"},
                    heartbeat=HEARTBEAT,
                    connection_class=_Connection,
                )
        except BAD_CREDENTIALS:
            raise RoadError("unauthorized", f"{self._server} did not accept username and password.") from None
        except LOST as error:
            if refused_virtual_host(error):
                text = f"{self._server} does not let this account into virtual host {settings.vhost}."
                raise RoadError("forbidden", text) from None
            raise failures.not_connected(error, self._server) from error

    async def _consume(self, connection: AbstractConnection) -> _Arrived:
        """Start consuming; return where messages arrive, and the end of the channel or of the queue."""
        queue = await self._queue(connection)
        arrived: _Arrived = asyncio.Queue()
        queue.channel.close_callbacks.add(lambda *_: arrived.put_nowait(self._lost()), weak=False)
        underlay = await queue.channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda *_: arrived.put_nowait(self._queue_gone()))

        async def arrive(message: AbstractIncomingMessage) -> None:
            arrived.put_nowait(message)

        await queue.consume(arrive)
        return arrived

    async def _queue(self, connection: AbstractConnection) -> AbstractQueue:
        """Return the queue as it is; where it is missing, declared as every receiving end of the family does."""
        channel = await self._channel(connection)
        try:
            return await channel.declare_queue(self.topic, passive=True)
        except exceptions.ChannelNotFoundEntity:
            channel = await self._channel(connection)
            return await channel.declare_queue(self.topic, durable=self._settings.durable)

    async def _channel(self, connection: AbstractConnection) -> AbstractChannel:
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=self._settings.prefetch)
        return channel

    @asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        """Say in the road's words what goes wrong inside."""
        try:
            yield
        except exceptions.ChannelAccessRefused:
            text = f"{self._server} does not allow this account to use the queue."
            raise RoadError("forbidden", text) from None
        except exceptions.DeliveryError:
            raise RoadError("rejected", f"{self._server} did not take the message.") from None
        except LOST as error:
            raise failures.lost(error, self._server) from error

    def _lost(self) -> RoadError:
        return RoadError("connection_lost", f"The connection to {self._server} broke.")

    def _queue_gone(self) -> RoadError:
        return RoadError("connection_lost", f"Queue {self.topic} of {self._server} has been deleted.")


async def _declare_answers(connection: AbstractConnection, topic: str) -> None:
    """Make sure that a queue for an answer is there.

    It is declared as publishers of the family declare theirs; one that somebody declared in another way is used as it
    is. On a channel of its own, since a refusal closes it.
    """
    channel = await connection.channel()
    try:
        await channel.declare_queue(topic, durable=True)
    except exceptions.ChannelPreconditionFailed:
        return
    finally:
        await quietly(channel.close())
