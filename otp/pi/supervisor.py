"""Keep the parts of the service running: one that fails by a fault of ours is started again and takes nobody down."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from broker.logs import Log, describe

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds before a part is started again, doubling from the first to the longest."""

STABLE: Final = 300.0
"""Seconds after which a part that runs counts as well again."""

_LOG: Final = Log("otp.pi")


async def keep(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run a part until it returns or is cancelled; run it again whenever it fails.

    Args:
        name: What the log calls it.
        run: The part.
        sleep: Waits; for tests.
    """
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE
    while True:
        started = loop.time()
        try:
            await run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on and the log has it
            if loop.time() - started > STABLE:
                pause = FIRST_PAUSE
            _LOG.error("part_failed", part=name, error=describe(error), again_in=pause)
            await sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            return
