"""The end, in ordered steps: nobody new, publishers first, receivers last, then whoever is still there is cut."""

import asyncio
from itertools import islice
from typing import Final

from broker.core import Client, Core
from broker.errors import Closure

STEP: Final = 0.01
"""Seconds between two looks."""
GRACE: Final = 2.0
"""Seconds after `drain_time` for the last close handshakes."""


async def drain(core: Core, closure: Closure, drain_time: float) -> None:
    """Close every open connection, spread over `drain_time`, so that not all of them reconnect at once.

    1. Connections that have published leave over the first half, and we wait that long for what they still send.
    2. Pure receivers leave over the rest, so that they get it. 3. The last close handshakes have `GRACE`.
    The caller then cuts what is left with `cut`. It ends early when everybody is gone.

    Args:
        core: `draining` is set already.
        closure: what clients are told.
        drain_time: seconds.
    """
    begun = core.clock()
    publishers = [connection for connection in core.everyone() if connection.received]
    if publishers:
        half = begun + drain_time / 2
        await _ask_to_leave(core, publishers, closure, begun, half)
        await _wait_until_gone(core, publishers, half)
        while any(True for _ in core.everyone()) and core.clock() < half:  # noqa: ASYNC110 - as below
            await asyncio.sleep(STEP)
    receivers = [connection for connection in core.everyone() if not connection.received]
    await _ask_to_leave(core, receivers, closure, core.clock(), begun + drain_time)
    await _wait_until_gone(core, publishers + receivers, begun + drain_time + GRACE)


async def _ask_to_leave(core: Core, connections: list[Client], closure: Closure, begin: float, end: float) -> None:
    """Close one after the other, evenly from `begin` to `end`."""
    for index, connection in enumerate(connections):
        due = begin + max(0.0, end - begin) * index / len(connections)
        while core.clock() + STEP < due and any(not each.gone for each in islice(connections, index, None)):  # noqa: ASYNC110
            await asyncio.sleep(STEP)
        connection.leave(closure)


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
