"""The OTP-Pi as a process: event loop, signals, service manager."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from broker.logs import Log, describe
from broker.notify import Notifier
from otp.pi.emulated import Arriving
from otp.pi.service import Service
from otp.pi.settings import Settings
from otp.pi.status import Snapshot

STATUS_EVERY: Final = 10.0
"""Seconds between two words to the service manager; less where its watchdog wants that."""

AT_ONCE: Final = 2.0
"""Seconds that the parts have to let go of what they hold after a second signal."""

_SHOWN: Final = 60
"""Characters of a loop's message; behind them stand addresses of objects."""

_REPORT_EVERY: Final = 60.0
"""Seconds between two reports of the same loop error."""

_KINDS: Final = 100
"""Different loop errors that are remembered."""

_LOG: Final = Log("otp.pi")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop where it is installed, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - there is no wheel of it for every machine
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run(settings: Settings, *, warnings: Sequence[str] = (), arriving: Arriving | None = None) -> int:
    """Serve until TERM or INT; HUP reads the certificate again.

    Args:
        settings: As loaded.
        warnings: What was found when they were; goes to the log.
        arriving: Told of every SMS that an emulated modem sends.

    Returns:
        The exit code: 0 after what was under way has ended, 1 when a second signal cut that short.

    Raises:
        ConfigError: A setting cannot be used as it stands.
        StorageError: The journal cannot be used.
        OtpError: The codes or a library cannot be used.
    """
    for warning in [*warnings, *_gaps(settings)]:
        _LOG.warning("settings", about=warning)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_serve(Service(settings, arriving=arriving)))


def _gaps(settings: Settings) -> list[str]:
    """Say what a service with these settings cannot do, though nothing in them is wrong."""
    gaps = []
    if not (any(each.active for each in settings.modem) or any(each.active for each in settings.mail)):
        gaps.append("there is no [[modem]] and no [[mail]], so nothing can be sent; --modem emulate is one to try with")
    if not settings.inputs() and not settings.rest.enabled:
        gaps.append("there is no way in but the command line: neither [rest] nor any of [[ws]] [[amqp]] [[redis]] ...")
    return gaps


async def _serve(service: Service) -> int:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors())
    stop, hurry = asyncio.Event(), asyncio.Event()
    # First of all: who hears that it is ready may send a signal at once.
    _on_signals(loop, service, stop, hurry)
    living = loop.create_task(_live(service, stop))
    hurried = loop.create_task(hurry.wait())
    await asyncio.wait({living, hurried}, return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if living.done():
        living.result()
        return 0
    _LOG.warning("hurried")
    living.cancel()
    await asyncio.wait({living}, timeout=AT_ONCE)
    return 1


async def _live(service: Service, stop: asyncio.Event) -> None:
    notifier = Notifier()
    async with service:
        settings = service.settings
        inputs = " ".join(settings.inputs()) or None
        _LOG.info("ready", url=service.url or None, inputs=inputs, modems=len(settings.modem), mail=len(settings.mail))
        notifier.ready(summary(await service.status.snapshot()))
        async with _reporting(service, notifier):
            await stop.wait()
        _LOG.info("stopping")
        notifier.stopping()


@asynccontextmanager
async def _reporting(service: Service, notifier: Notifier) -> AsyncIterator[None]:
    """Tell the service manager, where there is one, how we are for as long as the block lasts."""
    task = asyncio.create_task(_report(service, notifier)) if notifier.address else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _report(service: Service, notifier: Notifier) -> None:
    every = min(notifier.watchdog or STATUS_EVERY, STATUS_EVERY)
    while True:
        await asyncio.sleep(every)
        notifier.alive()
        notifier.send(f"STATUS={summary(await service.status.snapshot())}")


def summary(snapshot: Snapshot) -> str:
    """Return in one line how the service is."""
    if reasons := snapshot.reasons():
        return " ".join(f"not ready: {'; '.join(reasons)}".split())
    waiting = sum(snapshot.queue.values())
    return f"ready: {len(snapshot.inputs)} inputs, {len(snapshot.modems)} modems, {waiting} messages waiting"


def _on_signals(loop: asyncio.AbstractEventLoop, service: Service, stop: asyncio.Event, hurry: asyncio.Event) -> None:
    ends = (signal.SIGTERM, signal.SIGINT)

    def on_end() -> None:
        if not stop.is_set():
            stop.set()
            return
        hurry.set()
        for number in ends:  # a third one ends the process wherever it is
            loop.remove_signal_handler(number)

    def on_reload() -> None:
        service.reload()
        _LOG.info("reloaded")

    for number in ends:
        loop.add_signal_handler(number, on_end)
    loop.add_signal_handler(signal.SIGHUP, on_reload)


class LoopErrors:
    """Log what a callback of the loop raised, without its text, which may quote what a client sent.

    The same error is logged once a minute: out of descriptors, asyncio reports every accept that fails.
    """

    def __init__(self) -> None:
        self._silent_until: dict[str, float] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take the report of a loop (``loop.set_exception_handler``)."""
        error = context.get("exception")
        what = describe(error) if isinstance(error, BaseException) else None
        message = str(context.get("message", ""))[:_SHOWN]
        if loop.time() < self._silent_until.get(f"{message} {what}", 0.0):
            return
        if len(self._silent_until) >= _KINDS:
            self._silent_until.clear()
        self._silent_until[f"{message} {what}"] = loop.time() + _REPORT_EVERY
        _LOG.error("loop_error", message=message, error=what)
