"""Talk to the service that runs on a data directory, from the same machine and account, without a password.

The service takes a lock on ``data_dir/lock``, so that no two work on one journal, and answers on the Unix socket
``data_dir/control.sock``, mode 0600: all that the HTTP server answers, and ``GET /status``.
"""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from otp.http import SERVER_LOG
from otp.pi.counts import Counts
from otp.pi.rest import Api, Ask, Journal
from otp.pi.status import Status
from otp.roads.errors import ConfigError

SOCKET: Final = "control.sock"
LOCK: Final = "lock"
ROAD: Final = "local"
"""What the journal calls commands that come over the socket."""

MAX_BODY: Final = 1024 * 1024
_COMMAND_PATH: Final = "/api/otp"
_CONNECT_TIME: Final = 5.0
_SHUTDOWN: Final = 5.0
"""Seconds that requests under way have at the end."""


class AlreadyRunningError(ConfigError):
    """Another process works on this data directory."""


class NotRunningError(Exception):
    """No service answers on this data directory; the text says what to do."""


class DirectoryLock:
    """A data directory that one process works on; the system lets go of it however the process ends.

    Args:
        directory: Made with mode 0700 where it is missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            AlreadyRunningError: Another process has it.
            ConfigError: The directory cannot be made or written to.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"data_dir {self._directory}: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise _running(self._directory, holder) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of it; the file stays, since another process may have it open already."""
        os.close(self._descriptor)


def _running(directory: Path, holder: str = "") -> AlreadyRunningError:
    who = f" (process {holder})" if holder else ""
    return AlreadyRunningError(f"otp-pi run is already running on data_dir {directory}{who}")


class Control:
    """The service's end of the socket.

    Args:
        directory: The data directory.
        ask: Carries out commands.
        status: How everybody is.
        journal: For what was done.
        counts: Where refusals and times are counted.
    """

    def __init__(self, directory: Path, ask: Ask, status: Status, journal: Journal, counts: Counts) -> None:
        self._directory = directory
        self._status = status
        application = Api(ask, status, journal, counts, road=ROAD).application(max_body=MAX_BODY)
        application.router.add_get("/status", self._whole)
        self._runner = web.AppRunner(
            application, access_log=None, logger=SERVER_LOG, shutdown_timeout=_SHUTDOWN, auto_decompress=False
        )

    async def start(self) -> Path:
        """Accept connections; return the path of the socket. What a dead process left there is replaced.

        Raises:
            AlreadyRunningError: Another process answers there.
            ConfigError: The socket cannot be made.
        """
        path = self._directory / SOCKET
        try:
            listener = _listen(path)
        except OSError as error:
            raise ConfigError(f"control socket {path}: {error.strerror or error}") from None
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        return path

    async def stop(self) -> None:
        """Accept no more; requests under way are answered."""
        await self._runner.cleanup()
        (self._directory / SOCKET).unlink(missing_ok=True)

    async def _whole(self, _request: web.Request) -> web.Response:
        return web.json_response((await self._status.snapshot()).to_dict(), dumps=_dumps)


def _dumps(value: Any) -> str:
    return json.dumps(value, default=str)  # a field of an event may be a path, say


def _listen(path: Path) -> socket.socket:
    if _answers(path):
        raise _running(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), 0o600)  # before bind: there is no moment at which others may connect (Linux)
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


class ControlClient:
    """The other end of the socket.

    Args:
        directory: The data directory.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOCKET
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Have a command carried out and return its answer; waits as long as the service does.

        Raises:
            NotRunningError: No service answers.
        """
        return await self._ask("POST", _COMMAND_PATH, json=command)

    async def get(self, path: str) -> dict[str, Any]:
        """Return what the service answers to a path such as ``/status`` or ``/api/journal?limit=5``.

        Raises:
            NotRunningError: No service answers.
        """
        return await self._ask("GET", path)

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            async with self._opened().request(method, f"http://control{path}", **more) as response:
                answer: dict[str, Any] = await response.json()
                return answer
        except aiohttp.ClientConnectorError as error:
            raise NotRunningError(self._explain(error)) from None
        except aiohttp.ClientError:
            raise NotRunningError("otp-pi run ended before it answered; the journal has what it did") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIME)
            self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self._path)), timeout=timeout)
        return self._session

    def _explain(self, error: aiohttp.ClientConnectorError) -> str:
        if error.errno in {errno.EACCES, errno.EPERM}:
            return f"{self._path} may not be used: run this as the account that otp-pi run runs as, or as root"
        return f"otp-pi run is not running on data_dir {self._path.parent}; start it, or give the --config it runs with"
