"""Put connections away without waiting for servers that may be gone."""

import asyncio
from collections.abc import Awaitable

CLEAN_UP = 1.0
"""Seconds that putting things in order may take after the work ended, such as deleting a queue."""


async def quietly(cleaning: Awaitable[object]) -> None:
    """Put things in order within ``CLEAN_UP`` seconds; what fails then has nobody to tell."""
    try:
        async with asyncio.timeout(CLEAN_UP):
            await cleaning
    except Exception:  # noqa: BLE001 - the server may be gone, which is often why we are here
        return
