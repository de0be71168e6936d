"""Cancellations that a library lost.

``asyncio.wait_for`` of Python 3.11 returns a result that arrives in the same turn as a cancellation, and forgets the
latter (https://github.com/python/cpython/issues/86296); other code makes an error of its own of it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heeded() -> Iterator[None]:
    """Go at the end of the block where somebody has asked for it meanwhile.

    Raises:
        CancelledError: The task was cancelled in the block, whatever became of it there.
    """
    before = _requests()
    try:
        yield
    finally:
        if _requests() > before:
            raise asyncio.CancelledError


def _requests() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
