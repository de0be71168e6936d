"""Listening sockets, and accepting with pauses."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from broker import listener as listener_module
from broker.listener import DEAD_LINK, Acceptor, Listener, ListenError, bind_hosts, bind_unix
from tests.conftest import until


@pytest.fixture
def bound() -> Iterator[list[socket.socket]]:
    """Sockets that are closed with the test."""
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


# -- hosts


def test_localhost_is_both_loopbacks_on_one_port(bound: list[socket.socket]) -> None:
    """127.0.0.1 and ::1, whatever the hosts file says, and the same free port on both."""
    bound += bind_hosts(["localhost"], 0)
    names = [each.getsockname()[:2] for each in bound]
    assert names[0][0] == "127.0.0.1"
    assert {port for _, port in names} == {names[0][1]}
    if len(names) > 1:
        assert names[1][0] == "::1"


def test_localhost_without_ipv6_is_the_one_that_is_there(
    bound: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without ::1 starts all the same."""
    missing = (socket.AF_INET6, "2001:db8::1", True)
    addresses = [(socket.AF_INET, "127.0.0.1", False), missing]
    monkeypatch.setattr(listener_module, "_addresses", lambda _host: addresses)
    bound += bind_hosts(["localhost"], 0)
    assert [each.family for each in bound] == [socket.AF_INET]


def test_several_hosts_are_bound_to_one_port(bound: list[socket.socket]) -> None:
    """`--host` may be given several times."""
    bound += bind_hosts(["127.0.0.1", "127.0.0.2"], 0)
    assert [each.getsockname()[0] for each in bound] == ["127.0.0.1", "127.0.0.2"]
    assert len({each.getsockname()[1] for each in bound}) == 1


def test_bound_sockets_find_dead_links(bound: list[socket.socket]) -> None:
    """TCP_USER_TIMEOUT is set on the listener, and accepted sockets inherit it."""
    bound += bind_hosts(["127.0.0.1"], 0)
    bound.append(socket.create_connection(bound[0].getsockname()))
    bound[0].setblocking(True)
    accepted, _ = bound[0].accept()
    bound.append(accepted)
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == DEAD_LINK


def test_taken_port_is_one_clear_line_and_leaves_nothing_bound(bound: list[socket.socket]) -> None:
    """The error names address, port and what to do; what was bound before it is let go."""
    bound += bind_hosts(["127.0.0.2"], 0)
    port = bound[0].getsockname()[1]
    with pytest.raises(ListenError, match=rf"127.0.0.2 port {port}: .* listens there.* --port"):
        bind_hosts(["127.0.0.1", "127.0.0.2"], port)
    bound += bind_hosts(["127.0.0.1"], port)


def test_port_that_needs_a_privilege_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The privilege that is missing is named."""

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbidden)
    with pytest.raises(ListenError, match=r"127.0.0.1 port 80: ports below 1024 need a privilege"):
        bind_hosts(["127.0.0.1"], 80)


def test_address_of_another_machine_is_refused(bound: list[socket.socket]) -> None:
    """Only `localhost` may miss one of its addresses."""
    with pytest.raises(ListenError, match=r"192.0.2.1 port 0: Cannot assign requested address"):
        bind_hosts(["192.0.2.1"], 0)


def test_unknown_host_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's answer with the host's name."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ListenError, match="host 'nowhere': Name or service not known; give an address of this machine"):
        bind_hosts(["nowhere"], 0)


# -- Unix sockets


def test_unix_socket_is_bound_in_place_of_a_dead_one(tmp_path: Path, bound: list[socket.socket]) -> None:
    """A socket that a killed process left behind is no obstacle."""
    path = tmp_path / "broker.sock"
    bind_unix(str(path)).close()
    assert path.exists()
    bound.append(bind_unix(str(path)))
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666  # a proxy is another user
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_unix_socket_in_use_is_left_alone(tmp_path: Path, bound: list[socket.socket]) -> None:
    """A broker that runs keeps its socket."""
    path = str(tmp_path / "broker.sock")
    bound.append(bind_unix(path))
    with pytest.raises(ListenError, match=r"broker.sock: another process listens there"):
        bind_unix(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_unix_socket_never_replaces_a_file(tmp_path: Path) -> None:
    """A mistyped path costs nobody a file."""
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    with pytest.raises(ListenError, match="a file that is no socket stands there"):
        bind_unix(str(path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/broker.sock", "x" * 200])
def test_unix_socket_that_cannot_be_made_is_one_clear_line(tmp_path: Path, name: str) -> None:
    """The path is named, with the system's reason."""
    with pytest.raises(ListenError, match=r"cannot listen on socket_path .*: "):
        bind_unix(str(tmp_path / name))


# -- accepting


class Greeter(asyncio.Protocol):
    """Says hello and echoes."""

    def __init__(self, accepted: "list[Greeter]") -> None:
        self.accepted = accepted
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.accepted.append(self)
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Caller:
    """A client of the listener."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    @classmethod
    async def call(cls, bound: list[socket.socket], address: Any, family: int = socket.AF_INET) -> "Caller":
        sock = socket.socket(family)
        bound.append(sock)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        return cls(sock)

    async def hears(self, expected: bytes) -> None:
        async with asyncio.timeout(20):
            heard = b""
            while len(heard) < len(expected):
                chunk = await asyncio.get_running_loop().sock_recv(self.sock, 100)
                assert chunk, "the connection was closed"
                heard += chunk
        assert heard == expected

    async def says(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def heard_nothing(self) -> bool:
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True


@pytest.fixture
async def accepted() -> AsyncIterator[list[Greeter]]:
    """Everyone who was accepted; cut off with the test."""
    greeters: list[Greeter] = []
    yield greeters
    for greeter in greeters:
        greeter.transport.abort()
    await until(lambda: all(greeter.lost for greeter in greeters))


@pytest.fixture
async def make_listener(accepted: list[Greeter]) -> AsyncIterator[Callable[..., Listener]]:
    """Make listeners that are closed with the test."""
    made: list[Listener] = []

    def make(sockets: list[socket.socket], **arguments: Any) -> Listener:
        made.append(Listener(sockets, lambda *_: Greeter(accepted), None, 10.0, **arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.both_loops
async def test_pause_keeps_who_is_in_and_the_kernel_keeps_who_comes(
    make_listener: Callable[..., Listener], bound: list[socket.socket]
) -> None:
    """A client that comes in a pause waits, and is served when it is over; nobody is cut off."""
    listener = make_listener(bind_hosts(["127.0.0.1"], 0))
    address = listener.sockets[0].getsockname()
    listener.resume()
    before = await Caller.call(bound, address)
    await before.hears(b"hello")
    listener.pause()
    assert not listener.accepting
    meanwhile = await Caller.call(bound, address)
    await before.says(b"still there")
    await before.hears(b"still there")
    assert meanwhile.heard_nothing()
    listener.resume()
    await meanwhile.hears(b"hello")
    await before.says(b"and now")
    await before.hears(b"and now")


@pytest.mark.both_loops
async def test_pause_right_after_a_storm_cuts_off_nobody(
    make_listener: Callable[..., Listener], bound: list[socket.socket], accepted: list[Greeter]
) -> None:
    """Clients that were accepted a moment before the pause are served."""
    listener = make_listener(bind_hosts(["127.0.0.1"], 0))
    listener.resume()
    callers = [await Caller.call(bound, listener.sockets[0].getsockname()) for _ in range(30)]
    for _ in range(30):
        listener.pause()
        listener.resume()
        await asyncio.sleep(0)
    for caller in callers:
        await caller.hears(b"hello")
    assert len(accepted) == 30


@pytest.mark.both_loops
async def test_resume_twice_accepts_each_client_once(
    make_listener: Callable[..., Listener], bound: list[socket.socket]
) -> None:
    """Two that want to go on at once do not accept twice."""
    listener = make_listener(bind_hosts(["127.0.0.1"], 0))
    listener.resume()
    listener.resume()
    caller = await Caller.call(bound, listener.sockets[0].getsockname())
    await caller.hears(b"hello")
    assert len(listener._acceptors) == 1


@pytest.mark.both_loops
async def test_close_frees_the_port_and_removes_its_own_unix_socket(
    make_listener: Callable[..., Listener], bound: list[socket.socket], tmp_path: Path
) -> None:
    """After the end nothing is left; an inherited socket's file is its owner's."""
    own, inherited = str(tmp_path / "own.sock"), str(tmp_path / "inherited.sock")
    sockets = [*bind_hosts(["127.0.0.1"], 0), bind_unix(own), bind_unix(inherited)]
    port = sockets[0].getsockname()[1]
    listener = make_listener(sockets, own_path=own)
    listener.resume()
    for path in (own, inherited):
        await (await Caller.call(bound, path, socket.AF_UNIX)).hears(b"hello")
    listener.close()
    assert not await asyncio.to_thread(os.path.exists, own)
    assert await asyncio.to_thread(os.path.exists, inherited)
    bound += bind_hosts(["127.0.0.1"], port)
    listener.close()


class Moody:
    """A listening socket whose accept fails as it is told."""

    def __init__(self, sock: socket.socket, errors: list[int]) -> None:
        self.sock = sock
        self.errors = errors
        self.tries = 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def accept(self) -> tuple[socket.socket, Any]:
        self.tries += 1
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return self.sock.accept()

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
async def make_acceptor(
    bound: list[socket.socket], accepted: list[Greeter]
) -> AsyncIterator[Callable[[list[int]], tuple[Acceptor, Moody]]]:
    """Make acceptors on moody sockets; closed with the test."""
    made: list[Acceptor] = []

    def make(errors: list[int]) -> tuple[Acceptor, Moody]:
        (sock,) = bind_hosts(["127.0.0.1"], 0)
        bound.append(sock)
        moody = Moody(sock, errors)
        loop = asyncio.get_running_loop()
        made.append(Acceptor(loop, cast("socket.socket", moody), lambda *_: Greeter(accepted), {}, None))
        return made[-1], moody

    yield make
    for each in made:
        if each.listening.fileno() >= 0:
            each.close()


MakeAcceptor = Callable[[list[int]], tuple[Acceptor, Moody]]


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.both_loops
async def test_accept_out_of_descriptors_is_tried_again_later_and_not_at_full_speed(
    make_acceptor: MakeAcceptor, bound: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMFILE stops accepting for a moment; the client is served when descriptors are free."""
    monkeypatch.setattr(listener_module, "RETRY_AFTER", 0.05)
    _, moody = make_acceptor([errno.EMFILE] * 3)
    caller = await Caller.call(bound, moody.sock.getsockname())
    await caller.hears(b"hello")
    assert moody.tries <= 3 + 2


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.both_loops
async def test_accept_out_of_descriptors_when_closed_tries_no_more(
    make_acceptor: MakeAcceptor, bound: list[socket.socket]
) -> None:
    """Closing ends the waiting as well."""
    acceptor, moody = make_acceptor([errno.EMFILE] * 1000)
    await Caller.call(bound, moody.sock.getsockname())
    await until(lambda: moody.tries == 1)
    acceptor.close()
    assert acceptor._retry is not None
    assert acceptor._retry.cancelled()


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.both_loops
async def test_accept_of_a_client_that_is_gone_goes_on_with_the_next(
    make_acceptor: MakeAcceptor, bound: list[socket.socket]
) -> None:
    """ECONNABORTED is one client's affair."""
    _, moody = make_acceptor([errno.ECONNABORTED])
    caller = await Caller.call(bound, moody.sock.getsockname())
    await caller.hears(b"hello")
    assert moody.tries >= 2
