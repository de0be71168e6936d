"""From single runs to the fan-out table: medians, spread, ratios (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import BUSY_SHARE, RunResult
from bench.report import Table, number, percent, ratio
from bench.shapes import Shape
from bench.stats import distribution, grouped, median, percentile, spread, tail

HEAD = (
    "subscribers",
    "broker",
    "us/delivery",
    "spread",
    "best",
    "x ours",
    "us/message",
    "messages/s",
    "deliveries/s",
    "all have it, p50 ms",
    "p99 ms",
    "p99.9 ms",
    "broker CPU",
    "system",
    "disturbed",
    "load CPU",
    "load disturbed",
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run with where it belongs."""

    shape: Shape
    peer: str
    round: int
    result: RunResult


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of one shape against one broker, put together; medians unless said otherwise."""

    shape: Shape
    peer: str
    per_delivery: float
    spread: float | None
    """Distance between the quartiles of processor time per delivery, as a fraction of the median (`stats.spread`)."""
    best: float
    """The smallest processor time per delivery: on a disturbed machine nearest to the truth."""
    per_message: float
    messages_per_second: float
    deliveries_per_second: float
    completion_p50: float
    completion_p99: float | None
    completion_p999: float | None
    levels: dict[str, float | None]
    """Latencies of all rounds together by percentile, in milliseconds; None where there are too few samples."""
    broker_share: float
    user_share: float | None
    """User time as a fraction of the broker's processor time in all rounds; None where no tick of it was seen."""
    system_share: float | None
    """System time, as `user_share`."""
    disturbed: float
    """Time the broker was kept from its core, as a fraction of the run."""
    load_share: float
    busiest_load: float
    """The generator's share of its core in the busiest quarter of the rounds: their upper quartile."""
    load_disturbed: float
    """Time the generator was kept from its core, as a fraction of the run."""
    cut_off: int
    """Slow subscribers that the broker disconnected, in all rounds."""
    grown_kib: int
    """How much the broker's memory grew at most during a run."""

    @property
    def load_bound(self) -> bool:
        """Whether the load generator was so busy in any round that it may have set the pace."""
        return self.busiest_load > BUSY_SHARE


def make_row(runs: Sequence[Run]) -> Row:
    """Put the runs of one shape against one broker together."""
    results = [run.result for run in runs]
    per_delivery = [result.per_delivery for result in results]
    samples = [sample for result in results for sample in result.completion_ms]
    user, system = sum(result.user for result in results), sum(result.system for result in results)
    ticks = user + system
    return Row(
        shape=runs[0].shape,
        peer=runs[0].peer,
        per_delivery=median(per_delivery),
        spread=spread(per_delivery),
        best=min(per_delivery),
        per_message=median([result.per_message for result in results]),
        messages_per_second=median([result.messages / result.wall for result in results]),
        deliveries_per_second=median([result.deliveries / result.wall for result in results]),
        completion_p50=percentile(samples, 50),
        completion_p99=tail(samples, 99),
        completion_p999=tail(samples, 99.9),
        levels=distribution(samples),
        broker_share=median([result.broker_share for result in results]),
        user_share=user / ticks if ticks else None,
        system_share=system / ticks if ticks else None,
        disturbed=median([result.disturbed / result.wall for result in results]),
        load_share=median([result.load_share for result in results]),
        busiest_load=percentile([result.load_share for result in results], 75),
        load_disturbed=median([result.load_disturbed / result.wall for result in results]),
        cut_off=sum(result.cut_off for result in results),
        grown_kib=max(result.grown_kib for result in results),
    )


def make_rows(runs: Sequence[Run]) -> list[Row]:
    """Put all runs together, in the order in which shapes and brokers first appear."""
    return [make_row(group) for group in grouped(runs, lambda run: (run.shape, run.peer)).values()]


def baseline_of(rows: Sequence[Row], shape: Shape, baseline: str) -> float | None:
    """Find the baseline's processor time per delivery in a shape, None when it was not measured."""
    return next((row.per_delivery for row in rows if row.shape == shape and row.peer == baseline), None)


def _cells(row: Row, base: float | None) -> list[str]:
    return [
        row.shape.name,
        row.peer,
        number(row.per_delivery),
        percent(row.spread),
        number(row.best),
        ratio(row.per_delivery, base),
        number(row.per_message),
        number(row.messages_per_second),
        number(row.deliveries_per_second),
        number(row.completion_p50),
        number(row.completion_p99),
        number(row.completion_p999),
        percent(row.broker_share),
        percent(row.system_share),
        percent(row.disturbed),
        percent(row.load_share) + ("!" if row.load_bound else ""),
        percent(row.load_disturbed),
    ]


def _notes(row: Row) -> list[str]:
    notes = []
    if row.load_bound:
        notes.append(
            f"! {row.shape.name}, {row.peer}: the load generator used {percent(row.busiest_load)} of its "
            f"core in its busiest quarter, the broker {percent(row.broker_share)}: the load may have set the pace"
        )
    if row.shape.slow:
        notes.append(
            f"  {row.shape.name}, {row.peer}: memory grew by {number(row.grown_kib / 1024)} MiB at most, "
            f"slow subscribers cut off in all rounds: {row.cut_off}"
        )
    return notes


def fanout_table(rows: Sequence[Row], baseline: str) -> Table:
    """Lay out the table, shape by shape, and say what makes a figure doubtful."""
    shapes = dict.fromkeys(row.shape for row in rows)
    lines = [_cells(row, baseline_of(rows, shape, baseline)) for shape in shapes for row in rows if row.shape == shape]
    return Table.of("Fan-out", HEAD, lines, [note for row in rows for note in _notes(row)])
