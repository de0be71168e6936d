"""A broker as a process: event loop, signals, service manager."""

import asyncio
import contextlib
import logging
import logging.handlers
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from broker.heap import keep_freed_memory
from broker.logs import Log, describe
from broker.notify import Notifier, inherited_sockets
from broker.server import WSMessageBroker
from broker.settings import Settings

LOG: Final = Log()
REPORT_EVERY: Final = 60.0
"""Seconds between two reports of the same loop error."""
REPORTS_KEPT: Final = 100
MESSAGE_SHOWN: Final = 60
"""Characters of a loop's message; behind them stand addresses of objects."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop where it is installed, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - there is no wheel of it for every machine
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run(settings: Settings, reload_settings: Callable[[], Settings], handler: logging.Handler) -> int:
    """Serve until TERM or INT.

    Args:
        settings: as loaded.
        reload_settings: loads them again.
        handler: the log's handler, whose file USR1 opens again.

    Returns:
        The exit code: 0 after a drain, 1 when a second signal cut it short.

    Raises:
        broker.listener.ListenError: an address cannot be listened on.
        broker.tls.TlsError: the certificate cannot be used.
    """
    # Some password hashes are computed in pure Python, in a thread that would keep the relay waiting 5 ms a turn.
    sys.setswitchinterval(0.0005)
    keep_freed_memory()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(settings, reload_settings, handler))


async def _serve(settings: Settings, reload_settings: Callable[[], Settings], handler: logging.Handler) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors())
    broker = WSMessageBroker(
        settings, inherited=inherited_sockets(), notifier=Notifier(), reload_settings=reload_settings
    )
    started, stop, hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
    # First of all: who hears that the broker is ready may send a signal at once.
    _on_signals(loop, broker, handler, started, stop, hurry)
    await broker.start()
    started.set()
    await stop.wait()
    draining = loop.create_task(broker.drain())
    hurried = loop.create_task(hurry.wait())
    await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
    finished = draining.done()
    for task in (draining, hurried):
        task.cancel()
    await asyncio.gather(draining, hurried, return_exceptions=True)
    await broker.end()
    return 0 if finished else 1


def _on_signals(
    loop: asyncio.AbstractEventLoop,
    broker: WSMessageBroker,
    handler: logging.Handler,
    started: asyncio.Event,
    stop: asyncio.Event,
    hurry: asyncio.Event,
) -> None:
    reloads: set[asyncio.Task[None]] = set()

    def on_stop() -> None:
        (hurry if stop.is_set() else stop).set()

    async def reload() -> None:
        await started.wait()
        await broker.reload()

    def on_reload() -> None:
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_reload)
    loop.add_signal_handler(signal.SIGUSR1, _reopen, handler)


def _reopen(handler: logging.Handler) -> None:
    """Open the log file again after it was moved away."""
    if isinstance(handler, logging.handlers.WatchedFileHandler):
        with contextlib.suppress(OSError):
            handler.reopenIfNeeded()


class LoopErrors:
    """Log what a callback of the loop raised, without its text, which may quote what a client sent.

    The same error is logged once a minute: out of descriptors, asyncio reports every accept that fails.
    """

    def __init__(self) -> None:
        self.silent_until: dict[str, float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take the report of a loop (`loop.set_exception_handler`)."""
        error = context.get("exception")
        what = describe(error) if isinstance(error, BaseException) else ""
        message = str(context.get("message", ""))[:MESSAGE_SHOWN]
        key = f"{message} {what}"
        if loop.time() >= self.silent_until.get(key, 0.0):
            if len(self.silent_until) >= REPORTS_KEPT:
                self.silent_until.clear()
            self.silent_until[key] = loop.time() + REPORT_EVERY
            LOG.error("loop_error", message=message, error=what or None)
