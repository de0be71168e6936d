"""The broker as one object: compose, listen, tick, reload, drain."""

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

from broker.accounts import AccountFile
from broker.admin import HTTP_LOGGER, Admin
from broker.config import load_settings
from broker.core import Core
from broker.deadlines import RESOLUTION
from broker.drain import cut, drain
from broker.errors import CREDENTIALS_REVOKED, ORIGIN_REVOKED, RESTART, SHUTDOWN
from broker.gate import Gate
from broker.handshake import Handshake
from broker.listener import Listener, bind_hosts, bind_unix, notice_dead_links
from broker.logs import Log, set_level
from broker.notify import Notifier
from broker.request import is_listed_origin
from broker.settings import Settings, about
from broker.tls import TlsError, load_certificate, make_context
from htpasswd.lines import Accounts

LOG: Final = Log()
SPARE_DESCRIPTORS: Final = 64
"""Kept free of clients: listeners, logs, the password file, the admin listener's own clients."""
LAST_DESCRIPTORS: Final = 24
"""Accepting pauses when so few are left."""
WARN_EVERY: Final = 60.0
"""Seconds between two log lines that accepting pauses."""
LAG_WINDOW: Final = 10.0
"""Seconds over which the worst lateness of the loop is reported."""


def descriptor_limit() -> int:
    """Return how many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class WSMessageBroker:
    """A broker in this process.

    >>> async with WSMessageBroker(password_file=".htpasswd", port=0, admin_port=0) as broker:
    ...     print(broker.url)

    Args:
        settings: as loaded; without them the keyword arguments are settings by name.
        inherited: listening sockets of a service manager, in place of `host`, `port` and `socket_path`.
        notifier: told when it is ready and when it stops.
        reload_settings: gives the settings anew for `reload`.
        values: settings by name, such as `port=0`.

    Raises:
        broker.config.ConfigError: a setting is unknown or out of bounds.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        inherited: Sequence[socket.socket] = (),
        notifier: Notifier | None = None,
        reload_settings: Callable[[], Settings] | None = None,
        **values: Any,
    ) -> None:
        self.settings = settings or load_settings(values)
        self.inherited = list(inherited)
        self.notifier = notifier or Notifier({})
        self.reload_settings = reload_settings or (lambda: self.settings)
        self.core: Core
        self.accounts: AccountFile
        self.listener: Listener
        self._context: ssl.SSLContext | None = None
        self._admin: web.AppRunner | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._next_second = 0.0
        self._next_alive = 0.0
        self._lag_since = 0.0
        self._next_paused = 0.0
        self._stopped = False

    # -- starting

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            broker.listener.ListenError: an address cannot be listened on.
            broker.tls.TlsError: certificate or key cannot be used.
        """
        settings, loop = self.settings, asyncio.get_running_loop()
        if settings.tls_certificate:
            self._context = make_context(settings.tls_certificate, settings.tls_key)
        self.core = Core(settings, loop, max_connections=self._room(settings))
        sockets = self._bind()
        own_path = "" if self.inherited else settings.socket_path
        self.listener = Listener(
            sockets,
            lambda line, address: Handshake(self.core, address, line),
            self._context,
            settings.handshake_timeout,
            own_path,
            Gate(self.core),
        )
        self.core.on_change = self._watch_descriptors
        self.accounts = AccountFile(Path(settings.password_file), self.core.counters, self._take_accounts)
        self.accounts.start(self.core.clock(), allow_plaintext=settings.allow_plaintext)
        try:
            await self._start_admin()
            self.listener.resume()
        except BaseException:
            self.listener.close()
            await self._stop_admin()
            self.core.auth.close()
            raise
        self._next_second = self.core.clock() + 1.0
        self._tick_later()
        LOG.info("listening", on=" ".join(self.addresses), admin=self.admin_url or "off", loop=self.loop_name)
        self.notifier.ready(f"listening on {' '.join(self.addresses)}")

    def _room(self, settings: Settings) -> int:
        possible = max(1, descriptor_limit() - SPARE_DESCRIPTORS)
        if settings.max_connections > possible:
            LOG.warning(
                "max_connections_cut",
                wanted=settings.max_connections,
                possible=possible,
                advice="raise the descriptor limit (LimitNOFILE=, ulimit -n)",
            )
        return min(settings.max_connections or possible, possible)

    def _bind(self) -> list[socket.socket]:
        if self.inherited:
            for each in self.inherited:
                notice_dead_links(each)
            return self.inherited
        sockets = bind_hosts(self.settings.host, self.settings.port)
        if self.settings.socket_path:
            try:
                sockets.append(bind_unix(self.settings.socket_path))
            except BaseException:
                for each in sockets:
                    each.close()
                raise
        return sockets

    async def _start_admin(self) -> None:
        settings = self.settings
        if not settings.admin_port:
            return
        admin = Admin(self.core, lambda: self.listener.accepting, self.loop_name)
        self._admin = web.AppRunner(
            admin.application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            logger=HTTP_LOGGER,
            auto_decompress=False,  # a stranger's 200 KB would become 200 MB before anybody asks who it is
        )
        await self._admin.setup()
        for each in bind_hosts([settings.admin_host], settings.admin_port, "--admin-port"):
            await web.SockSite(self._admin, each).start()

    async def _stop_admin(self) -> None:
        if self._admin is not None:
            await self._admin.cleanup()
            self._admin = None

    # -- where it is

    @property
    def loop_name(self) -> str:
        """The event loop's package: uvloop or asyncio."""
        return type(self.core.loop).__module__.partition(".")[0]

    @property
    def addresses(self) -> list[str]:
        """Where clients connect to: `127.0.0.1:9000`, `[::1]:9000`, a path."""
        return [_place(each) for each in self.listener.sockets]

    @property
    def port(self) -> int:
        """The TCP port, useful after `port=0`; 0 when only a Unix socket listens."""
        return next((each.getsockname()[1] for each in self.listener.sockets if each.family != socket.AF_UNIX), 0)

    @property
    def url(self) -> str:
        """URL of the WebSocket on the first address."""
        scheme = "wss" if self._context else "ws"
        return f"{scheme}://{self.addresses[0]}{self.settings.path}"

    @property
    def admin_port(self) -> int:
        """The admin listener's port; 0 when it is off."""
        addresses = self._admin.addresses if self._admin else []
        return int(addresses[0][1]) if addresses else 0

    @property
    def admin_url(self) -> str:
        """URL of the admin listener; empty when it is off."""
        if not self.admin_port:
            return ""
        host = self.settings.admin_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.admin_port}"

    # -- running

    def _tick_later(self) -> None:
        due = self.core.loop.time() + RESOLUTION
        self._ticker = self.core.loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        try:
            now = self.core.clock()
            self._note_lag(self.core.loop.time() - due, now)
            self.core.tick(now)
            if now >= self._next_second:
                self._next_second = now + 1.0
                self.core.check_behind(now)
                self.accounts.watch(now, allow_plaintext=self.settings.allow_plaintext)
            if self.notifier.watchdog and now >= self._next_alive:
                self._next_alive = now + self.notifier.watchdog
                self.notifier.alive()
        finally:
            if not self._stopped:
                self._tick_later()

    def _note_lag(self, lag: float, now: float) -> None:
        counters = self.core.counters
        if now - self._lag_since > LAG_WINDOW:
            self._lag_since, counters.lag = now, 0.0
        counters.lag = max(counters.lag, lag)

    def _watch_descriptors(self) -> None:
        """Pause accepting when descriptors run out, go on when some are free."""
        room = descriptor_limit() - self.core.census.open
        if self.listener.accepting and room <= LAST_DESCRIPTORS:
            self._say_paused()
            self.listener.pause()
        elif not self.listener.accepting and room > 2 * LAST_DESCRIPTORS and not self._stopped:
            self._resume_accepting()

    def _say_paused(self) -> None:
        now = self.core.clock()
        if now >= self._next_paused:
            self._next_paused = now + WARN_EVERY
            LOG.error(
                "accepting_paused",
                open=self.core.census.open,
                limit=descriptor_limit(),
                advice="raise the descriptor limit (LimitNOFILE=, ulimit -n) or set max_connections",
            )

    def _resume_accepting(self) -> None:
        if self.core.draining and self.inherited:
            return
        try:
            self.listener.resume()
            LOG.debug("accepting_resumed", open=self.core.census.open)
        except OSError as error:
            LOG.error("accepting_failed", error=error.strerror)

    # -- reloading

    async def reload(self) -> bool:
        """Take over settings, certificate and password file anew; what is no good leaves the old in place.

        Returns:
            Whether all of it was taken.
        """
        self.notifier.reloading()
        results = [self._reload_settings(), self._reload_certificate()]
        results.append(self.accounts.reload(self.core.clock(), allow_plaintext=self.settings.allow_plaintext))
        self.notifier.ready(f"listening on {' '.join(self.addresses)}")
        return all(results)

    def _reload_settings(self) -> bool:
        counters = self.core.counters
        try:
            wanted = self.reload_settings()
        except ValueError as error:
            counters.reloads["error"] += 1
            LOG.error("settings_not_taken", problem=str(error), advice="the settings stay as they were")
            return False
        fixed = {name: getattr(self.settings, name) for name in Settings.model_fields if not about(name).reload}
        for name, value in fixed.items():
            if getattr(wanted, name) != value:
                LOG.warning("setting_needs_restart", setting=name)
        self.settings = wanted.model_copy(update=fixed)
        self.core.reconfigure(self.settings)
        self.core.census.max_connections = self._room(self.settings)
        set_level(self.settings.log_level)
        self._close_revoked_origins()
        counters.reloads["ok"] += 1
        LOG.info("settings_loaded")
        return True

    def _reload_certificate(self) -> bool:
        if self._context is None:
            return True
        try:
            load_certificate(self._context, self.settings.tls_certificate, self.settings.tls_key)
        except TlsError as error:
            self.core.counters.reloads["error"] += 1
            LOG.error("certificate_not_taken", problem=str(error), advice="the certificate stays as it was")
            return False
        self.core.counters.reloads["ok"] += 1
        LOG.info("certificate_loaded")
        return True

    def _take_accounts(self, accounts: Accounts) -> None:
        """Close only those whose own line changed or vanished."""
        before = self.core.auth.accounts
        self.core.auth.replace(accounts)
        changed = {user for user, stored in before.items() if accounts.get(user) != stored}
        if changed:
            for member in self.core.everyone():
                if member.user in changed:
                    member.close(CREDENTIALS_REVOKED, "the account's line in the password file changed")

    def _close_revoked_origins(self) -> None:
        for member in self.core.everyone():
            if member.origin is not None and not is_listed_origin(member.origin, self.settings.allowed_origins):
                member.close(ORIGIN_REVOKED, "allowed_origins no longer has this page's origin")

    # -- stopping

    async def drain(self) -> None:
        """Let everybody go, as `drain_time` says; new clients get 503, or wait for the next process."""
        core = self.core
        if core.draining:
            return
        core.draining = True
        core.draining_retry = self.settings.drain_time + 1
        self.notifier.stopping()
        LOG.info("draining", connections=core.census.open, seconds=self.settings.drain_time)
        if self.inherited:
            self.listener.pause()
        await drain(core, RESTART if self.inherited else SHUTDOWN, self.settings.drain_time)

    async def stop(self) -> None:
        """Drain, then let go of everything; safe to call twice."""
        if self._stopped or not hasattr(self, "accounts"):
            return
        await self.drain()
        await self.end()

    async def end(self) -> None:
        """Let go of everything now."""
        if self._stopped:
            return
        self._stopped = True
        if self._ticker is not None:
            self._ticker.cancel()
        self.listener.close()
        await cut(self.core)
        await self._stop_admin()
        self.core.auth.close()
        LOG.info("stopped")


def _place(each: socket.socket) -> str:
    name = each.getsockname()
    if each.family == socket.AF_UNIX:
        return os.fsdecode(name)
    return f"[{name[0]}]:{name[1]}" if each.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"
