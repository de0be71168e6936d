"""Serve ``/api/otp``: codes, messages and block list for applications in any language, over any road.

It is asked like an OTP-Pi: POST or PUT a command as JSON, whatever the Content-Type, with HTTP Basic. The body decides
what is done, not the path. Every command is answered with status 200 and a JSON object; other statuses mean that no
command was carried out:

| status | ``response_code`` | because                                              |
|--------|-------------------|------------------------------------------------------|
| 401    | 1100              | no credentials, or wrong ones                        |
| 404    | 1102              | another path                                         |
| 405    | 1102              | another method                                       |
| 408    | 1102              | the body did not arrive in time                      |
| 413    | 1102              | the body is larger than ``max_body``                 |
| 503    | 1102              | too many log-ins are waiting                         |
"""

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from htpasswd.file import PasswordFileError
from otp.codes import ResponseCode
from otp.incoming import ALIASES
from otp.messages import Command
from otp.publisher.accounts import Accounts, BusyError
from otp.publisher.client import AsyncPublisher
from otp.publisher.dispatch import carry_out
from otp.publisher.errors import ConfigError
from otp.results import Result

MAX_BODY = 1024 * 1024
"""Bytes of a body: the longest mail, 100,000 characters, each as an escape sequence, fits."""

BODY_TIMEOUT = 15.0
"""Seconds a body may take to arrive."""

PATHS = tuple(f"/api/{name}" for name in ("otp", "message", "sms", "email", "block", "unblock", "modem", "ussd"))
"""Where commands are accepted: the paths of an OTP-Pi, all with the same meaning."""

_METHODS = ("POST", "PUT")
_COMMANDS = frozenset({*Command, *ALIASES})
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="otp", charset="UTF-8"'}
_SHUTDOWN = 5.0
"""Seconds that commands under way have when the server is told to stop."""

_LOG = logging.getLogger("otp.publisher.server")


class Service:
    """The handlers.

    Args:
        publisher: What does the work.
        accounts: Who may ask.
        clock: Returns Unix seconds.
    """

    def __init__(
        self, publisher: AsyncPublisher, accounts: Accounts, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._publisher = publisher
        self._accounts = accounts
        self._clock = clock

    def application(self, *, max_body: int = MAX_BODY) -> web.Application:
        """Return the web application."""
        application = web.Application(client_max_size=max_body, middlewares=[_answer_in_json])
        for path in PATHS:
            application.router.add_route("*", path, self.command)
        application.router.add_get("/livez", _live)
        return application

    async def command(self, request: web.Request) -> web.Response:
        """Carry out one command."""
        user = await self._user(request)
        if user is None:
            refused = Result("", ResponseCode.UNAUTHORIZED, reason="unauthorized")
            return _json(refused, 401, _CHALLENGE)
        if request.method not in _METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        started = time.perf_counter()
        answer = await carry_out(self._publisher, body, self._clock())
        duration = time.perf_counter() - started
        command = answer["command"] if answer["command"] in _COMMANDS else "unreadable"
        _LOG.info("%s for %r: %s in %.0f ms", command, user, answer["response_code"], duration * 1000)
        return web.json_response(answer)

    async def _user(self, request: web.Request) -> str | None:
        headers = request.headers.getall("Authorization", [])
        if len(headers) != 1:
            return None
        try:
            return await self._accounts.user(headers[0])
        except BusyError:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"}) from None


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _answer_in_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give every refusal a JSON body; let nothing that went wrong inside reach a client or a log in full."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        kept = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
        text = f"{error.reason}."
        result = Result("", ResponseCode.FAILED, message=text, reason=error.reason.lower().replace(" ", "_"))
        return _json(result, error.status, kept)
    except Exception as error:  # noqa: BLE001 - the last line of defence; the text of an error may hold anything
        _LOG.error("a command failed inside: %s", type(error).__name__)
        return _json(Result("", ResponseCode.FAILED, reason="internal_error"), 500)


def _json(result: Result, status: int, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(result.to_dict(), status=status, headers=headers)


async def serve(
    publisher: AsyncPublisher,
    password_file: Path,
    *,
    host: str,
    port: int,
    max_body: int = MAX_BODY,
    tls: ssl.SSLContext | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until TERM or INT; commands under way are finished.

    Args:
        publisher: What does the work.
        password_file: Who may ask.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        max_body: Bytes of a body at most.
        tls: Server context; ``None`` for plain HTTP.
        ready: Called with the URL once connections are accepted.

    Raises:
        ConfigError: The password file cannot be used.
        OSError: The address cannot be listened on.
    """
    try:
        accounts = Accounts(password_file)
    except PasswordFileError as error:
        raise ConfigError(str(error)) from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        application = Service(publisher, accounts).application(max_body=max_body)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        bound = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        ready(f"{'https' if tls else 'http'}://{shown}:{bound}{PATHS[0]}")
        await stop.wait()
