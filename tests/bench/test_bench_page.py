"""From a result to plots and to the page on performance."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench import cli, plots
from bench.budget import BenchError
from bench.commands import fanout
from bench.commands.fanout import Fanout
from bench.commands.full import Full
from bench.context import Context
from bench.load import RunResult
from bench.machine import choose_cores, machine_facts
from bench.page import blocks, markdown, merged, refreshed
from bench.remaining import Remaining
from bench.report import Table
from bench.runs import Pace
from bench.selection import Selection, select
from bench.shapes import GROUPS, Shape, shapes_of
from bench.summary import Run


def run(peer: str, shape: Shape, cpu: float) -> Run:
    samples = [1.0, 2.0, 3.0]
    return Run(shape, peer, 0, RunResult(1000, 1000, 1.0, cpu, 0.5, 0.0, samples, cut_off=2, grown_kib=3072))


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
    assert "| 100, 1000 messages/s | 2.00 / 3.00 / 3.00 |" in made["latencies"]
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
    """A result without shapes, or of another machine, is refused; so is one that is not of a full run."""
    other = {"machine": {**document["machine"], "processor": "abacus"}, "rows": []}
    with pytest.raises(BenchError, match="on the same machine"):
        merged(json.loads(json.dumps(document)), [other])
    with pytest.raises(BenchError, match="on the same machine"):
        merged(json.loads(json.dumps(document)), [{"machine": document["machine"]}])
    with pytest.raises(BenchError, match="python -m bench full"):
        merged({"rows": []}, [])


def test_blocks_of_another_command() -> None:
    """Only a full run fills the page."""
    with pytest.raises(BenchError, match="python -m bench full"):
        blocks({"command": "memory"})


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
    names = {"fan-out", "latency", "subscribers", "sizes", "idle"}
    assert {file.name for file in images.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}


def test_report_of_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no result is named with what is wrong."""
    if reason := plots.unavailable():
        pytest.skip(reason)
    assert cli.main(["report", str(tmp_path / "nothing.json")]) == 1
    assert "cannot be read as a result" in capsys.readouterr().err


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


def test_full_and_usual_commands_are_declared() -> None:
    """Every command takes its options; many connections are measured in fewer rounds."""
    options = cli.build_parser().parse_args(["full", "--rounds", "6", "--seconds", "0.5"])
    assert (options.rounds, options.seconds) == (6, 0.5)
    measured = Fanout(Context(Selection((), {}), choose_cores()), (), fanout.pace_of(options, fanout.FULL))
    assert (measured._rounds(Shape(10, 1)), measured._rounds(Shape(9000, 1))) == (6, 2)


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
