"""The publisher for applications without asyncio: Django, Flask, scripts.

An event loop in a thread of its own does the work: connections stay open between calls, and any number of threads
may call at once. After a fork, as in servers with worker processes, the child starts afresh with the same settings.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from otp.publisher.client import AsyncPublisher
from otp.publisher.config import load
from otp.publisher.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

_LEFT_BEHIND: list[object] = []
"""What a child process inherited and must neither use nor collect: closing it would disturb the parent's event loop,
whose epoll descriptor both share."""


def _blocking(
    method: Callable[Concatenate[AsyncPublisher, P], Coroutine[Any, Any, R]],
) -> "Callable[Concatenate[Publisher, P], R]":
    """Return a method that runs one of ``AsyncPublisher``'s to its end."""

    @wraps(method)
    def call(self: "Publisher", /, *args: P.args, **kwargs: P.kwargs) -> R:
        worker = self._in_this_process()
        return worker.run(method(worker.publisher, *args, **kwargs))

    return call


class Publisher:
    """Every command over one road, for any number of threads. Arguments and errors as ``AsyncPublisher``."""

    def __init__(
        self, *, settings: Settings | None = None, clock: Callable[[], float] = time.time, **keywords: Any
    ) -> None:
        self.settings = settings or load(environment=os.environ, keywords=keywords)
        self._clock = clock
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._worker: _Worker | None = _Worker(AsyncPublisher(settings=self.settings, clock=clock))

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], **keywords: Any) -> Self:
        """Return a publisher for a configuration file; environment and keywords win over it."""
        return cls(settings=load(path, environment=os.environ, keywords=keywords))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.settings.general.method}>"

    create_otp = _blocking(AsyncPublisher.create_otp)
    verify_otp = _blocking(AsyncPublisher.verify_otp)
    resend_otp = _blocking(AsyncPublisher.resend_otp)
    cancel_otp = _blocking(AsyncPublisher.cancel_otp)
    send_sms = _blocking(AsyncPublisher.send_sms)
    send_email = _blocking(AsyncPublisher.send_email)
    send_message = _blocking(AsyncPublisher.send_message)
    block_msisdn = _blocking(AsyncPublisher.block_msisdn)
    unblock_msisdn = _blocking(AsyncPublisher.unblock_msisdn)
    get_modem_list = _blocking(AsyncPublisher.get_modem_list)
    request_ussd = _blocking(AsyncPublisher.request_ussd)
    request = _blocking(AsyncPublisher.request)

    def close(self) -> None:
        """Close all connections and the store, and end the thread; closing twice is fine."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and self._process == os.getpid():
            worker.close()

    def _in_this_process(self) -> "_Worker":
        """Return the worker; a new one in a process that was forked since."""
        if self._process != os.getpid():
            self._start_afresh()
        with self._lock:
            if self._worker is None:
                raise RuntimeError(f"{self!r} is closed.")
            return self._worker

    def _start_afresh(self) -> None:
        """Leave behind what a fork copied; the lock as well, since a thread that is not here may have held it."""
        _LEFT_BEHIND.append(self._worker)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._worker = _Worker(AsyncPublisher(settings=self.settings, clock=self._clock))


class _Worker:
    """An event loop in a thread, and the publisher that belongs to it."""

    def __init__(self, publisher: AsyncPublisher) -> None:
        self.publisher = publisher
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="otp-publisher", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine in the thread and return its result; interrupting the wait cancels it."""
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def close(self) -> None:
        """Close the publisher and end the thread."""
        self.run(self.publisher.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
