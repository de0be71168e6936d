"""Rushes of handshakes: everyone is counted, let in or not."""

import os

import pytest

from bench.budget import BenchError
from bench.commands.connections import cold_broker, measure_crowd, measure_remembered, unfit
from bench.connect import check_upgrade
from bench.cpu import CpuReader
from bench.handshakes import Rush
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
