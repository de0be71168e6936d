"""From runs to the fan-out table."""

from dataclasses import replace

import pytest

from bench.budget import BenchError
from bench.load import RunResult
from bench.report import number, ratio, table
from bench.shapes import BASE, GROUPS, Flow, Shape, parse_shapes, shapes_of
from bench.summary import HEAD, Run, baseline_of, fanout_table, make_rows

SHAPE = Shape(subscribers=10, window=256)
RESULT = RunResult(
    messages=1000,
    deliveries=10_000,
    wall=2.0,
    broker_cpu=0.001,
    load_cpu=1.0,
    disturbed=0.1,
    completion_ms=[1.0, 2.0],
)


def run(peer: str, turn: int, cpu: float, shape: Shape = SHAPE) -> Run:
    return Run(shape, peer, turn, replace(RESULT, broker_cpu=cpu))


def test_result_divides_processor_time() -> None:
    """1 ms for 10,000 deliveries of 1,000 messages is 0.1 us each and 1 us each."""
    assert RESULT.per_delivery == pytest.approx(0.1)
    assert RESULT.per_message == pytest.approx(1.0)
    assert RESULT.load_share == pytest.approx(0.5)
    assert RESULT.broker_share == pytest.approx(0.0005)


def test_rows_are_medians_over_rounds() -> None:
    """The middle round counts; spread and best are of the same rounds."""
    (row,) = make_rows([run("ours", 0, 0.004), run("ours", 1, 0.001), run("ours", 2, 0.002)])
    assert row.per_delivery == pytest.approx(0.2)
    assert row.best == pytest.approx(0.1)
    assert row.spread == pytest.approx(1.5)
    assert row.messages_per_second == pytest.approx(500)
    assert row.deliveries_per_second == pytest.approx(5000)
    assert (row.completion_p50, row.completion_p99, row.completion_p999) == (1.0, None, None)
    assert row.disturbed == pytest.approx(0.05)


def test_rows_keep_shapes_and_brokers_apart() -> None:
    """Every pair of shape and broker has one row, in order of appearance."""
    other = Shape(subscribers=1, window=1)
    rows = make_rows([run("ours", 0, 1), run("b", 0, 1), run("ours", 1, 1), run("ours", 0, 1, other)])
    assert [(row.shape, row.peer) for row in rows] == [(SHAPE, "ours"), (SHAPE, "b"), (other, "ours")]


def test_table_shows_the_ratio_to_ours() -> None:
    """A broker that needs five times our time reads 5.00x, ours 1.00x."""
    text = fanout_table(make_rows([run("ours", 0, 0.001), run("slow", 0, 0.005)]), "ours").text()
    ours, slow = (line.split() for line in text.splitlines()[3:])
    assert "1.00x" in ours
    assert "5.00x" in slow


def test_table_without_ours_has_no_ratio() -> None:
    """Where the baseline was not measured there is nothing to compare with."""
    rows = make_rows([run("a", 0, 0.001)])
    assert baseline_of(rows, SHAPE, "ours") is None
    assert "-" in fanout_table(rows, "ours").rows[0]


def test_table_says_when_the_load_was_too_busy() -> None:
    """Above 90 % of a core in one round of many the row is marked, at 90 % it is not."""
    calm = Run(SHAPE, "calm", 0, replace(RESULT, load_cpu=1.8))
    busy = [Run(SHAPE, "busy", turn, replace(RESULT, load_cpu=used)) for turn, used in enumerate((1.9, 0.2, 0.2))]
    text = fanout_table(make_rows([calm, *busy]), "ours").text()
    assert "! 10, 256 in flight, busy: the load generator used 95% of its core in its busiest quarter" in text
    assert "calm: the load generator" not in text


def test_row_of_a_single_round_has_no_spread() -> None:
    """One round reads as a dash, rounds that agree as 0 %."""
    once, twice = make_rows([run("once", 0, 1), run("twice", 0, 1), run("twice", 1, 1)])
    assert (once.spread, twice.spread) == (None, 0.0)
    cells = [row[HEAD.index("spread")] for row in fanout_table([once, twice], "ours").rows]
    assert cells == ["-", "0%"]


def test_row_shows_user_system_and_what_kept_the_generator() -> None:
    """Ticks of all rounds are put together; a run too short for a tick has no share."""
    results = [replace(RESULT, user=0.01, system=0.02, load_disturbed=0.2), replace(RESULT, user=0.03, system=0.02)]
    (row,) = make_rows([Run(SHAPE, "ours", turn, result) for turn, result in enumerate(results)])
    assert (row.user_share, row.system_share) == pytest.approx((0.5, 0.5))
    assert row.load_disturbed == pytest.approx(0.05)
    assert make_rows([run("ours", 0, 1)])[0].system_share is None


def test_shape_names_what_differs() -> None:
    """A shape's name says subscribers, messages in flight, and the size when it is not the usual one."""
    assert Shape(100, 1).name == "100, one at a time"
    assert Shape(1000, 64).name == "1000, 64 in flight"
    assert Shape(10, 16, size=1024).name == "10, 16 in flight, 1024 bytes"


def test_shapes_are_read_as_they_are_written() -> None:
    """The base shapes, written out, are the base shapes; a size may follow."""
    assert parse_shapes("1x256,10x256,100x256,1000x64,1x1, 100x1") == BASE
    assert parse_shapes("10x16x1024") == (Shape(10, 16, 1024),)


@pytest.mark.parametrize("text", ["", "10", "10x", "axb", "1x1x1x1", "-1x1", "1x1,"])
def test_shape_written_otherwise(text: str) -> None:
    """What is not a shape is quoted, with an example of one."""
    with pytest.raises(BenchError, match="write SUBSCRIBERSxWINDOW"):
        parse_shapes(text)


@pytest.mark.parametrize("text", ["0x1", "9001x1", "1x0", "1x5000", "1x1x7", "1x1x70000"])
def test_shape_out_of_bounds(text: str) -> None:
    """A shape that no machine here can hold is refused before anything is started."""
    with pytest.raises(BenchError, match="1 to 9000 subscribers"):
        parse_shapes(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.03812, "0.038"), (1.234, "1.23"), (45.67, "45.7"), (234.5, "234"), (1234567.8, "1,234,568")],
)
def test_number_keeps_three_digits(value: float, text: str) -> None:
    """Small figures keep their digits, large ones are separated."""
    assert number(value) == text


def test_ratio_to_nothing_is_a_dash() -> None:
    """No baseline, and a baseline of zero, give no ratio."""
    assert ratio(3, None) == ratio(3, 0.0) == "-"
    assert ratio(3, 2) == "1.50x"


def test_table_columns_line_up() -> None:
    """Text columns start together, numbers end together."""
    lines = table(("a", "broker", "n"), [("x", "long name", "1"), ("yy", "b", "1,000")]).splitlines()
    assert lines == [
        "a   broker         n",
        "--  ---------  -----",
        "x   long name      1",
        "yy  b          1,000",
    ]
    assert len(HEAD) == len(fanout_table(make_rows([run("a", 0, 1)]), "a").rows[0])


def test_shape_names_are_unique() -> None:
    """No two shapes of the whole benchmark are called the same."""
    shapes = {shape for group in GROUPS.values() for shape in group}
    assert len({shape.name for shape in shapes}) == len(shapes)


@pytest.mark.parametrize(
    ("shape", "flow", "receivers", "connections"),
    [
        (Shape(10, 16), Flow.CLOSED, 10, 11),
        (Shape(10, 1, publishers=3), Flow.CROWD, 12, 13),
        (Shape(1, 1, topics=1000), Flow.PAIRS, 1, 2000),
        (Shape(5, 1, rate=100), Flow.PACED, 5, 6),
        (Shape(9, 1, slow=1, idle=20, idle_topics=30), Flow.CLOSED, 9, 61),
    ],
)
def test_shape_knows_its_generator_and_its_clients(shape: Shape, flow: Flow, receivers: int, connections: int) -> None:
    """What a shape says decides who drives it and how many clients there are."""
    assert (shape.flow, shape.receivers, shape.connections) == (flow, receivers, connections)


def test_groups_give_each_shape_once() -> None:
    """Groups that share shapes do not measure them twice, and a group nobody knows is named."""
    shapes = shapes_of("base, sizes,windows")
    assert len(shapes) == len(set(shapes))
    assert set(GROUPS["sizes"]) < set(shapes)
    with pytest.raises(BenchError, match="unknown group 'shoes': choose from base"):
        shapes_of("base,shoes")


def test_table_says_what_slow_subscribers_cost() -> None:
    """Memory and cut connections of a shape with slow subscribers stand below the table."""
    slow = Run(Shape(9, 1, slow=1), "ours", 0, replace(RESULT, cut_off=1, grown_kib=2048))
    text = fanout_table(make_rows([slow]), "ours").text()
    assert "9, one at a time, 1 slow, ours: memory grew by 2.00 MiB at most" in text
    assert "cut off in all rounds: 1" in text
