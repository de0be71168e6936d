"""Take commands over HTTP: what every server of ``/api/otp`` has in common.

A command is a POST or PUT with HTTP Basic, whatever the path below ``/api`` and the Content-Type. It is answered with
status 200 and a JSON object; other statuses mean that no command was carried out, and come with a JSON object too:

| status | ``response_code`` | because                                                      |
|--------|-------------------|--------------------------------------------------------------|
| 400    | 1102              | the body broke off, or is not framed as it should be         |
| 401    | 1100              | no credentials, two of them, or wrong ones                   |
| 404    | 1102              | another path                                                 |
| 405    | 1102              | another method                                               |
| 408    | 1102              | the body did not arrive in time                              |
| 413    | 1102              | the body is larger than ``max_body``                         |
| 415    | 1102              | the body is compressed                                       |
| 429    | 1102              | too many wrong passwords; come back after ``Retry-After``    |
| 500    | 1102              | a mistake of ours; the log has its kind                      |
| 503    | 1102              | too many log-ins are waiting; come back after ``Retry-After`` |
"""

import asyncio
import logging
import math
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from otp.accounts import Accounts, BusyError, ThrottledError
from otp.codes import ResponseCode
from otp.results import Result
from otp.roads import tls

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body: the longest mail, 100,000 characters, each as an escape sequence, fits."""

BODY_TIMEOUT = 15.0
"""Seconds a body may take to arrive."""

REQUEST_TIMEOUT = 75.0
"""Seconds that a connection may take for its first request line and headers, and for the next ones after an answer.
More than the 60 that nginx keeps an idle connection to a server, so that it is the proxy that closes first."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds of a TLS handshake."""

MAX_IDLE = 256
"""Connections at once that have no request under way: a quarter of the descriptors that a process usually has. The
journal, modems and mail need theirs too, and a stranger who connects and asks nothing must not take them."""

ROOM_AFTER = 5.0
"""Seconds after a connection was accepted that there are looked for too many: by then an honest one has asked."""

PATHS: Final = tuple(f"/api/{name}" for name in ("otp", "message", "sms", "email", "block", "unblock", "modem", "ussd"))
"""Where commands are accepted: the paths of the original OTP-Pi, all with the same meaning."""

METHODS: Final = ("POST", "PUT")

_CHALLENGE = 'Basic realm="otp", charset="UTF-8"'
_KEPT = (hdrs.ALLOW, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE, hdrs.ACCEPT_ENCODING)
_UNCOMPRESSED = frozenset({"", "identity"})
_BACKLOG: Final = 128
_SHUTDOWN = 5.0
"""Seconds that commands under way have when the server is told to stop."""


class _WithoutContent(logging.Filter):
    """Keep what clients sent out of the log: aiohttp logs the line of a malformed request, with a traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Drop what was answered 400; of anything else leave the kind."""
        kind = record.exc_info[0] if record.exc_info else None
        if kind is None or issubclass(kind, HttpProcessingError):
            return False
        record.msg, record.args, record.exc_info = "a connection failed: %s", (kind.__name__,), None
        return True


SERVER_LOG: Final = logging.getLogger("otp.http")
"""Where aiohttp's server logs what no handler of ours has caught."""
SERVER_LOG.addFilter(_WithoutContent())


def answer_in_json(
    failed: Callable[[Exception], None], refused: Callable[[str], None] = lambda _reason: None
) -> Middleware:
    """Return a middleware that gives every refusal a JSON body, and lets no text of an error inside reach a client.

    Args:
        failed: Told of every error that is a mistake of ours; its text may hold what a client sent.
        refused: Told the reason of every refusal, such as ``unauthorized``.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            answer = _refusal(error)
            refused(answer.reason or "")
            kept = {name: error.headers[name] for name in _KEPT if name in error.headers}
            return web.json_response(answer.to_dict(), status=error.status, headers=kept)
        except Exception as error:  # noqa: BLE001 - the last line of defence; the text of an error may hold anything
            failed(error)
            inside = Result("", ResponseCode.FAILED, reason="internal_error")
            return web.json_response(inside.to_dict(), status=500)

    return middleware


def _refusal(error: web.HTTPException) -> Result:
    reason = error.reason.lower().replace(" ", "_")
    if error.status == web.HTTPUnauthorized.status_code:
        return Result("", ResponseCode.UNAUTHORIZED, reason=reason)
    text = error.text if isinstance(error, RefusedError) else f"{error.reason}."
    return Result("", ResponseCode.FAILED, message=text or "", reason=reason)


class RefusedError(web.HTTPBadRequest):
    """A request that cannot be answered; the text says what is wrong with it."""


async def user_of(request: web.Request, accounts: Accounts) -> str:
    """Return the user that a request proves to come from.

    Raises:
        web.HTTPException: 401, 429 or 503.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    try:
        user = await accounts.user(headers[0], request.remote or "") if len(headers) == 1 else None
    except BusyError:
        raise web.HTTPServiceUnavailable(headers={hdrs.RETRY_AFTER: "1"}) from None
    except ThrottledError as error:
        wait = str(math.ceil(error.retry_after))
        raise web.HTTPTooManyRequests(headers={hdrs.RETRY_AFTER: wait}) from None
    if user is None:
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: _CHALLENGE})
    return user


async def body_of(request: web.Request) -> bytes:
    """Return the body of a command.

    Raises:
        web.HTTPException: 400, 405, 408, 413 or 415.
    """
    if request.method not in METHODS:
        raise web.HTTPMethodNotAllowed(request.method, METHODS)
    if request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() not in _UNCOMPRESSED:
        raise web.HTTPUnsupportedMediaType(headers={hdrs.ACCEPT_ENCODING: "identity"})
    if (request.content_length or 0) > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, ConnectionError):
        raise RefusedError(text="The body broke off.") from None


def server_tls(certificate: str | Path, key: str | Path | None = None) -> ssl.SSLContext:
    """Return the context of a server: TLS 1.2 or later.

    Args:
        certificate: PEM file with the chain.
        key: PEM file with the private key; ``None`` or empty when it stands in the same file.

    Raises:
        ConfigError: A file cannot be read or is not what it should be.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.show(made, certificate, key)
    return made


class Site:
    """An application that listens on an address.

    Of connections without a request under way the oldest are closed when there are more than ``MAX_IDLE``.

    Args:
        application: What answers.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        context: Of TLS; ``None`` for plain HTTP.
    """

    def __init__(
        self, application: web.Application, host: str, port: int, context: ssl.SSLContext | None = None
    ) -> None:
        application.middlewares.insert(0, self._note)
        # A body is refused before it is decompressed: 1 MiB may be a million times itself.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=SERVER_LOG,
            keepalive_timeout=REQUEST_TIMEOUT,
            shutdown_timeout=_SHUTDOWN,
            auto_decompress=False,
        )
        self._host = host
        self._port = port
        self._context = context
        self._listener: asyncio.Server | None = None
        self._busy: set[asyncio.BaseProtocol] = set()
        self._looking: asyncio.TimerHandle | None = None

    async def start(self) -> str:
        """Accept connections; return the URL without a path.

        Raises:
            OSError: The address cannot be listened on.
        """
        await self._runner.setup()
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._accept,
                self._host,
                self._port,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT if self._context else None,
                backlog=_BACKLOG,
            )
        except OSError:
            await self._runner.cleanup()
            raise
        shown = f"[{self._host}]" if ":" in self._host else self._host
        port = self._listener.sockets[0].getsockname()[1]
        return f"{'https' if self._context else 'http'}://{shown}:{port}"

    async def stop(self) -> None:
        """Accept no more; commands under way are finished."""
        if self._listener is not None:
            self._listener.close()
        if self._looking is not None:
            self._looking.cancel()
        await self._runner.cleanup()

    def _accept(self) -> asyncio.BaseProtocol:
        """Return what talks with a new connection, and see to it soon that there are not too many."""
        server = self._runner.server
        assert server is not None  # noqa: S101 - `start` has set it up
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(ROOM_AFTER, self._make_room, server)
        return server()

    def _make_room(self, server: web.Server) -> None:
        self._looking = None
        idle = [each for each in server.connections if each not in self._busy]
        for each in idle[: max(0, len(idle) - MAX_IDLE)]:
            each.force_close()

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know which connections have a request under way."""
        self._busy.add(request.protocol)
        try:
            return await handler(request)
        finally:
            self._busy.discard(request.protocol)
