"""What Prometheus reads of the OTP-Pi."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from otp.pi.counts import DELIVERY_BUCKETS, Counts, Histogram
from otp.pi.metrics import HELP, PREFIX, render
from otp.pi.model import State
from otp.pi.modems.status import ModemState
from tests.pi.rest_doubles import NOW, Input, Row, World, modem

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def world() -> World:
    return World()


async def scrape(world: World, counts: Counts) -> Samples:
    text = render(counts, await world.status.snapshot()).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((PREFIX + name, tuple(sorted(labels.items()))))


def named(samples: Samples, name: str) -> list[dict[str, str]]:
    return [dict(labels) for found, labels in samples if found == PREFIX + name]


async def test_counted_events_are_shown(world: World) -> None:
    """Each number stands under its name and labels."""
    counts = Counts()
    counts.commands["send-sms", "amqp", "0000"] += 2
    counts.messages["sent"] += 3
    counts.parts_sent["one"] += 4
    counts.modem_failures["one", "network"] += 5
    counts.mail["first", "failed"] += 6
    counts.rejected["unauthorized"] += 7
    counts.guard_refusals["receiver_hour"] += 8
    found = await scrape(world, counts)
    assert of(found, "commands_total", command="send-sms", road="amqp", code="0000") == 2
    assert of(found, "messages_total", state="sent") == 3
    assert of(found, "parts_sent_total", modem="one") == 4
    assert of(found, "modem_failures_total", modem="one", kind="network") == 5
    assert of(found, "mail_total", account="first", result="failed") == 6
    assert of(found, "rejected_total", reason="unauthorized") == 7
    assert of(found, "guard_refusals_total", scope="receiver_hour") == 8
    assert of(found, "input_received_total", input="amqp") == 7


async def test_known_labels_begin_at_zero(world: World) -> None:
    """States, modems and accounts are there before their first event, so that its increase is seen."""
    found = await scrape(world, Counts())
    assert {label["state"] for label in named(found, "messages_total")} == set(map(str, State))
    assert of(found, "parts_sent_total", modem="one") == 0
    for result in ("sent", "failed", "unknown"):
        assert of(found, "mail_total", account="first", result=result) == 0


async def test_gauges_of_modems_and_inputs(world: World) -> None:
    """How modems and ways in are; a signal that is unknown is absent, not zero."""
    world.modems = [modem("a", signal=20), modem("b", ModemState.NOT_REGISTERED, signal=None)]
    world.inputs = [Input("ws"), Input("mqtt", connected=False)]
    found = await scrape(world, Counts())
    assert [of(found, "modem_up", modem=name) for name in "ab"] == [1, 0]
    assert [of(found, "modem_registered", modem=name) for name in "ab"] == [1, 0]
    assert [of(found, "modem_signal_dbm", modem=name) for name in "ab"] == [-73, None]
    assert [of(found, "input_connected", input=name) for name in ("ws", "mqtt")] == [1, 0]
    assert of(found, "ready") == 0


async def test_queue(world: World) -> None:
    """What waits, and since when."""
    world.journal.kept = [Row(1, State.QUEUED, NOW - 25), Row(2, State.UNKNOWN)]
    found = await scrape(world, Counts())
    assert [of(found, "queue_messages", state=state) for state in ("queued", "unknown", "routed")] == [1, 1, 0]
    assert of(found, "queue_oldest_seconds") == 25
    assert (of(found, "journal_up"), of(found, "ready")) == (1, 1)


async def test_journal_that_fails(world: World) -> None:
    """Without the journal the rest is still served, and the queue is absent rather than empty."""
    world.journal.fail = OSError("canary")
    found = await scrape(world, Counts())
    assert (of(found, "journal_up"), of(found, "ready")) == (0, 0)
    assert named(found, "queue_messages") == []
    assert of(found, "modem_up", modem="one") == 1


async def test_histograms(world: World) -> None:
    """Durations are added up bucket by bucket; one below zero, after the clock was set back, counts as zero."""
    counts = Counts()
    for seconds in (-3.0, 0.5, 2.5, 1000.0):
        counts.delivery.observe(seconds)
    counts.journal_commit.observe(0.002)
    counts.answer.observe(3.0)
    found = await scrape(world, counts)
    assert of(found, "delivery_seconds_bucket", le="0.5") == 2
    assert of(found, "delivery_seconds_bucket", le="3.0") == 3
    assert of(found, "delivery_seconds_bucket", le=str(DELIVERY_BUCKETS[-1])) == 3
    assert of(found, "delivery_seconds_bucket", le="+Inf") == of(found, "delivery_seconds_count") == 4
    assert of(found, "delivery_seconds_sum") == 1003.0
    assert of(found, "journal_commit_seconds_count") == of(found, "answer_seconds_count") == 1


def test_bounds_are_within_their_bucket() -> None:
    """A value equal to a bound is within it, as Prometheus has it."""
    histogram = Histogram((1.0, 2.0))
    for seconds in (1.0, 1.1, 2.0, 2.1):
        histogram.observe(seconds)
    assert histogram.times == [1, 2, 1]


async def test_every_metric_has_its_help_and_is_written(world: World) -> None:
    """Nothing is described that is not written, and nothing written that is not described; the process is there too."""
    counts = Counts()
    counts.commands["echo", "rest", "0000"] += 1
    text = render(counts, await world.status.snapshot()).decode()
    families = {family.name for family in text_string_to_metric_families(text)}
    assert {name for name in families if name.startswith(PREFIX)} == {
        PREFIX + name.removesuffix("_total") for name in HELP
    }
    assert "process_resident_memory_bytes" in families


async def test_labels_hold_no_receiver(world: World) -> None:
    """Labels are names from the settings and fixed words."""
    found = await scrape(world, Counts())
    labels = {name for _, pairs in found for name, _ in pairs}
    known = {"version", "python", "command", "road", "code", "reason", "state", "scope", "modem", "kind"}
    assert labels <= known | {"account", "result", "input", "le"}
