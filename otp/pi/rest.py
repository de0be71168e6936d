"""Serve commands and the state of things over HTTP.

| method, path                              | account | answered with                                             |
|-------------------------------------------|---------|-----------------------------------------------------------|
| POST, PUT ``/api/otp`` and its synonyms   | yes     | 200 and the answer to the command; else see ``otp.http``  |
| GET ``/api/journal``                      | yes     | rows, without bodies: ``?limit= before= after= state=``   |
| GET ``/api/inbox``                        | yes     | SMS that were received, the newest first: ``?limit=``     |
| GET ``/api/blocked``                      | yes     | the block list                                            |
| GET ``/livez``                            | no [1]  | 200                                                       |
| GET ``/readyz``                           | no [1]  | 200, or 503 with the reasons                              |
| GET ``/metrics``                          | no [1]  | Prometheus' text format                                   |

[1] yes with ``metrics_open = false``. Which command is meant stands in the body, never in the path.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import web

from broker.logs import Log, describe
from htpasswd.file import PasswordFileError
from otp.accounts import Accounts
from otp.http import PATHS, RefusedError, Site, answer_in_json, body_of, server_tls, user_of
from otp.pi import metrics, settings
from otp.pi.counts import Counts
from otp.pi.journal import StorageError
from otp.pi.model import Origin, State
from otp.pi.status import Status
from otp.roads import tls
from otp.roads.errors import ConfigError

Ask = Callable[[bytes, Origin], Awaitable[dict[str, Any]]]
"""Carries out a command and returns its answer."""

MAX_ROWS: Final = 1000
"""Rows of the journal in one answer at most, about 400 bytes each."""

_ROWS: Final = 100
"""Rows where the request does not say."""

_STATES: Final = frozenset(map(str, State))
_LOG: Final = Log("otp.pi")


class Shown(Protocol):
    """Something that can be written as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Return it by name."""
        ...


class Journal(Protocol):
    """What is needed of the journal."""

    async def rows(self, *, limit: int, before: int | None, after: int | None, state: State | None) -> Sequence[Shown]:
        """Return rows, without bodies."""
        ...

    async def inbox(self, limit: int) -> Sequence[Shown]:
        """Return SMS that were received."""
        ...

    async def blocked(self) -> Sequence[Shown]:
        """Return the block list."""
        ...


class Api:
    """The handlers.

    Args:
        ask: Carries out commands.
        status: How everybody is.
        journal: For what was done.
        counts: Where refusals and times are counted.
        accounts: Who may ask; ``None`` where whoever gets here may.
        open_health: Whether health and metrics need no account.
        road: What the journal calls this way in.
    """

    def __init__(
        self,
        ask: Ask,
        status: Status,
        journal: Journal,
        counts: Counts,
        *,
        accounts: Accounts | None = None,
        open_health: bool = True,
        road: str = "rest",
    ) -> None:
        self._ask = ask
        self._status = status
        self._journal = journal
        self._counts = counts
        self._accounts = accounts
        self._open_health = open_health
        self._road = road

    def application(self, *, max_body: int) -> web.Application:
        """Return the web application."""
        application = web.Application(client_max_size=max_body, middlewares=[answer_in_json(_failed, self._refused)])
        for path in PATHS:
            application.router.add_route("*", path, self.command)
        for path, handler in (("journal", self.rows), ("inbox", self.inbox), ("blocked", self.blocked)):
            application.router.add_get(f"/api/{path}", handler)
        for path, handler in (("livez", self.live), ("readyz", self.ready), ("metrics", self.metrics)):
            application.router.add_get(f"/{path}", handler)
        return application

    async def command(self, request: web.Request) -> web.Response:
        """Carry out one command."""
        user = await self._user(request)
        body = await body_of(request)
        loop = asyncio.get_running_loop()
        started = loop.time()
        answer = await self._ask(body, Origin(road=self._road, user=user))
        self._counts.answer.observe(loop.time() - started)
        return web.json_response(answer)

    async def rows(self, request: web.Request) -> web.Response:
        """Return rows of the journal: the newest, those before a number, or those after one."""
        await self._user(request)
        _know(request, "limit", "before", "after", "state")
        state = request.query.get("state")
        if state is not None and state not in _STATES:
            raise RefusedError(text=f"state must be one of {', '.join(State)}.")
        rows = self._journal.rows(
            limit=_number(request, "limit", 1, MAX_ROWS) or _ROWS,
            before=_number(request, "before"),
            after=_number(request, "after"),
            state=None if state is None else State(state),
        )
        return await _shown(rows)

    async def inbox(self, request: web.Request) -> web.Response:
        """Return SMS that were received."""
        await self._user(request)
        _know(request, "limit")
        return await _shown(self._journal.inbox(_number(request, "limit", 1, MAX_ROWS) or _ROWS))

    async def blocked(self, request: web.Request) -> web.Response:
        """Return the block list."""
        await self._user(request)
        _know(request)
        return await _shown(self._journal.blocked())

    async def live(self, request: web.Request) -> web.Response:
        """Say that the process is alive."""
        await self._health(request)
        return web.json_response({"status": "ok"})

    async def ready(self, request: web.Request) -> web.Response:
        """Say whether all that is configured works."""
        await self._health(request)
        ready, reasons = await self._status.ready()
        if ready:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "reasons": reasons}, status=503)

    async def metrics(self, request: web.Request) -> web.Response:
        """Write the metrics."""
        await self._health(request)
        text = metrics.render(self._counts, await self._status.snapshot())
        return web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def _user(self, request: web.Request) -> str:
        return "" if self._accounts is None else await user_of(request, self._accounts)

    async def _health(self, request: web.Request) -> None:
        if not self._open_health:
            await self._user(request)

    def _refused(self, reason: str) -> None:
        self._counts.rejected[reason] += 1


def _failed(error: Exception) -> None:
    _LOG.error("request_failed", error=describe(error))


async def _shown(asked: Awaitable[Sequence[Shown]]) -> web.Response:
    """Answer with what the journal returns.

    Raises:
        web.HTTPServiceUnavailable: It cannot be read.
    """
    try:
        rows = [each.to_dict() for each in await asked]
    except StorageError as error:
        _LOG.error("journal_unavailable", error=str(error))
        raise web.HTTPServiceUnavailable(headers={"Retry-After": "5"}) from None
    return web.json_response({"rows": rows})


def _know(request: web.Request, *names: str) -> None:
    """Refuse parameters that mean nothing, and those that come twice."""
    for name in request.query:
        if name not in names:
            known = f"known are {', '.join(names)}" if names else "there are none"
            raise RefusedError(text=f"Unknown parameter {name[:40]}: {known}.")
        if len(request.query.getall(name)) > 1:
            raise RefusedError(text=f"{name} may be given once.")


def _number(request: web.Request, name: str, lowest: int = 0, highest: int = 2**63 - 1) -> int | None:
    """Return a parameter as a number; ``None`` when it was not given."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and lowest <= int(text) <= highest):  # noqa: PLR2004 - digits of 2**63
        raise RefusedError(text=f"{name} must be a whole number from {lowest} to {highest}.")
    return int(text)


class Rest:
    """The HTTP server.

    Args:
        given: The table ``[rest]``.
        ask: Carries out commands.
        status: How everybody is.
        journal: For what was done.
        counts: Where refusals and times are counted.

    Raises:
        ConfigError: The password file, the certificate or its key cannot be used.
    """

    def __init__(self, given: settings.Rest, ask: Ask, status: Status, journal: Journal, counts: Counts) -> None:
        try:
            accounts = Accounts(Path(given.password_file), logger="otp.pi")
        except PasswordFileError as error:
            raise ConfigError(f"rest: {error}") from None
        self._given = given
        self._context = server_tls(given.tls_certificate, given.tls_key) if given.tls_certificate else None
        api = Api(ask, status, journal, counts, accounts=accounts, open_health=given.metrics_open)
        self._site = Site(api.application(max_body=given.max_body), given.host, given.port, self._context)

    async def start(self) -> str:
        """Accept connections; return the URL.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        try:
            return await self._site.start()
        except OSError as error:
            place = f"{self._given.host} port {self._given.port}"
            raise ConfigError(f"rest: cannot listen on {place}: {error.strerror or error}") from None

    async def stop(self) -> None:
        """Accept no more; requests under way are answered."""
        await self._site.stop()

    def reload(self) -> None:
        """Show the certificate that the files hold now; one that cannot be used leaves the old one in place."""
        if self._context is None:
            return
        certificate, key = self._given.tls_certificate, self._given.tls_key
        try:
            server_tls(certificate, key)  # on trial: a context that took half of a pair would show nothing any more
            tls.show(self._context, certificate, key)
        except ConfigError as error:
            _LOG.error("certificate_kept", reason=str(error))
        else:
            _LOG.info("certificate_loaded", file=certificate)
