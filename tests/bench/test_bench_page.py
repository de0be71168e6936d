"""From a result to plots and to the page on performance."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from select import epoll
from types import SimpleNamespace
from typing import Any

import pytest

from bench import cli, plots
from bench.budget import BenchError
from bench.commands import fanout, full
from bench.commands.fanout import Fanout
from bench.commands.full import Full
from bench.context import Context
from bench.load import BUSY_SHARE, RunResult
from bench.machine import choose_cores, machine_facts
from bench.page import blocks, markdown, merged, refreshed
from bench.peers import PEERS
from bench.process import Running
from bench.remaining import Remaining
from bench.report import Table
from bench.runs import Pace
from bench.selection import Selection, select
from bench.shapes import GROUPS, Shape, shapes_of
from bench.summary import Run


def run(peer: str, shape: Shape, cpu: float) -> Run:
    samples = [1.0] * 400 + [2.0] * 590 + [3.0] * 10
    result = RunResult(1000, 1000, 1.0, cpu, 0.5, 0.0, samples, cut_off=2, grown_kib=3072)
    return Run(shape, peer, 0, replace(result, user=0.75, system=0.25, load_disturbed=0.04))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The JSON of a full run that was never run: ours needs 1 us per delivery, bun 2, the floor a half."""
    cores = choose_cores()
    pace = Pace(rounds=1, seconds=1, warm_up=0.1)
    measured = Fanout(Context(Selection((), {}), cores), shapes_of(",".join(GROUPS)), pace)
    costs = {"ours": 0.001, "bun": 0.002, "floor": 0.0005}
    measured.runs = [run(peer, shape, cpu) for shape in measured.shapes for peer, cpu in costs.items()]
    tables = [{"title": "Memory", "head": ["n", "broker", "KiB"], "rows": [["9", "ours", "2.10"]], "notes": ["a note"]}]
    made = {
        "command": "full",
        "machine": machine_facts(cores),
        "versions": {"ours": "wsmessagebroker 1"},
        "skipped": {"nats": "not installed"},
        "seconds": 600.0,
        "cut_short": "",
        "parts": {"fanout": measured.document()},
        "tables": [*(asdict(table) for table in measured.tables()), *tables],
    }
    found: dict[str, Any] = json.loads(json.dumps(made))
    return found


def test_blocks_compare_with_the_best_peer(document: dict[str, Any]) -> None:
    """A line per shape: every broker's cost, and ours against the best that is not the floor."""
    made = blocks(document)
    assert "| 1, 256 in flight | 1.00 | 2.00 | 0.500 | 0.500 (bun) |" in made["shapes-base"]
    assert "| 100, 1000 messages/s | 2.00 / 2.00 / 3.00 |" in made["latencies"]
    assert "| ours | 1.00x | 3.00 | 2 | 1,000 |" in made["slow-memory"]


def test_blocks_say_what_was_measured_and_what_computed(document: dict[str, Any]) -> None:
    """1,000 deliveries took a second of which the broker used a millisecond: a core could do a million."""
    capacity = blocks(document)["capacity"]
    assert "| this run, one core | 1,000 |" in capacity
    assert "| one core of the machine above | 1,000,000 |" in capacity
    assert "| sixteen such cores, sixteen brokers, topics shared out | 16,000,000 |" in capacity


def test_blocks_show_tables_with_notes_and_what_is_missing(document: dict[str, Any]) -> None:
    """Printed tables are shown as they are; a part that was not measured says so."""
    made = blocks(document)
    assert made["memory"].splitlines()[2] == "| 9 | ours | 2.10 |"
    assert made["memory"].endswith("a note")
    assert made["restart"] == "Not measured in this run."
    assert "- `nats`: skipped, not installed" in made["facts"]


def test_details_show_the_message_the_system_and_the_generator(document: dict[str, Any]) -> None:
    """A single round has no spread; user and system time, and what kept the generator waiting, have their columns."""
    line = next(
        line for line in blocks(document)["details"].splitlines() if line.startswith("| 10, 256 in flight | bun")
    )
    cells = [cell.strip() for cell in line.strip("| ").split("|")]
    assert cells[2:6] == ["2.00", "-", "2.00", "2.00"]
    assert cells[-4:] == ["75% / 25%", "0%", "50%", "4%"]


def test_busy_generator_is_marked_in_every_table(document: dict[str, Any]) -> None:
    """A figure that the load generator may have made carries a mark, and the table says what it means."""
    busy = json.loads(json.dumps(document))
    for row in busy["parts"]["fanout"]["rows"]:
        row["busiest_load"] = 0.901 if row["peer"] == "bun" else BUSY_SHARE
    made = blocks(busy)
    assert "| 1, 256 in flight | 1.00 | 2.00! |" in made["shapes-base"]
    assert "| 2.00 / 2.00 / 3.00 | 2.00 / 2.00 / 3.00! |" in made["latencies"]
    for name in ("shapes-base", "latencies", "details"):
        assert made[name].count("`!`: the load generator used over 90% of its core") == 1
    assert "`!`" not in made["capacity"]
    assert "`!`" not in blocks(document)["details"]


def test_shape_in_two_results_comes_from_the_one_with_its_group(document: dict[str, Any]) -> None:
    """What stands in one table was measured together: the idle table's first line is not the base table's."""
    first = json.loads(json.dumps(document))
    fanout_part = first["parts"]["fanout"]
    fanout_part["rows"] = [row for row in fanout_part["rows"] if "idle" not in row["name"]]
    later = {"machine": document["machine"], **json.loads(json.dumps(document["parts"]["fanout"]))}
    wanted = {shape.name for shape in GROUPS["idle"]}
    later["rows"] = [{**row, "per_delivery": 7.0} for row in later["rows"] if row["name"] in wanted]
    made = blocks(merged(first, [later]))
    assert "| 10, 256 in flight | 7.00 | 7.00 |" in made["shapes-idle"]
    assert "| 10, 256 in flight | 1.00 | 2.00 |" in made["shapes-base"]
    assert "| 10, 256 in flight + | ours | 7.00 |" in made["details"]
    assert "`+`: from a result that was added" in made["details"]


def test_merged_refuses_another_pace(document: dict[str, Any]) -> None:
    """Rounds of other length or number do not stand in one table."""
    later = {"machine": document["machine"], **document["parts"]["fanout"]}
    later["pace"] = {**later["pace"], "seconds": 0.4}
    with pytest.raises(BenchError, match=r"result 1 to be added has another pace, 1 rounds of 0.4 s .* not 1 rounds"):
        merged(document, [later])


def test_result_of_an_older_benchmark() -> None:
    """Rows that lack what is shown now are refused with what to do."""
    with pytest.raises(BenchError, match="older version of this benchmark: measure again"):
        plots.rows_of({"rows": [{"shape": {"subscribers": 1, "window": 1}, "peer": "ours"}]})


def test_line_of_a_plot_never_mixes_windows(document: dict[str, Any]) -> None:
    """Shapes of a line differ in their subscribers and in nothing else."""
    rows = plots.rows_of(document)
    for window in (1, 16, 256):
        line = plots._by_subscribers(rows, window)
        assert {replace(shape, subscribers=1) for shape in line} == {Shape(1, window)}
        assert [shape.subscribers for shape in line] == sorted({shape.subscribers for shape in line})


def test_merged_adds_only_what_is_missing(document: dict[str, Any]) -> None:
    """Shapes of a later run fill gaps, never replace, and the page says when they were measured."""
    first = json.loads(json.dumps(document))
    rows = first["parts"]["fanout"]["rows"]
    missing = [row for row in rows if row["name"].endswith("TLS")]
    first["parts"]["fanout"]["rows"] = [row for row in rows if row not in missing]
    later = {"machine": document["machine"], **json.loads(json.dumps(document["parts"]["fanout"]))}
    for row in later["rows"]:
        row["per_delivery"] *= 10
    made = blocks(merged(first, [later]))
    assert "| 10, 256 in flight, TLS | 10.0 | 20.0 | 5.00 | 0.500 (bun) |" in made["shapes-tls"]
    assert "| 1, 256 in flight | 1.00 |" in made["shapes-base"]
    assert "1 rounds of 1 s: 10, 256 in flight, TLS; 100, one at a time, TLS" in made["facts"]


def test_merged_refuses_what_cannot_be_compared(document: dict[str, Any]) -> None:
    """A result of another machine is refused; so is a full run that has no shapes, and gets none."""
    other = {"machine": {**document["machine"], "processor": "abacus"}, "rows": []}
    with pytest.raises(BenchError, match="result 1 to be added was measured on another machine"):
        merged(json.loads(json.dumps(document)), [other])
    with pytest.raises(BenchError, match="did not reach the fan-out"):
        merged({**document, "parts": {}}, [])


def test_refreshed_replaces_only_its_blocks() -> None:
    """The words around stay; doing it twice changes nothing."""
    page = "words\n<!-- bench:a -->\nold\n<!-- bench:end -->\nmore\n"
    once = refreshed(page, {"a": "new"})
    assert once == "words\n<!-- bench:a -->\nnew\n<!-- bench:end -->\nmore\n"
    assert refreshed(once, {"a": "new"}) == once


@pytest.mark.parametrize("page", ["words", "<!-- bench:b -->\n<!-- bench:end -->\n"])
def test_refreshed_page_without_its_blocks(page: str) -> None:
    """A page with no block, or an unknown one, is left alone with an error."""
    with pytest.raises(BenchError, match="blocks are: a"):
        refreshed(page, {"a": "new"})


def test_every_block_of_the_page_is_made(document: dict[str, Any]) -> None:
    """The page of this repository can be refreshed."""
    assert refreshed(cli.PAGE.read_text(), blocks(document)).count("<!-- bench:end -->") >= 20


def test_report_refreshes_page_and_plots(document: dict[str, Any], tmp_path: Path) -> None:
    """`python -m bench report` writes the page and each plot in both formats."""
    if reason := plots.unavailable():
        pytest.skip(reason)
    result, page = tmp_path / "full.json", tmp_path / "page.md"
    result.write_text(json.dumps(document))
    page.write_text("<!-- bench:memory -->\n<!-- bench:end -->\n")
    images = tmp_path / "images"
    assert cli.main(["report", str(result), "--page", str(page), "--images", str(images)]) == 0
    assert "2.10" in page.read_text()
    names = {"fan-out", "latency", "subscribers", "messages", "sizes", "idle"}
    assert {file.name for file in images.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}


@pytest.mark.parametrize(
    ("text", "more", "complaint"),
    [
        (None, None, "result.json cannot be read as a result"),
        ("{", None, "result.json cannot be read as a result"),
        ("[]", None, "result.json is not the result of `python -m bench full`"),
        ('{"rows": []}', None, "result.json is not the result of `python -m bench full`"),
        ('{"parts": {}}', '{"parts": {}}', "more.json is not the result of `python -m bench fanout`"),
    ],
)
def test_report_of_no_result(
    text: str | None, more: str | None, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is no result, or that of another command, is named with what is wrong."""
    if reason := plots.unavailable():
        pytest.skip(reason)
    files = [tmp_path / "result.json", tmp_path / "more.json"]
    for file, content in zip(files, (text, more), strict=True):
        if content is not None:
            file.write_text(content)
    given = [str(file) for file, content in zip(files, ("always", more), strict=True) if content]
    assert cli.main(["report", *given]) == 1
    assert f"{tmp_path}/{complaint}" in capsys.readouterr().err


def test_plots_of_a_result_without_shapes(tmp_path: Path) -> None:
    """A result that has no shapes has no plots."""
    if reason := plots.unavailable():
        pytest.skip(reason)
    assert plots.draw(plots.rows_of({"runs": [{"peer": "ours"}]}), tmp_path) == []


def test_markdown_aligns_its_columns() -> None:
    """The first columns stand left, figures right."""
    assert markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | --: |\n| x | 1 |"


def test_remaining_learns_from_what_is_done() -> None:
    """Nothing done says nothing; everything done leaves nothing."""
    remaining = Remaining(10)
    assert remaining.text() == ""
    remaining.done(4)
    assert remaining.text().endswith("left")
    remaining.done(6)
    assert remaining.text() == "0:00 left"


def _measurement(rounds: int, seconds: float, peers: int = 9) -> Fanout:
    selection = Selection(tuple(PEERS.values())[:peers], {})
    return Fanout(Context(selection, choose_cores()), (), Pace(rounds, seconds, 0.1))


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 descriptors, as on a usual machine."""
    monkeypatch.setattr("resource.getrlimit", lambda _which: (20_000, 20_000))


def test_full_and_usual_commands_are_declared() -> None:
    """Every command takes its options."""
    options = cli.build_parser().parse_args(["full", "--rounds", "6", "--seconds", "0.5"])
    assert (options.rounds, options.seconds) == (6, 0.5)
    assert fanout.pace_of(options, fanout.FULL) == Pace(6, 0.5, fanout.FULL.warm_up)


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize(
    ("rounds", "wanted"), [(1, Pace(1, 0.5, 0.1)), (2, Pace(2, 0.5, 0.1)), (12, Pace(2, 3.0, 0.1))]
)
def test_clients_too_many_to_stay_have_two_longer_rounds(rounds: int, wanted: Pace) -> None:
    """Where clients connect anew for each round; a figure has a spread wherever several rounds were asked for."""
    measured = _measurement(rounds, 0.5)
    assert measured.pace_of(Shape(9000, 1)) == wanted
    assert measured.pace_of(Shape(1000, 1)) == Pace(rounds, 0.5, 0.1)


@pytest.mark.usefixtures("descriptors")
def test_clients_of_all_brokers_stay_connected_where_descriptors_allow() -> None:
    """Nine brokers with 1,000 topics do, with 9,000 subscribers do not; slow subscribers must never have a rest."""
    assert _measurement(12, 0.3).together(Shape(1, 1, topics=1000))
    assert not _measurement(12, 0.3).together(Shape(9000, 1))
    assert _measurement(12, 0.3, peers=2).together(Shape(9000, 1))
    assert not _measurement(12, 0.3).together(Shape(90, 16, slow=10))


def test_whole_benchmark_stays_under_fifty_minutes() -> None:
    """With every peer that there is, by its own estimate, and each shape has at least two rounds."""
    everyone = Context(Selection(tuple(PEERS.values()), {}), choose_cores(), quick=True)
    measured = Full(Context(select(["ours"]), choose_cores()), full.PACE)
    for name in ("memory", "connections", "restart", "latency", "fanout"):
        part = measured.parts[name]
        assert hasattr(part, "context")
        part.context = everyone
    assert measured.estimate() < 50 * 60
    fan_out = measured.parts["fanout"]
    assert isinstance(fan_out, Fanout)
    assert min(fan_out.pace_of(shape).rounds for shape in fan_out.shapes) == 2


def _running(name: str) -> Running:
    return Running(PEERS[name], 1, 1)


def test_rounds_begin_with_another_broker_each_and_change_direction() -> None:
    """Round r begins with broker r, counted in a circle; everybody has a turn, and not always the same neighbour."""
    names = ["ours", "bun", "nats"]
    assert [fanout.in_turn(names, turn) for turn in range(4)] == [
        ["ours", "bun", "nats"],
        ["bun", "ours", "nats"],
        ["nats", "ours", "bun"],
        ["ours", "nats", "bun"],
    ]
    assert fanout.in_turn([], 3) == []


def failed(measurement: Fanout) -> list[str]:
    """Return who is out of a shape."""
    return [failure.partition(": ")[0].rpartition(" ")[2] for failure in measurement.failures]


SLOW = Shape(10, 1, slow=1)
"""Its clients connect anew for each round."""


@pytest.mark.parametrize("shape", [Shape(10, 1), SLOW], ids=["together", "apart"])
def test_peer_that_fails_later_is_left_out(
    shape: Shape, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its earlier rounds are dropped, its clients leave, the others go on undisturbed, and the reason is kept."""
    seen: list[str] = []
    connected: set[str] = set()

    def measured_one(broker: Running) -> RunResult:
        seen.append(broker.peer.name)
        assert not gc.isenabled()
        assert "bun" not in connected or "bun" not in failed(measurement)
        if seen[-1] == "bun" and seen.count("bun") == 2:
            raise BenchError("it lost a message")
        return run(broker.peer.name, shape, 0.001).result

    @contextmanager
    def made_ready(broker: Running, *_rest: object) -> Iterator[SimpleNamespace]:
        connected.add(broker.peer.name)
        try:
            yield SimpleNamespace(run=lambda _seconds: measured_one(broker))
        finally:
            connected.remove(broker.peer.name)

    monkeypatch.setattr(fanout, "ready", made_ready)
    monkeypatch.setattr(fanout, "measure", lambda broker, *_rest: measured_one(broker))
    measurement = Fanout(Context(Selection((), {}), choose_cores()), (shape,), Pace(3, 1.0, 0.1))
    rounds = measurement.pace_of(shape).rounds
    measurement._take_turns(shape, [_running("ours"), _running("bun")])
    assert [found.peer for found in measurement.runs] == ["ours"] * rounds
    assert measurement.failures == [f"{shape.name}, bun: failed, it lost a message"]
    assert seen == ["ours", "bun", "bun", "ours", "ours"][: rounds + 2]
    assert not connected
    assert gc.isenabled()
    assert "load 50% (kept waiting 4%)" in capsys.readouterr().err


def test_all_pollers_are_made_before_the_first_client_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the clients of several brokers their descriptors would exceed what `select()` takes."""
    shape = Shape(10, 1)
    made: list[epoll] = []

    def counted() -> epoll:
        made.append(epoll())
        return made[-1]

    @contextmanager
    def made_ready(broker: Running, *rest: object) -> Iterator[SimpleNamespace]:
        assert len(made) == 3
        assert rest[-1] in made
        yield SimpleNamespace(run=lambda _seconds: run(broker.peer.name, shape, 0.001).result)

    monkeypatch.setattr("select.epoll", counted)
    monkeypatch.setattr(fanout, "ready", made_ready)
    measurement = Fanout(Context(Selection((), {}), choose_cores()), (shape,), Pace(3, 1.0, 0.1))
    measurement._take_turns(shape, [_running("ours"), _running("bun"), _running("nats")])
    assert len(measurement.runs) == 9


def test_peer_that_does_not_let_clients_in_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured; when it is ours, that ends the benchmark."""
    shape = Shape(10, 1)

    @contextmanager
    def made_ready(broker: Running, *_rest: object) -> Iterator[SimpleNamespace]:
        if broker.peer.name == refusing:
            raise BenchError("the handshake was refused")
        yield SimpleNamespace(run=lambda _seconds: run(broker.peer.name, shape, 0.001).result)

    monkeypatch.setattr(fanout, "ready", made_ready)
    measurement = Fanout(Context(Selection((), {}), choose_cores()), (shape,), Pace(3, 1.0, 0.1))
    refusing = "bun"
    measurement._take_turns(shape, [_running("bun"), _running("ours")])
    assert [found.peer for found in measurement.runs] == ["ours"] * 3
    refusing = "ours"
    with pytest.raises(BenchError, match="handshake"):
        measurement._take_turns(shape, [_running("bun"), _running("ours")])


def test_no_command_is_the_standard_one(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m bench --peers X` measures the standard shapes."""
    assert cli.main(["--peers", "nobody"]) == 1
    assert "unknown peer 'nobody'" in capsys.readouterr().err


class Failing:
    """A part that fails, or one that does not."""

    def __init__(self, error: str = "") -> None:
        self.error = error

    def estimate(self) -> float:
        return 1.0

    def measure_all(self) -> None:
        if self.error:
            raise BenchError(self.error)

    def document(self) -> dict[str, Any]:
        return {"error": self.error}

    def tables(self) -> list[Table]:
        return [Table.of(self.error or "fine", ("a", "b"), [("1", "2")])]


def test_full_goes_on_after_a_part_that_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """One part's failure is told at the end, and the others are measured all the same."""
    measured = Full(Context(select(["websockets"]), choose_cores(), quick=True), Pace(1, 1, 0.1))
    assert set(measured.parts) == {"memory", "connections", "restart", "latency", "fanout"}
    assert "auth" in measured.skipped
    measured.parts = {"memory": Failing("no memory"), "fanout": Failing()}
    with pytest.raises(BenchError, match="memory: no memory"):
        measured.measure_all()
    assert set(measured.document()["parts"]) == {"memory", "fanout"}
    assert [table.title for table in measured.tables()] == ["no memory", "fine"]
    assert "memory failed: no memory" in capsys.readouterr().err
