"""A command's time is bounded, and however it ends its children end with it."""

import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class BudgetExceededError(Exception):
    """The command has used up the time it was given."""


class BenchError(Exception):
    """The measurement cannot be trusted or cannot be taken; the text says why and what to do."""


def _out_of_time(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise BudgetExceededError


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)


@contextmanager
def time_budget(seconds: float) -> Iterator[None]:
    """Raise `BudgetExceededError` in the block after `seconds`, and `SystemExit` in it on SIGTERM.

    Both are exceptions and not the end of the process, so every `finally` runs and ends what it started.
    """
    previous_alarm = signal.signal(signal.SIGALRM, _out_of_time)
    previous_term = signal.signal(signal.SIGTERM, _terminated)
    began = time.monotonic()
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        # A budget around this one goes on; had it run out meanwhile, it strikes now.
        left = max(outer - (time.monotonic() - began), 0.001) if outer else 0.0
        signal.signal(signal.SIGALRM, previous_alarm)
        signal.signal(signal.SIGTERM, previous_term)
        signal.setitimer(signal.ITIMER_REAL, left)


def raise_descriptor_limit() -> int:
    """Raise this process's soft descriptor limit to the hard one, children inherit it; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
