"""Restart, passwords and the path from the publisher, as small as they can be."""

import asyncio

import pytest

from bench.commands import auth, path, restart
from bench.context import Context
from bench.machine import choose_cores
from bench.peers import PEERS
from bench.process import running
from bench.selection import select

CORES = choose_cores()


def test_restart_brings_everyone_back() -> None:
    """All clients of a killed broker get in again at its port."""
    result = restart.measure(PEERS["websockets"], CORES.broker, 30, 0)
    assert (result.clients, len(result.waits)) == (30, 30)
    assert 0 < result.up_after <= result.all_after


def test_restart_table_names_each_broker() -> None:
    """One line per broker, with the ratio where ours was measured too, and no 99th percentile of five waits."""
    measured = restart.Restarts(Context(select(["websockets"]), CORES, quick=True), 5)
    measured.measure_all()
    (table,) = measured.tables()
    assert table.rows[0][:2] == ("websockets", "5")
    assert dict(zip(table.head, table.rows[0], strict=True))["wait p99 ms"] == "-"
    assert measured.document()["runs"][0]["clients"] == 5


def test_auth_verifies_new_passwords_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new password costs more than a remembered one, and nobody is refused."""
    monkeypatch.setattr(auth, "COSTS", (8,))
    monkeypatch.setattr(auth, "_AGAIN_SECONDS", 0.2)
    measured = auth.Auth(Context(select(["ours"]), CORES, quick=True), 2)
    measured.measure_all()
    new, remembered = (checked.result for checked in measured.checked)
    assert new.accepted == 2
    assert new.broker_cpu / new.accepted > remembered.broker_cpu / remembered.accepted
    assert [row[:2] for row in measured.tables()[0].rows] == [("8", "new"), ("8", "remembered")]


def test_path_times_every_message() -> None:
    """What the publisher's library sends reaches the telephone, one at a time and several at once."""
    ways = [path.Way(modems=1, delay=0.0, at_once=at_once, seconds=0.1) for at_once in (1, 4)]
    with running(PEERS["ours"], CORES.broker) as broker:
        walks = asyncio.run(path.walk(broker, CORES, ways, 0))
    for taken, way in zip(walks, ways, strict=True):
        assert len(taken.milliseconds) % way.at_once == 0
        assert min(taken.milliseconds) > 0
        assert taken.pi_cpu > 0


def test_path_table_has_a_row_for_every_way() -> None:
    """Each number of modems and each delay has its line, and the document says where the path ends."""
    measured = path.Walks(Context(select(["ours"]), CORES, quick=True))
    measured.ways = [[path.Way(modems=2, delay=0.05, at_once=4, seconds=0.0)]]
    measured.measure_all()
    assert measured.tables()[0].rows[0][:3] == ("2", "0.05", "4")
    (run,) = measured.document()["runs"]
    assert (run["modems"], run["messages"]) == (2, 4)
    assert measured.estimate() > 0
