"""sd_notify, the watchdog's interval and socket activation, against sockets of our own."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.notify import LISTEN_FDS_START, Notifier, inherited_sockets
from tests.broker.conftest import Dial
from tests.conftest import MakeBroker, until


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The receiving end of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(10)
        yield channel


def told(manager: socket.socket) -> list[str]:
    """Return the lines of the next notification."""
    return manager.recv(4096).decode().splitlines()


def test_notifier_sends_each_state_as_lines(manager: socket.socket) -> None:
    """sd_notify(3): NAME=VALUE lines in one datagram."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    notifier.ready("listening on 127.0.0.1:9000")
    assert told(manager) == ["READY=1", "STATUS=listening on 127.0.0.1:9000"]
    notifier.reloading()
    state, stamp = told(manager)
    assert state == "RELOADING=1"
    assert int(stamp.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.stopping()
    assert told(manager) == ["STOPPING=1", "STATUS=draining"]
    notifier.alive()
    assert told(manager) == ["WATCHDOG=1"]


def test_notifier_reaches_an_abstract_socket() -> None:
    """An address with @ means the abstract namespace (unix(7))."""
    name = f"\0wsbroker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(10)
        Notifier({"NOTIFY_SOCKET": "@" + name[1:]}).alive()
        assert told(manager) == ["WATCHDOG=1"]


def test_notifier_without_a_manager_does_nothing(tmp_path: Path) -> None:
    """No NOTIFY_SOCKET, or one that nobody listens on, is no fault."""
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("x")
    assert list(tmp_path.iterdir()) == []


def test_notifier_by_default_reads_this_process(monkeypatch: pytest.MonkeyPatch, manager: socket.socket) -> None:
    """Without an environment of its own it looks at the process'."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    Notifier().alive()
    assert told(manager) == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval_is_half_of_what_the_manager_waits(
    environment: dict[str, str], seconds: float | None
) -> None:
    """sd_watchdog_enabled(3): half the time, and only when this process is meant."""
    assert Notifier(environment).watchdog == seconds


def test_inherited_sockets_are_those_of_this_process() -> None:
    """sd_listen_fds(3): LISTEN_FDS counts from the first descriptor on, when LISTEN_PID is us."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        start = os.dup(opened.fileno())
        environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        os.set_inheritable(start, True)
        (found,) = inherited_sockets(environment, start)
        with found:
            assert found.getsockname() == opened.getsockname()
            assert not found.getblocking()
            assert not os.get_inheritable(found.fileno())


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid())},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
    ],
)
def test_inherited_sockets_meant_for_nobody_or_another_process_are_none(environment: dict[str, str]) -> None:
    """Without socket activation the broker binds its own."""
    assert LISTEN_FDS_START == 3
    assert inherited_sockets(environment) == []


@pytest.mark.both_loops
async def test_broker_tells_the_manager_each_step_of_its_life(make_broker: MakeBroker, manager: socket.socket) -> None:
    """READY when it listens, RELOADING and READY around a reload, STOPPING when the drain begins."""
    broker = await make_broker(notifier=Notifier({"NOTIFY_SOCKET": manager.getsockname()}))
    assert told(manager) == ["READY=1", f"STATUS=listening on 127.0.0.1:{broker.port}"]
    await broker.reload()
    assert told(manager)[0] == "RELOADING=1"
    assert told(manager)[0] == "READY=1"
    await broker.stop()
    assert told(manager)[0] == "STOPPING=1"


async def test_broker_resets_the_watchdog_while_its_loop_turns(
    make_broker: MakeBroker, manager: socket.socket, dial: Dial
) -> None:
    """WATCHDOG=1 comes again and again, from the same tick that serves the clients."""
    manager.setblocking(False)
    broker = await make_broker(
        notifier=Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000"}),
    )
    await dial(broker)
    signs = 0

    def three_signs() -> bool:
        nonlocal signs
        while True:
            try:
                signs += told(manager) == ["WATCHDOG=1"]
            except BlockingIOError:
                return signs >= 3

    await until(three_signs)
    assert signs >= 3
