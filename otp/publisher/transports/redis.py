"""Redis: ``PUBLISH`` to a channel. Redis keeps nothing; who is not subscribed at that moment never sees the message.

``PUBLISH`` answers with the number of subscribers that were sent the message, which is passed on: none means that it
is gone (https://redis.io/docs/latest/commands/publish/).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis

from otp.publisher.errors import RoadError
from otp.publisher.settings import Redis as Settings
from otp.publisher.transports.base import Answer, Receipt
from otp.publisher.transports.first import First
from otp.publisher.transports.kept import Kept
from otp.roads import cancellation, failures, tls
from otp.roads.closing import quietly
from otp.roads.redis import LOST, PORT, not_connected, pool

_LOG = logging.getLogger(__name__)


def open_road(settings: Settings) -> "RedisRoad":
    """Return the road; see ``transports.open_road``."""
    return RedisRoad(settings)


class RedisRoad:
    """Messages to a channel of Redis."""

    answers_at_once = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server = f"{settings.host}:{settings.port or PORT}"
        self._tls = tls.context(settings) if settings.tls else None
        self._kept: Kept[Redis] = Kept(self._connect, lambda _: True, _prove, _close)

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        """Publish one message and count its receivers."""
        async with self._kept.use() as client, self._failures():
            listeners = int(await client.publish(self._settings.topic, payload))
        if listeners:
            return Receipt(note=f"Redis handed the message to {listeners} subscribers.", listeners=listeners)
        text = f"Redis took the message, but nobody is subscribed to {self._settings.topic}: it is gone."
        if self._settings.require_receiver:
            raise RoadError("nobody_listens", text)
        return Receipt(note=text, listeners=0)

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Answer]:
        """Subscribe and wait for Redis to confirm it."""
        first = First()
        async with self._kept.use() as client:
            subscriber: Any = client.pubsub()
            try:
                async with self._failures():
                    await subscriber.subscribe(topic)
                    await _next(subscriber, "subscribe")
                reading = asyncio.create_task(self._read(subscriber, first))
                try:
                    yield first.wait
                finally:
                    reading.cancel()
                    await asyncio.wait([reading])
            finally:
                await quietly(subscriber.aclose())

    async def check(self) -> str:
        """Send a ``PING``."""
        async with self._kept.use() as client, self._failures():
            await _prove(client)
        return f"{self._server} answered"

    async def close(self) -> None:
        """Close all connections."""
        await self._kept.close()

    async def _read(self, subscriber: Any, first: First) -> None:
        try:
            async with self._failures():
                message = await _next(subscriber, "message")
        except RoadError as error:
            first.fail(error)
        else:
            first.arrive(bytes(message["data"]))

    async def _connect(self) -> Redis:
        """Connect and log in; where the server has no such user but asks for none, go on without.

        Existing configurations carry credentials that were never sent, and work with servers that want none.
        """
        try:
            return await self._log_in(self._settings.username, self._settings.password)
        except RoadError as error:
            if error.reason != "unauthorized" or not self._settings.password:
                raise
            client = await self._anonymous(error)
        _LOG.warning(
            "%s did not accept username and password of [REDIS], and needs none: going on without.",
            self._server,
        )
        return client

    async def _anonymous(self, refusal: RoadError) -> Redis:
        try:
            return await self._log_in("", "")
        except RoadError:
            raise refusal from None

    async def _log_in(self, username: str, password: str) -> Redis:
        client = Redis(connection_pool=self._pool(username, password))
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await _prove(client)
        except BaseException as error:
            await quietly(_close(client))
            if isinstance(error, (exceptions.RedisError, OSError)):
                raise not_connected(error, self._server) from error
            raise
        return client

    def _pool(self, username: str, password: str) -> ConnectionPool:
        settings = self._settings
        return pool(
            self._tls,
            username=username,
            password=password,
            host=settings.host,
            port=settings.port or PORT,
            socket_timeout=settings.callback_timeout,
            socket_connect_timeout=settings.connect_timeout,
        )

    @asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        """Say in the road's words what goes wrong inside."""
        try:
            with cancellation.heeded():
                yield
        except exceptions.AuthenticationError as error:
            raise not_connected(error, self._server) from error
        except exceptions.NoPermissionError:
            text = f"{self._server} does not allow this account to use channel {self._settings.topic}."
            raise RoadError("forbidden", text) from None
        except LOST as error:
            raise failures.broken(error, self._server) from error
        except exceptions.RedisError as error:
            text = f"{self._server} refused the message: {failures.reason(error)}."
            raise RoadError("rejected", text) from None


async def _prove(client: Any) -> None:
    await client.execute_command("PING")


async def _close(client: Redis) -> None:
    await client.connection_pool.disconnect()


async def _next(subscriber: Any, kind: str) -> dict[str, Any]:
    """Return the subscriber's next message of a kind."""
    while True:
        message = await subscriber.get_message(timeout=None)
        if message is not None and message["type"] == kind:
            found: dict[str, Any] = message
            return found
