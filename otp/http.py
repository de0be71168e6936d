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
import math
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from otp.accounts import Accounts, BusyError, ThrottledError
from otp.codes import ResponseCode
from otp.results import Result
from otp.roads import tls

MAX_BODY: Final = 1024 * 1024
"""Bytes of a body: the longest mail, 100,000 characters, each as an escape sequence, fits."""

BODY_TIMEOUT = 15.0
"""Seconds a body may take to arrive."""

PATHS: Final = tuple(f"/api/{name}" for name in ("otp", "message", "sms", "email", "block", "unblock", "modem", "ussd"))
"""Where commands are accepted: the paths of the original OTP-Pi, all with the same meaning."""

METHODS: Final = ("POST", "PUT")

_CHALLENGE = 'Basic realm="otp", charset="UTF-8"'
_KEPT = (hdrs.ALLOW, hdrs.RETRY_AFTER, hdrs.WWW_AUTHENTICATE, hdrs.ACCEPT_ENCODING)
_UNCOMPRESSED = frozenset({"", "identity"})
_SHUTDOWN = 5.0
"""Seconds that commands under way have when the server is told to stop."""


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

    Args:
        application: What answers.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        context: Of TLS; ``None`` for plain HTTP.
    """

    def __init__(
        self, application: web.Application, host: str, port: int, context: ssl.SSLContext | None = None
    ) -> None:
        # A body is refused before it is decompressed: 1 MiB may be a million times itself.
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN, auto_decompress=False)
        self._host = host
        self._port = port
        self._context = context

    async def start(self) -> str:
        """Accept connections; return the URL without a path.

        Raises:
            OSError: The address cannot be listened on.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._context).start()
        except OSError:
            await self._runner.cleanup()
            raise
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._context else 'http'}://{shown}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Accept no more; commands under way are finished."""
        await self._runner.cleanup()
