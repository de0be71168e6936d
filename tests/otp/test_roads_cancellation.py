"""A cancellation that a library lost is heeded; one from before is left to whoever got it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from otp.roads import cancellation


async def swallow() -> None:
    """Return a result where there was a cancellation, as ``asyncio.wait_for`` of Python 3.11 may."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def replace() -> None:
    """Make another error of it."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ConnectionError from None


@pytest.mark.parametrize("lose", [swallow, replace])
async def test_lost_cancellation_ends_the_block(lose: Callable[[], Awaitable[None]]) -> None:
    async def work() -> None:
        with cancellation.heeded():
            await lose()

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait([working])
    assert working.cancelled()


async def test_lost_timeout_ends_the_block() -> None:
    """A time limit is a cancellation, too."""

    async def work() -> None:
        async with asyncio.timeout(0.01):
            with cancellation.heeded():
                await swallow()

    with pytest.raises(TimeoutError):
        await work()


async def test_cancellation_from_before_is_not_repeated() -> None:
    """Who was cancelled may still send a last message."""

    async def say_goodbye() -> str:
        await swallow()
        with cancellation.heeded():
            await asyncio.sleep(0)
        return "sent"

    working = asyncio.create_task(say_goodbye())
    await asyncio.sleep(0)
    working.cancel()
    assert await working == "sent"
