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
    """One line per broker, with the ratio where ours was measured too."""
    measured = restart.Restarts(Context(select(["websockets"]), CORES, quick=True), 5)
    measured.measure_all()
    (table,) = measured.tables()
    assert table.rows[0][:2] == ("websockets", "5")
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
    """What the publisher's library sends reaches the stand-in, one at a time and several at once."""
    with running(PEERS["ours"], CORES.broker) as broker:
        for at_once in (1, 4):
            taken = asyncio.run(path.walk(broker, CORES.broker, at_once, 0.1, 0))
            assert len(taken.milliseconds) >= at_once
            assert min(taken.milliseconds) > 0
