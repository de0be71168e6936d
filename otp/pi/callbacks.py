"""Publish the answers that commands ask for, on the road they came over.

An answer never goes onto a topic that commands come from, never carries a ``callback_topic`` of its own, and always
has a ``response_code``: whoever reads it can never take it for a command.
"""

import asyncio
import json
from collections.abc import Callable, Collection
from typing import Any

from broker.logs import Log, describe
from otp.incoming import Incoming
from otp.pi.model import Origin

MAX_WAITING = 200
"""Answers under way at once; more are dropped, with a log line. Each is a small task."""

MAX_TOPIC = 255
"""Bytes of a topic: the shortest limit among the roads (AMQP's short string)."""

TIMEOUT = 15.0
"""Seconds that publishing one answer may take; publishers of the family wait for ten."""

_LOG = Log("otp.pi")


class Callbacks:
    """Answers under way.

    Args:
        closed: Topics that must never get one: those that commands and events are on.
        dropped: Told of each answer that is not sent, with the reason.
    """

    def __init__(self, closed: Collection[str], dropped: Callable[[str], None] = lambda _reason: None) -> None:
        self._closed = frozenset(closed)
        self._dropped = dropped
        self._tasks: set[asyncio.Task[None]] = set()

    def wanted(self, incoming: Incoming, origin: Origin) -> bool:
        """Tell whether somebody awaits an answer on a topic where one may go."""
        if not incoming.callback_topic or origin.reply is None:
            return False
        if incoming.callback_topic in self._closed:
            return self._drop("subscribed_topic", incoming, origin)
        if len(incoming.callback_topic.encode()) > MAX_TOPIC:
            return self._drop("topic_too_long", incoming, origin)
        if len(self._tasks) >= MAX_WAITING:
            return self._drop("too_many_answers", incoming, origin)
        return True

    def publish(self, incoming: Incoming, origin: Origin, answer: "asyncio.Future[dict[str, Any]]") -> None:
        """Publish an answer once it is there and the delay it asked for is over."""
        task = asyncio.create_task(self._publish(incoming, origin, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up on those that are still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _publish(self, incoming: Incoming, origin: Origin, answer: "asyncio.Future[dict[str, Any]]") -> None:
        assert origin.reply is not None  # noqa: S101 - `wanted` has seen to it
        found = await answer
        await asyncio.sleep(incoming.callback_delay / 1000)
        payload = json.dumps(found, separators=(",", ":")).encode("ascii")
        try:
            async with asyncio.timeout(TIMEOUT):
                await origin.reply(incoming.callback_topic, payload)
        except Exception as error:  # noqa: BLE001 - whatever a road's library raises, the answer is lost and nothing else
            _LOG.warning("answer_lost", road=origin.road, command=incoming.action, error=describe(error))
            self._dropped("road_lost")

    def _drop(self, reason: str, incoming: Incoming, origin: Origin) -> bool:
        _LOG.warning("answer_refused", road=origin.road, command=incoming.action, reason=reason)
        self._dropped(reason)
        return False
