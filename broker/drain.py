"""The end, in ordered steps: nobody new, publishers first, receivers last, then whoever is still there is cut."""

import asyncio
import math
from typing import Final

from broker.core import Client, Core
from broker.errors import Closure

STEP: Final = 0.01
"""Seconds between two looks, and between two groups of closes."""
PACE: Final = 500.0
"""Closes a second when there is time: a reconnecting client costs its next broker about 1 ms."""
GRACE: Final = 2.0
"""Seconds after `drain_time` for the last close handshakes."""


async def drain(core: Core, closure: Closure, drain_time: float) -> None:
    """Close every open connection, spread over at most `drain_time`.

    1. Connections that have published leave first, over at most half of the time, and we wait that long for what they
       still send. 2. Pure receivers leave last, so that they get it. 3. The last close handshakes have `GRACE`.
    The caller then cuts what is left with `cut`.

    Args:
        core: `draining` is set already.
        closure: what clients are told.
        drain_time: seconds.
    """
    begun = core.clock()
    everyone = list(core.everyone())
    publishers = [connection for connection in everyone if connection.received]
    await _ask_to_leave(publishers, closure, drain_time / 2)
    await _wait_until_gone(core, publishers, begun + drain_time / 2)
    receivers = list(core.everyone())
    await _ask_to_leave(receivers, closure, max(0.0, begun + drain_time - core.clock()))
    await _wait_until_gone(core, receivers, begun + drain_time + GRACE)


async def _ask_to_leave(connections: list[Client], closure: Closure, span: float) -> None:
    if not connections:
        return
    steps = max(1, math.ceil(min(span, len(connections) / PACE) / STEP))
    group = math.ceil(len(connections) / steps)
    for start in range(0, len(connections), group):
        for connection in connections[start : start + group]:
            connection.leave(closure)
        if start + group < len(connections):
            await asyncio.sleep(STEP)


async def _wait_until_gone(core: Core, connections: list[Client], deadline: float) -> None:
    while core.clock() < deadline and any(  # noqa: ASYNC110 - a look at many, not one event
        not connection.gone for connection in connections
    ):
        await asyncio.sleep(STEP)


async def cut(core: Core, patience: float = 1.0) -> None:
    """Abort every socket that is left and wait until the loop has let go of them."""
    for member in core.everyone():
        member.transport.abort()
    for transient in tuple(core.transients):
        transient.transport.abort()
    deadline = core.clock() + patience
    while core.census.open and core.clock() < deadline:  # noqa: ASYNC110 - as above
        await asyncio.sleep(STEP)
