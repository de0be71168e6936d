"""A channel, stream or list of Redis.

A channel is what publishers of the family use: Redis keeps nothing, and what is published while nobody listens is
gone. A stream or a list loses nothing; see ``redis_sources``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis import exceptions
from redis.asyncio import Redis as Client

from otp.pi.inputs import redis_sources
from otp.pi.inputs.base import Take
from otp.pi.inputs.healing import CONNECT_TIME, HealingInput
from otp.pi.inputs.identity import identity
from otp.pi.settings import Redis
from otp.roads import failures, tls
from otp.roads.closing import quietly
from otp.roads.errors import RoadError
from otp.roads.redis import LOST, PORT, not_connected, pool


def open_input(name: str, settings: Redis, take: Take, data_dir: Path) -> "RedisInput":
    """Return the way in; see ``inputs.open_input``."""
    return RedisInput(name, settings, take, data_dir)


class RedisInput(HealingInput):
    """Commands from a channel, a stream or a list.

    Attributes:
        _us: The name that Redis knows us by; empty for a channel, where nothing is kept for us.
        _client: What answers are published with; ``None`` while there is no connection.
    """

    def __init__(self, name: str, settings: Redis, take: Take, data_dir: Path) -> None:
        super().__init__(name, settings, f"{settings.host}:{settings.port or PORT}", take)
        self._settings = settings
        self._us = "" if settings.mode == "pubsub" else identity(data_dir, name)
        self._tls = tls.context(settings) if settings.tls else None
        self._client: Any = None

    async def _serve(self) -> None:
        async with self._open() as client, self._failures():
            if self._settings.mode == "pubsub":
                await redis_sources.channel(client, self.topic, up=self._up, hold=self._hold)
            elif self._settings.mode == "stream":
                group = self._settings.group
                await redis_sources.stream(client, self.topic, group, self._us, up=self._up, hand=self._hand)
            else:
                await redis_sources.queue(client, self.topic, self._us, up=self._up, hand=self._hand)

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish on a channel, in every mode: that is where publishers wait for answers."""
        if self._client is None:
            raise RoadError("connection_lost", f"The connection to {self._server} broke.")
        async with self._failures():
            await self._client.publish(topic, payload)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Any]:
        settings = self._settings
        client: Any = Client(
            connection_pool=pool(
                self._tls,
                username=settings.username,
                password=settings.password.get_secret_value(),
                host=settings.host,
                port=settings.port or PORT,
                db=settings.database,
                client_name=f"otp-pi-{self.name}",
                socket_timeout=None,  # the library's own, on Python 3.11, may swallow a cancellation (wait_for)
                socket_connect_timeout=CONNECT_TIME,
            )
        )
        try:
            await self._log_in(client)
            self._client = client
            yield client
        finally:
            self._client = None
            await quietly(client.connection_pool.disconnect())

    async def _log_in(self, client: Any) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIME):
                await client.execute_command("PING")
        except (exceptions.RedisError, OSError) as error:
            raise not_connected(error, self._server) from error

    @asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        """Say in the road's words what goes wrong inside."""
        try:
            yield
        except exceptions.NoPermissionError:
            raise RoadError("forbidden", f"{self._server} does not allow this account to do that.") from None
        except LOST as error:
            raise failures.lost(error, self._server) from error
        except exceptions.ResponseError as error:
            raise RoadError("rejected", f"{self._server} refused: {_word(error)}.") from None


def _word(error: Exception) -> str:
    """Return the token that an error of Redis begins with, such as WRONGTYPE; its text may quote what was sent."""
    first = str(error).partition(" ")[0]
    return first if first.isupper() and first.isalpha() else "an error"
