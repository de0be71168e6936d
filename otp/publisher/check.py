"""Say what of a publisher works, and how long it took."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from otp.errors import OtpError
from otp.publisher.client import AsyncPublisher


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: ``settings``, ``store`` or the road's method.
        ok: Whether it works.
        text: What was found.
        seconds: How long it took.
    """

    name: str
    ok: bool
    text: str
    seconds: float


async def findings(publisher: AsyncPublisher) -> AsyncIterator[Finding]:
    """Look at settings, store and road, one after the other; nothing is sent and nothing is changed."""
    for warning in publisher.settings.warnings:
        yield Finding("settings", True, f"warning: {warning}", 0.0)
    general, road = publisher.settings.general, publisher.settings.road
    codes = publisher.codes
    if codes is not None:

        async def look_at_store() -> str:
            await codes.sweep()
            place = general.cache_dir if general.store == "sqlite" else general.store
            return f"{place} can be read and written"

        yield await _timed("store", look_at_store, road.timeout)
    yield await _timed(general.method.value, publisher.road.check, road.timeout)


async def _timed(name: str, look: Callable[[], Awaitable[str]], timeout: float) -> Finding:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            text, ok = await look(), True
    except OtpError as error:
        text, ok = str(error), False
    except TimeoutError:
        text, ok = f"no answer within {timeout:g} s", False
    return Finding(name, ok, text, time.perf_counter() - started)
