"""Listening sockets: both loopbacks for `localhost`, Unix sockets, inherited ones; accepting can pause and resume."""

import asyncio
import errno
import os
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from broker.logs import Log

LOG: Final = Log()
BACKLOG: Final = 4096
"""Connections the kernel keeps until they are accepted: a restart storm of 4,000 clients loses nobody."""
ACCEPTS_A_TURN: Final = 8
"""Connections that `Acceptor` takes before the loop runs anything else, so that accepting pauses in time."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of accept(2) that say that the machine is at its end, not the connection."""
RETRY_AFTER: Final = 1.0
"""Seconds until accepting is tried again after one of them."""
DEAD_LINK: Final = 60_000
"""TCP_USER_TIMEOUT in ms: sent bytes that nobody's kernel acknowledges for so long mean a dead link. A busy client's
kernel still acknowledges, so this never cuts one that is merely slow."""


class ListenError(Exception):
    """Say why an address cannot be listened on."""


def bind_hosts(hosts: Sequence[str], port: int, option: str = "--port") -> list[socket.socket]:
    """Bind every host to one port; `localhost` means 127.0.0.1 and, where there is one, ::1.

    Args:
        hosts: names or addresses.
        port: 0 takes a free one, the same for all.
        option: what the user changes when it is taken.

    Raises:
        ListenError: an address is unknown or taken.
    """
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            for family, address, optional in _addresses(host):
                bound = _bind(family, address, port, option, optional=optional)
                if bound is not None:
                    sockets.append(bound)
                    port = port or bound.getsockname()[1]
    except ListenError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _addresses(host: str) -> list[tuple[int, str, bool]]:
    if host == "localhost":  # not left to the resolver: many hosts files know one of the two only
        return [(socket.AF_INET, "127.0.0.1", False), (socket.AF_INET6, "::1", True)]
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(
            f"cannot listen on host {host!r}: {error.strerror}; give an address of this machine"
        ) from None
    return list(dict.fromkeys((family, str(address[0]), False) for family, *_, address in found))


def _bind(family: int, address: str, port: int, option: str, *, optional: bool) -> socket.socket | None:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        notice_dead_links(bound)
        bound.setblocking(False)
        bound.bind((address, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        if optional and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            return None
        raise ListenError(_why(address, port, option, error)) from None
    return bound


def notice_dead_links(listening: socket.socket) -> None:
    """Set TCP_USER_TIMEOUT on a listening socket; what it accepts inherits it."""
    if listening.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_LINK)


def _why(address: str, port: int, option: str, error: OSError) -> str:
    place = f"{address} port {port}"
    if error.errno == errno.EADDRINUSE:
        return f"cannot listen on {place}: another process listens there; stop it, or choose another {option}"
    if error.errno == errno.EACCES:
        return f"cannot listen on {place}: ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)"
    return f"cannot listen on {place}: {error.strerror}"


def bind_unix(path: str) -> socket.socket:
    """Bind a Unix socket, in place of one that a dead process left behind.

    Raises:
        ListenError: the path is in use or cannot be made.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        bound.setblocking(False)
        bound.bind(path)
        os.chmod(path, 0o666)  # noqa: PTH101, S103 - a proxy is another user; credentials are asked for all the same
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise ListenError(f"cannot listen on socket_path {path}: {error.strerror or error}") from None
    except ListenError:
        bound.close()
        raise
    return bound


def _remove_stale(path: str) -> None:
    try:
        kind = Path(path).stat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(kind):
        raise ListenError(f"cannot listen on socket_path {path}: a file that is no socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - the counterpart of bind
            return
    raise ListenError(f"cannot listen on socket_path {path}: another process listens there")


Factory: TypeAlias = Callable[[socket.socket, str], asyncio.Protocol]
"""Makes the protocol of an accepted socket, given the socket and its peer's address (`unix` without one)."""


class Counter(Protocol):
    """Who is told of a socket before its TLS handshake."""

    def enter(self, address: str) -> bool:
        """Tell whether the socket may begin its handshake."""

    def fail(self, address: str, error: Exception) -> None:
        """Be told that the handshake failed."""

    def make_protocol(self, line: socket.socket, address: str) -> asyncio.Protocol:
        """Make the protocol of a socket that was let in, and counted."""


class Acceptor:
    """Accept without the loop's server.

    A loop's server keeps the sockets to itself, and `Connection` sends on them directly. Besides, asyncio's cuts off,
    when closed, those it has just accepted; and neither tells anybody of a socket until its TLS handshake is over.

    Args:
        loop: the running loop.
        listening: the socket; closed with this object.
        factory: makes protocols.
        tls: the TLS arguments of `loop.connect_accepted_socket`; empty for none.
        gate: asked before a TLS handshake; None without TLS.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        factory: Factory,
        tls: dict[str, Any],
        gate: Counter | None,
    ) -> None:
        self.gate = gate
        self.loop = loop
        self.listening = listening
        self.factory = factory
        self.tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        loop.add_reader(listening, self._accept)

    def _accept(self) -> None:
        # A socket is counted two turns later, when its protocol begins (with a gate: at once), so those on their way
        # take places of this turn. Else accepting pauses 12 descriptors too late, and the admin listener has none.
        waiting = 0 if self.gate is not None else len(self._opening)
        for _ in range(ACCEPTS_A_TURN - waiting):
            try:
                accepted, address = self.listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:  # it would fail again at once, and at full speed
                    self.loop.remove_reader(self.listening)
                    self._retry = self.loop.call_later(RETRY_AFTER, self.loop.add_reader, self.listening, self._accept)
                    return
                continue  # this one hung up before its turn
            accepted.setblocking(False)
            self._begin(accepted, str(address[0]) if isinstance(address, tuple) else "unix")

    def _begin(self, accepted: socket.socket, address: str) -> None:
        if self.gate is not None and not self.gate.enter(address):
            accepted.close()
            return
        task = self.loop.create_task(self._open(accepted, address))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, address: str) -> None:
        try:
            make = partial(self.factory, accepted, address)
            await self.loop.connect_accepted_socket(make, accepted, **self.tls)
        except (OSError, TimeoutError) as error:
            accepted.close()
            if self.gate is not None:
                self.gate.fail(address, error)

    def close(self) -> None:
        """Stop accepting; who is accepted stays."""
        if self._retry is not None:
            self._retry.cancel()
        self.loop.remove_reader(self.listening)
        self.listening.close()


class Listener:
    """Accept connections on some sockets, with pauses.

    A loop's server cannot pause, and out of descriptors both loops misbehave: asyncio logs each try (14 MB in 3 s),
    uvloop drops the client in silence. So whoever accepts gets a duplicate of each socket, which can be closed and made
    again while the kernel keeps who comes meanwhile.

    Args:
        sockets: bound and listening; closed by `close`.
        factory: makes protocols.
        context: TLS for TCP sockets, which then come in by the gate.
        handshake_timeout: seconds for the TLS handshake.
        own_path: file of a Unix socket that goes with the listener; inherited ones stay.
        gate: counts sockets before their TLS handshake; needed with a context.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        factory: Factory,
        context: ssl.SSLContext | None,
        handshake_timeout: float,
        own_path: str = "",
        gate: Counter | None = None,
    ) -> None:
        self.own_path = own_path
        self.gate = gate
        self.sockets = list(sockets)
        self.factory = factory
        self.context = context
        self.timeout = handshake_timeout if context else None
        self.accepting = False
        self._acceptors: list[Acceptor] = []

    def resume(self) -> None:
        """Begin or go on accepting, on the running loop.

        Raises:
            OSError: there is no descriptor left for it.
        """
        if self.accepting:
            return
        loop = asyncio.get_running_loop()
        try:
            for each in self.sockets:
                self._acceptors.append(self._accept_on(loop, each))
        except OSError:
            self.pause()
            raise
        self.accepting = True

    def _accept_on(self, loop: asyncio.AbstractEventLoop, each: socket.socket) -> Acceptor:
        twin = each.dup()
        if self.gate is not None and self.context is not None and each.family != socket.AF_UNIX:
            tls = {"ssl": self.context, "ssl_handshake_timeout": self.timeout}
            return Acceptor(loop, twin, self.gate.make_protocol, tls, self.gate)
        return Acceptor(loop, twin, self.factory, {}, None)

    def pause(self) -> None:
        """Stop accepting; the kernel keeps who comes."""
        self.accepting = False
        acceptors, self._acceptors = self._acceptors, []
        for acceptor in acceptors:
            acceptor.close()

    def close(self) -> None:
        """Stop listening, and remove the file of our own Unix socket."""
        self.pause()
        for each in self.sockets:
            each.close()
        self.sockets = []
        if self.own_path:
            Path(self.own_path).unlink(missing_ok=True)
