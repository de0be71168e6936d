"""How many idle connections are held, and what the table says of them."""

import resource

import pytest

from bench.commands import memory
from bench.context import Context
from bench.machine import choose_cores
from bench.selection import select


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(20_000, 18_000), (4_096, 3_584), (600, 88), (100, 1), (1_000_000, 18_000), (resource.RLIM_INFINITY, 18_000)],
)
def test_connections_keep_to_the_descriptor_limit(descriptors: int, connections: int) -> None:
    """What the hard limit leaves beside everything else, at most 18,000, and never nothing."""
    assert memory.most_connections(descriptors) == connections


def test_memory_table_says_how_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each broker has its line, and a note says that nobody is made to collect."""
    monkeypatch.setattr(memory, "_LOOK_SECONDS", 0.01)
    measured = memory.Memory(Context(select(["websockets"]), choose_cores(), quick=True), 20, rounds=1)
    measured.measure_all()
    (table,) = measured.tables()
    assert table.rows[0][:2] == ("20", "websockets")
    assert table.notes == (memory.NOTE,)
    assert "no collection is forced" in table.text()
