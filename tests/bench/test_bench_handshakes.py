"""Rushes of handshakes: everyone is counted, let in or not."""

import os
import socket
import threading
import time

import pytest

from bench.budget import BenchError
from bench.commands.connections import cold_broker, measure_crowd, measure_remembered, unfit
from bench.connect import check_upgrade
from bench.cpu import CpuReader
from bench.handshakes import HandshakeResult, Rush
from bench.machine import choose_cores
from bench.peers import PEERS
from bench.process import running
from bench.wire import upgrade_request
from examples.ports import free_port

CORE = choose_cores().broker


def test_rush_lets_everyone_in() -> None:
    """As many clients as asked for get in and are timed, some at a time, or all at once."""
    with running(PEERS["websockets"], CORE) as broker:
        remembered = measure_remembered(broker, CORE, 0.1)
        crowd = measure_crowd(broker, CORE, 50)
    assert remembered.accepted > 0
    assert crowd.accepted == 50
    assert remembered.refused == crowd.refused == {}
    assert 0 < max(crowd.seconds) <= crowd.wall
    assert crowd.broker_cpu > 0


def test_rush_counts_refusals_by_their_status() -> None:
    """Wrong credentials are refusals under the status line they got, and not handshakes."""
    with running(PEERS["websockets"], CORE) as broker:
        wrong = upgrade_request(broker.port, "/ws?topic=t", ("bench", "wrong"))
        rush = Rush(broker.port, [broker.request("t"), wrong], at_once=4, hold=False)
        try:
            result = rush.run(CpuReader(broker.pid, CORE), total=10, seconds=30)
        finally:
            rush.close()
    assert result.accepted == 5
    assert result.refused == {"HTTP/1.1 401 Unauthorized": 5}


def test_rush_against_a_closed_port() -> None:
    """Where nobody listens every attempt is counted as refused, and the rush ends."""
    rush = Rush(free_port(), [b"GET / HTTP/1.1\r\n\r\n"], at_once=2, hold=False)
    try:
        result = rush.run(CpuReader(os.getpid(), CORE), total=4, seconds=30)
    finally:
        rush.close()
    assert result.accepted == 0
    assert sum(result.refused.values()) == 4
    assert all("ECONNREFUSED" in status for status in result.refused)


class RefusingServer(threading.Thread):
    """Refuses every client's first attempt, and lets it in the second time; clients differ by their address."""

    def __init__(self, clients: int) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._attempts = 2 * clients
        self.arrived: dict[str, list[float]] = {}

    def run(self) -> None:
        held = []
        for _ in range(self._attempts):
            client, (address, _) = self._listener.accept()
            client.recv(4096)
            times = self.arrived.setdefault(address, [])
            times.append(time.perf_counter())
            status = b"503 Full" if len(times) == 1 else b"101 Switching Protocols"
            client.sendall(b"HTTP/1.1 %s\r\n\r\n" % status)
            held.append(client)
        for client in [*held, self._listener]:
            client.close()


def test_rush_lets_the_refused_come_again() -> None:
    """Each client tries again so long after its own refusal, under its own number, until all are in."""
    server = RefusingServer(3)
    server.start()
    rush = Rush(server.port, [b"GET / HTTP/1.1\r\n\r\n"], at_once=3, hold=True)
    try:
        result = rush.run(CpuReader(os.getpid(), CORE), total=3, seconds=30, retry=0.1)
    finally:
        rush.close()
        server.join(20)
    assert (result.accepted, result.refused) == (3, {"HTTP/1.1 503 Full": 3})
    assert len(server.arrived) == 3
    assert all(again - first >= 0.1 for first, again in server.arrived.values())


def test_rush_gives_up_on_the_refused() -> None:
    """Who is refused over and over is not waited for longer than the rush lasts."""
    rush = Rush(free_port(), [b"GET / HTTP/1.1\r\n\r\n"], at_once=2, hold=True)
    try:
        result = rush.run(CpuReader(os.getpid(), CORE), total=2, seconds=0.1, retry=0.02)
    finally:
        rush.close()
    assert result.accepted == 0
    assert sum(result.refused.values()) > 2


def test_rush_reads_the_processor_time_before_it_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the connections that stayed is no part of the account."""
    seen: list[str] = []
    drop = Rush._drop_all

    def dropping(rush: Rush) -> None:
        seen.append("dropped")
        drop(rush)

    class Watched(CpuReader):
        def seconds(self) -> float:
            seen.append("read")
            return super().seconds()

    monkeypatch.setattr(Rush, "_drop_all", dropping)
    rush = Rush(free_port(), [b""], at_once=1, hold=True)
    rush.run(Watched(os.getpid(), CORE), total=0, seconds=1)
    assert seen == ["read", "read", "dropped"]
    rush.close()


def test_results_add_up() -> None:
    """Batches come to one account, refusals by their status."""
    result = HandshakeResult(1.0, 0.5, 0.25, 0.0, [0.1], {"a": 1})
    result.add(HandshakeResult(2.0, 1.5, 0.75, 0.5, [0.2, 0.3], {"a": 1, "b": 2}))
    assert result == HandshakeResult(3.0, 2.0, 1.0, 0.5, [0.1, 0.2, 0.3], {"a": 2, "b": 2})


def test_check_upgrade_quotes_a_refusal() -> None:
    """A handshake that is not answered by 101 names the status it got."""
    check_upgrade(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    with pytest.raises(BenchError, match=r"refused: HTTP/1.1 503 Full"):
        check_upgrade(b"HTTP/1.1 503 Full\r\n\r\n")


def test_peers_that_cannot_show_handshakes_are_left_out() -> None:
    """Only brokers that check credentials in the handshake are compared by it."""
    assert unfit(PEERS["websockets"]) is None
    assert unfit(PEERS["floor"]) == "it authenticates nobody"
    assert unfit(PEERS["nats"]) == "it authenticates after the handshake"


def test_cold_broker_has_a_few_dear_accounts() -> None:
    """The cold crowd is of four accounts at bcrypt cost 12."""
    broker = cold_broker()
    assert len(set(broker.accounts)) == 4
    assert broker.cost == 12
