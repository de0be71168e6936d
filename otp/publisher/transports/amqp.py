"""RabbitMQ (AMQP 0-9-1): messages to the queue named like the topic, through the default exchange.

Three things together mean that a message is not lost on the way in: the queue is there (looked up, declared where
missing), the message is mandatory (the broker returns what has no queue), and the broker confirms it
(https://www.rabbitmq.com/docs/confirms).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue, DeliveryMode
from aiormq import exceptions

from otp.publisher.errors import ConfigError, RoadError
from otp.publisher.settings import Amqp
from otp.publisher.transports.base import Answer, Receipt
from otp.publisher.transports.first import First
from otp.publisher.transports.kept import Kept
from otp.roads import cancellation, failures, tls
from otp.roads.amqp import (
    BAD_CREDENTIALS,
    HEARTBEAT,
    LONGEST_NAME,
    LOST,
    PORT,
    TLS_PORT,
    refused_virtual_host,
    silence_bodies,
)
from otp.roads.closing import quietly

_LONGEST_LIFE = (2**32 - 1) // 1000
"""Seconds that a message may wait in RabbitMQ at most, which counts milliseconds; 49 days."""


def open_road(settings: Amqp) -> "AmqpRoad":
    """Return the road; see ``transports.open_road``."""
    return AmqpRoad(settings)


class AmqpRoad:
    """Messages to a queue of RabbitMQ."""

    answers_at_once = False

    def __init__(self, settings: Amqp) -> None:
        if len(settings.topic.encode()) > LONGEST_NAME:
            raise ConfigError(f"topic of [AMQP] has more than {LONGEST_NAME} bytes.")
        self._settings = settings
        self._port = settings.port or (TLS_PORT if settings.tls else PORT)
        self._server = f"{settings.host}:{self._port}"
        self._tls = tls.context(settings) if settings.tls else None
        self._kept = Kept(self._connect, _Link.alive, _Link.prove, _Link.close)
        silence_bodies()

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        """Publish one message and wait for the broker's confirm."""
        message = aio_pika.Message(
            payload,
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            expiration=None if lifetime is None else min(lifetime, _LONGEST_LIFE),
        )
        async with self._kept.use() as link, self._failures():
            consumers = await link.consumers()
            await link.publish(message)
        return Receipt(note=_note(consumers), listeners=consumers)

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Answer]:
        """Consume from a queue of its own, which is deleted afterwards.

        It is declared durable, not exclusive, not auto-delete and without arguments, as every answering end of the
        family declares it: anything else would be refused there (PRECONDITION_FAILED).
        """
        async with self._kept.use() as link:
            first = First()
            async with self._failures():
                channel = await link.connection.channel()
                queue = await channel.declare_queue(topic, durable=True)
                channel.close_callbacks.add(lambda *_: first.fail(self._ended()), weak=False)

                async def arrive(message: AbstractIncomingMessage) -> None:
                    first.arrive(message.body)

                consumer = await queue.consume(arrive, no_ack=True)
            try:
                yield first.wait
            finally:
                await quietly(_put_away(channel, queue, consumer))

    async def check(self) -> str:
        """Connect and look the queue up; nothing is declared."""
        async with self._kept.use() as link, self._failures():
            found = await link.look_up()
        if found is None:
            return f"{self._server} answered; queue {self._settings.topic} is not there yet"
        return f"{self._server} answered; queue {self._settings.topic} has {found} consumers"

    async def close(self) -> None:
        """Close the connection."""
        await self._kept.close()

    async def _connect(self) -> "_Link":
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_timeout):
                connection = await aio_pika.connect(
                    host=settings.host,
                    port=self._port,
                    login=settings.username or "guest",
                    password=settings.password or "guest",
                    virtualhost=settings.vhost,
                    ssl=settings.tls,
                    ssl_context=self._tls,
                    client_properties={"connection_name": "otp-publisher"},
                    heartbeat=HEARTBEAT,
                )
                return _Link(connection, settings)
        except BAD_CREDENTIALS:
            text = f"{self._server} did not accept username and password."
            raise RoadError("unauthorized", text) from None
        except LOST as error:
            if refused_virtual_host(error):
                text = f"{self._server} does not let this account into virtual host {settings.vhost}."
                raise RoadError("forbidden", text) from None
            raise failures.not_connected(error, self._server) from error

    @asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        """Say in the road's words what goes wrong inside."""
        try:
            with cancellation.heeded():
                yield
        except exceptions.ChannelAccessRefused:
            text = f"{self._server} does not allow this account to use queue {self._settings.topic}."
            raise RoadError("forbidden", text) from None
        except exceptions.ChannelPreconditionFailed:
            text = f"{self._server} has this queue already, declared in another way."
            raise RoadError("rejected", text) from None
        except exceptions.PublishError:
            text = f"{self._server} returned the message: queue {self._settings.topic} has just gone."
            raise RoadError("rejected", text) from None
        except exceptions.DeliveryError:
            raise RoadError("rejected", f"{self._server} did not take the message (nack).") from None
        except LOST as error:
            raise failures.broken(error, self._server) from error

    def _ended(self) -> RoadError:
        return RoadError("connection_lost", f"The connection to {self._server} ended before the answer.")


class _Link:
    """An open connection: one channel to publish on, one to look queues up on.

    They are two because a queue that is missing closes the channel that asked for it, and messages that wait for their
    confirm on the same channel would go down with it.
    """

    def __init__(self, connection: AbstractConnection, settings: Amqp) -> None:
        self.connection = connection
        self._topic = settings.topic
        self._durable = settings.durable
        self._publishing: AbstractChannel | None = None
        self._looking: AbstractChannel | None = None
        self._lock = asyncio.Lock()

    def alive(self) -> bool:
        """Tell whether the connection is open as far as is known."""
        return self.connection.connected.is_set() and not self.connection.is_closed

    async def prove(self) -> None:
        """Have the broker open and close a channel."""
        channel = await self.connection.channel()
        await channel.close()

    async def close(self) -> None:
        """Close the connection and its channels."""
        await self.connection.close()

    async def publish(self, message: aio_pika.Message) -> None:
        """Publish to the queue and wait for the confirm."""
        async with self._lock:
            if self._publishing is None or self._publishing.is_closed:
                self._publishing = await self.connection.channel(on_return_raises=True)
            channel = self._publishing
        await channel.default_exchange.publish(message, routing_key=self._topic, mandatory=True)

    async def consumers(self) -> int | None:
        """Make sure that the queue is there; return how many consume from it, ``None`` if we may not know."""
        try:
            found = await self.look_up()
        except exceptions.ChannelAccessRefused:
            return None
        return await self._declare() if found is None else found

    async def look_up(self) -> int | None:
        """Return how many consume from the queue; ``None`` when it is not there."""
        async with self._lock:
            try:
                queue = await (await self._asking()).declare_queue(self._topic, passive=True)
            except exceptions.ChannelNotFoundEntity:
                return None
        return queue.declaration_result.consumer_count

    async def _declare(self) -> int | None:
        """Declare the queue as every receiving end of the family does: not durable unless asked for."""
        async with self._lock:
            queue = await (await self._asking()).declare_queue(self._topic, durable=self._durable)
        return queue.declaration_result.consumer_count

    async def _asking(self) -> AbstractChannel:
        if self._looking is None or self._looking.is_closed:
            self._looking = await self.connection.channel(publisher_confirms=False)
        return self._looking


async def _put_away(channel: AbstractChannel, queue: AbstractQueue, consumer: str) -> None:
    """Delete a queue of our own; without a consumer, since the library warns of one that loses its queue."""
    await queue.cancel(consumer)
    await queue.delete(if_unused=False, if_empty=False)
    await channel.close()


def _note(consumers: int | None) -> str:
    if consumers is None:
        return "The broker has the message; whether anyone consumes it, this account may not know."
    if consumers == 0:
        return "The broker has the message, but nobody consumes from the queue at the moment."
    return "The broker has the message."
