"""Serve ``/api/otp``: codes, messages and block list for applications in any language, over any road.

It is asked like an OTP-Pi: POST or PUT a command as JSON, whatever the Content-Type, with HTTP Basic. The body decides
what is done, not the path. Every command is answered with status 200 and a JSON object; other statuses mean that no
command was carried out, see ``otp.http``.
"""

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

from htpasswd.file import PasswordFileError
from otp.accounts import Accounts
from otp.http import MAX_BODY, PATHS, Site, answer_in_json, body_of, user_of
from otp.incoming import ALIASES
from otp.messages import Command
from otp.publisher.client import AsyncPublisher
from otp.publisher.dispatch import carry_out
from otp.publisher.errors import ConfigError

_COMMANDS = frozenset({*Command, *ALIASES})
_LOGGER = "otp.publisher.server"
_LOG = logging.getLogger(_LOGGER)


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
        application = web.Application(client_max_size=max_body, middlewares=[answer_in_json(_failed)])
        for path in PATHS:
            application.router.add_route("*", path, self.command)
        application.router.add_get("/livez", _live)
        return application

    async def command(self, request: web.Request) -> web.Response:
        """Carry out one command."""
        user = await user_of(request, self._accounts)
        body = await body_of(request)
        started = time.perf_counter()
        answer = await carry_out(self._publisher, body, self._clock())
        duration = time.perf_counter() - started
        command = answer["command"] if answer["command"] in _COMMANDS else "unreadable"
        _LOG.info("%s for %r: %s in %.0f ms", command, user, answer["response_code"], duration * 1000)
        return web.json_response(answer)


async def _live(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _failed(error: Exception) -> None:
    _LOG.error("a command failed inside: %s", type(error).__name__)


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
        accounts = Accounts(password_file, logger=_LOGGER)
    except PasswordFileError as error:
        raise ConfigError(str(error)) from None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        site = Site(Service(publisher, accounts).application(max_body=max_body), host, port, tls)
        stack.push_async_callback(site.stop)
        ready(await site.start() + PATHS[0])
        await stop.wait()
