"""Which event loop the Python peers run on, and what they serve TLS with."""

import asyncio
import importlib
import importlib.metadata
import importlib.util
import ssl
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


def tls_context(files: list[str]) -> ssl.SSLContext | None:
    """Return what to serve TLS with, from a certificate and its key; None without them."""
    if not files:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context
