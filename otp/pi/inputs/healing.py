"""What is the same for all ways in: hand over, count, say how it is, and heal."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from broker.logs import Log, describe
from otp.pi.inputs.backoff import Backoff
from otp.pi.inputs.base import MAX_PAYLOAD, PUBLISH_TIME, InputStatus, RoadLostError, Take
from otp.pi.model import Origin, RejectedError, UnstoredError
from otp.pi.settings import Broker
from otp.roads import cancellation
from otp.roads.errors import RoadError

CONNECT_TIME = 10.0
"""Seconds that a server may take to let us in."""

SAY_AGAIN = 60.0
"""Seconds between two lines in the log about a server that stays away."""

_UNSTORED = "commands cannot be stored here; trying again"

LOG = Log("otp.pi")


class HealingInput(ABC):
    """A way in that comes back by itself.

    Args:
        name: What the journal and the log call it.
        settings: Of the server.
        server: ``host:port``.
        take: Stores a command.
        clock: Unix seconds.
    """

    def __init__(
        self, name: str, settings: Broker, server: str, take: Take, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self.topic = settings.topic
        self._server = server
        self._take = take
        self._clock = clock
        self._longest = settings.reconnect_longest
        self._origin = Origin(road=name, reply=self.publish)
        self._connected = asyncio.Event()
        self._since = clock()
        self._detail = "not started"
        self._received = 0
        self._stood_at = 0.0
        self._said_at = float("-inf")

    @property
    def status(self) -> InputStatus:
        """How it is now."""
        return InputStatus(
            connected=self._connected.is_set(), since=self._since, detail=self._detail, received=self._received
        )

    async def run(self) -> None:
        """Connect, take commands, heal what breaks; returns only by being cancelled, with nothing left open."""
        backoff = Backoff(self._longest)
        self._detail = f"connecting to {self._server}"
        try:
            while True:
                with cancellation.heeded():
                    failure = await self._failure()
                lasted = self._now() - self._stood_at if self._connected.is_set() else 0.0
                self._down(failure)
                await asyncio.sleep(backoff.after(lasted))
        finally:
            self._turn(False, "stopped")

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish an answer; see ``base.Input``."""
        try:
            async with asyncio.timeout(PUBLISH_TIME):
                await self._connected.wait()
                await self._publish(topic, payload)
        except TimeoutError:
            raise RoadLostError(f"{self._server} did not take an answer within {PUBLISH_TIME:g} s.") from None
        except RoadError as error:
            raise RoadLostError(str(error)) from None

    @abstractmethod
    async def _serve(self) -> None:
        """Connect, call ``_up``, take commands until the connection breaks; leave nothing open.

        Raises:
            RoadError: It could not be opened, or broke.
            UnstoredError: A command could not be stored, and has to come again on another connection.
        """

    @abstractmethod
    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish one message and wait for the server's word; called while connected.

        Raises:
            RoadError: It was not taken.
        """

    def _up(self, detail: str = "") -> None:
        """Take note that commands come from now on."""
        self._stood_at = self._now()
        self._said_at = float("-inf")
        self._turn(True, detail or f"connected to {self._server}")
        LOG.info("input_connected", road=self.name, server=self._server)

    async def _hand(self, payload: bytes) -> bool:
        """Have one message stored; return whether it was, and not refused for good.

        Raises:
            UnstoredError: It is not safe: whatever went wrong, it must not be acknowledged.
        """
        return self._count(payload) and await self._store(payload)

    async def _hold(self, payload: bytes) -> None:
        """Have one message stored that its server will not bring again: try until it is."""
        if not self._count(payload):
            return
        backoff = Backoff(self._longest)
        detail = self._detail
        while not await self._settled(payload):
            if self._detail != _UNSTORED:
                LOG.error("input_cannot_store", road=self.name)
            self._detail = _UNSTORED
            await asyncio.sleep(backoff.after(0.0))
        self._detail = detail

    def _count(self, payload: bytes) -> bool:
        """Count a message; return whether it may be read."""
        self._received += 1
        if len(payload) <= MAX_PAYLOAD:
            return True
        LOG.warning("input_message_too_long", road=self.name, bytes=len(payload), limit=MAX_PAYLOAD)
        return False

    async def _settled(self, payload: bytes) -> bool:
        """Try to store; return whether it was stored or refused for good."""
        try:
            await self._store(payload)
        except UnstoredError:
            return False
        return True

    async def _store(self, payload: bytes) -> bool:
        try:
            await self._take(payload, self._origin)
        except RejectedError:
            return False
        except UnstoredError:
            raise
        except Exception as error:
            LOG.error("input_take_failed", road=self.name, error=describe(error))
            raise UnstoredError from error
        return True

    async def _failure(self) -> str:
        """Serve until that fails; return why, one sentence."""
        try:
            await self._serve()
        except RoadError as error:
            return str(error)
        except UnstoredError:
            return f"{_UNSTORED}."
        except Exception as error:  # noqa: BLE001 - a way in that ends by a library's mistake would never come back
            LOG.error("input_failed", road=self.name, error=describe(error))
            return f"The connection to {self._server} failed: {type(error).__name__}."
        raise AssertionError("a connection ends by an error")

    def _down(self, why: str) -> None:
        """Take note that no commands come, and say so: at once when it is news, else once a minute."""
        lost = self._connected.is_set()
        self._turn(False, why)
        if lost or self._now() - self._said_at >= SAY_AGAIN:
            self._said_at = self._now()
            event = "input_lost" if lost else "input_not_connected"
            LOG.warning(event, road=self.name, server=self._server, reason=why)

    def _turn(self, connected: bool, detail: str) -> None:
        if connected != self._connected.is_set():
            self._since = self._clock()
            (self._connected.set if connected else self._connected.clear)()
        self._detail = detail

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
