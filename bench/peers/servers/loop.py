"""Which event loop the Python peers run on."""

import asyncio
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Coroutine
from typing import Any

_UVLOOP = importlib.util.find_spec("uvloop") is not None


def loop_name() -> str:
    """Name the event loop that `run` uses."""
    return f"uvloop {importlib.metadata.version('uvloop')}" if _UVLOOP else "asyncio"


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on the fastest event loop that is installed."""
    factory = importlib.import_module("uvloop").new_event_loop if _UVLOOP else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)
