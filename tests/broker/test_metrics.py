"""Every metric, moved by what it counts: over a real broker, read from /metrics as Prometheus would."""

import asyncio
import platform
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from broker import WSMessageBroker, __version__
from broker.frames import CLOSE
from broker.metrics import CONTENT_TYPE, HELP, PREFIX, RELAY_BUCKETS, Counters, code_label
from tests.broker.conftest import Ask, Dial, http
from tests.conftest import MakeBroker, until
from tests.wire.raw import client_frame, close_payload, upgrade_request


async def families(broker: WSMessageBroker) -> dict[str, Metric]:
    """Scrape a broker; names without prefix, counters without `_total`."""
    response = await http(broker, "/metrics", user="")
    assert (response.status, response.headers["content-type"]) == (200, CONTENT_TYPE)
    parsed = text_string_to_metric_families(response.body.decode())
    return {family.name.removeprefix(PREFIX): family for family in parsed}


async def value(broker: WSMessageBroker, name: str, **labels: str) -> float:
    """Return one sample; 0 when it is not there."""
    found = (await families(broker))[name.removesuffix("_total")]
    return sum(sample.value for sample in found.samples if sample.name == PREFIX + name and sample.labels == labels)


class Bench:
    """A broker with its admin listener, and the fixtures that a mover needs."""

    def __init__(self, broker: WSMessageBroker, dial: Dial, ask: Ask, accounts: Path) -> None:
        self.broker = broker
        self.dial = dial
        self.ask = ask
        self.accounts = accounts

    async def pass_on(self, *messages: str) -> None:
        """Send messages from one client to another on the topic `sms`."""
        reader, sender = await self.dial(self.broker, "sms"), await self.dial(self.broker, "sms")
        for message in messages:
            await sender.send_text(message)
        await reader.frames(len(messages))


MakeBench = Callable[..., Awaitable[Bench]]


@pytest.fixture
def make_bench(make_broker: MakeBroker, dial: Dial, ask: Ask, free_port: int, accounts: Path) -> MakeBench:
    async def make(**settings: object) -> Bench:
        return Bench(await make_broker(admin_port=free_port, **settings), dial, ask, accounts)

    return make


TESTED: set[str] = set()
"""Names of HELP that a test below moves."""


def moves(name: str) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Say which metric a test moves."""
    TESTED.add(name)
    return lambda test: test


# -- form


async def test_metrics_parse_and_follow_the_naming_rules(make_bench: MakeBench) -> None:
    """What is in HELP is what is scraped, with help text and type; counters end in _total."""
    found = await families((await make_bench()).broker)
    ours = {name for name in found if not name.startswith(("process_", "python_"))}
    assert ours == {name.removesuffix("_total") for name in HELP}
    for name, text in HELP.items():
        family = found[name.removesuffix("_total")]
        assert family.documentation == text
        assert (family.type == "counter") is name.endswith("_total")
        assert text.endswith(".")


async def test_metrics_of_the_process_are_there_too(make_bench: MakeBench) -> None:
    """Memory, CPU and descriptors, under their usual names."""
    found = await families((await make_bench()).broker)
    assert found["process_resident_memory_bytes"].samples[0].value > 10**6
    assert found["process_open_fds"].samples[0].value > 3


def test_every_metric_has_a_test_that_moves_it() -> None:
    """A metric that nothing moves is a lie on a dashboard."""
    assert set(HELP) == TESTED


async def test_known_labels_are_there_before_their_first_event(make_bench: MakeBench) -> None:
    """`increase()` sees the first event only when there was a zero before."""
    broker = (await make_bench()).broker
    found = await families(broker)
    closed = {sample.labels["code"] for sample in found["connections_closed"].samples}
    assert {"1000", "1006", "1013", "3000", "other"} <= closed
    dropped = {sample.labels["reason"] for sample in found["messages_dropped"].samples}
    assert dropped == {"slow_consumer", "rate_limited", "empty"}
    assert {sample.labels["result"] for sample in found["config_reloads"].samples} == {"ok", "error"}


@pytest.mark.parametrize(
    ("code", "label"),
    [(1000, "1000"), (1006, "1006"), (1003, "1003"), (3000, "3000"), (3999, "other"), (4711, "other")],
)
def test_code_label_is_bounded(code: int, label: str) -> None:
    """A client that chooses its own code makes no new time series."""
    assert code_label(code) == label


# -- each metric


@moves("build_info")
@pytest.mark.both_loops
async def test_build_info_tells_version_python_and_loop(make_bench: MakeBench) -> None:
    """One sample of value 1, whose labels differ between the loops."""
    broker = (await make_bench()).broker
    labels = {"version": __version__, "python": platform.python_version(), "loop": broker.loop_name}
    assert await value(broker, "build_info", **labels) == 1
    assert type(asyncio.get_running_loop()).__module__.startswith(broker.loop_name)


@moves("connections")
@moves("connections_opened_total")
async def test_connections_count_what_is_open_now_and_what_was_opened(make_bench: MakeBench) -> None:
    """The gauge goes down with the client, the counter stays."""
    bench = await make_bench()
    wires = [await bench.dial(bench.broker) for _ in range(3)]
    assert await value(bench.broker, "connections") == 3
    wires[0].close()
    await until(lambda: bench.broker.core.census.open == 2)
    assert await value(bench.broker, "connections") == 2
    assert await value(bench.broker, "connections_opened_total") == 3


@moves("connections_closed_total")
async def test_connections_closed_are_counted_by_code(make_bench: MakeBench) -> None:
    """A Close's code, 1006 without one, `other` for a client's own."""
    bench = await make_bench()
    normal, rude, own = [await bench.dial(bench.broker) for _ in range(3)]
    await normal.say_goodbye(1000)
    await own.say_goodbye(4711)
    rude.close()
    await until(lambda: bench.broker.core.counters.closed.total() == 3)
    for code in ("1000", "1006", "other"):
        assert await value(bench.broker, "connections_closed_total", code=code) == 1


@moves("handshakes_rejected_total")
async def test_handshakes_rejected_are_counted_by_reason(make_bench: MakeBench) -> None:
    """Each refusal counts once, under its reason; those of the admin listener too."""
    bench = await make_bench()
    await bench.ask(bench.broker, upgrade_request("/nowhere"))
    await bench.ask(bench.broker, upgrade_request("/ws", "alice:wrong"))
    await http(bench.broker, "/nowhere")
    assert await value(bench.broker, "handshakes_rejected_total", reason="not_found") == 2
    assert await value(bench.broker, "handshakes_rejected_total", reason="wrong") == 1


@moves("auth_failures_total")
async def test_auth_failures_are_counted_by_reason(make_bench: MakeBench) -> None:
    """missing, malformed, wrong, throttled."""
    bench = await make_bench(auth_failures=1)
    plain = upgrade_request("/ws", "alice:wrong")
    line = next(line for line in plain.split(b"\r\n") if line.startswith(b"Authorization"))
    for request in (
        plain.replace(line + b"\r\n", b""),
        plain.replace(line, b"Authorization: Basic !"),
        plain,
        plain,
    ):
        await bench.ask(bench.broker, request)
    for reason in ("missing", "malformed", "wrong", "throttled"):
        assert await value(bench.broker, "auth_failures_total", reason=reason) == 1


@moves("topics")
@moves("subscribers")
async def test_topics_and_subscribers_show_only_names_that_were_chosen(make_bench: MakeBench) -> None:
    """Names of topics may be secrets: those outside metrics_topics are summed up as `other`."""
    bench = await make_bench(metrics_topics="sms,quiet")
    for topic in ("sms", "sms", "callback-1", "callback-2", "callback-2"):
        await bench.dial(bench.broker, topic)
    assert await value(bench.broker, "topics") == 3
    shown = {sample.labels["topic"]: sample.value for sample in (await families(bench.broker))["subscribers"].samples}
    assert shown == {"sms": 2, "quiet": 0, "other": 3}


@moves("messages_received_total")
@moves("messages_delivered_total")
async def test_messages_are_counted_on_their_way_in_and_out(make_bench: MakeBench) -> None:
    """Received once, delivered once per subscriber; /publish counts as well."""
    bench = await make_bench()
    await bench.pass_on("one", "two")
    await http(bench.broker, "/publish?topic=sms", method="POST", body=b"three")
    await http(bench.broker, "/publish?topic=nobody", method="POST", body=b"four")
    assert await value(bench.broker, "messages_received_total") == 4
    assert await value(bench.broker, "messages_delivered_total") == 2 + 2


@moves("messages_dropped_total")
async def test_messages_dropped_are_counted_by_reason(make_bench: MakeBench) -> None:
    """Nothing is lost in silence."""
    bench = await make_bench(drop_empty_messages=True, message_rate=1)
    sender = await bench.dial(bench.broker)
    await sender.send(client_frame(0x81) + client_frame(0x81, b"x") * 5)
    await sender.frames_to_end()
    assert await value(bench.broker, "messages_dropped_total", reason="empty") == 1
    assert await value(bench.broker, "messages_dropped_total", reason="rate_limited") == 3


@moves("received_bytes_total")
@moves("sent_bytes_total")
async def test_bytes_are_counted_in_and_out(make_bench: MakeBench) -> None:
    """What is read from WebSockets, and what is written to subscribers: 6 bytes of header and mask in, 2 out."""
    bench = await make_bench()
    await bench.pass_on("x" * 100)
    assert await value(bench.broker, "received_bytes_total") == 106
    assert await value(bench.broker, "sent_bytes_total") == 102


@moves("slow_consumers_total")
@moves("send_queue_bytes")
@pytest.mark.both_loops
async def test_slow_consumers_and_what_waits_for_them_are_shown(make_bench: MakeBench) -> None:
    """The queue of a reader that is behind is visible while it is, and the reader counts once it is too slow."""
    bench = await make_bench(max_message_size="64KiB", max_queued_bytes="512KiB")
    broker = bench.broker
    slow = await bench.dial(broker, "t", "alice:secret", receive_buffer=4096)
    reader, sender = await bench.dial(broker), await bench.dial(broker)
    while not broker.core.queued_bytes():
        await sender.send_text("x" * 60_000)
        await reader.frame()
    assert await value(broker, "send_queue_bytes") == broker.core.queued_bytes() > 0
    assert await value(broker, "slow_consumers_total") == 0
    while not broker.core.counters.slow_consumers:
        await sender.send_text("x" * 60_000)
        await reader.frame()
    slow.close()
    await until(lambda: broker.core.census.open == 2)
    assert await value(broker, "slow_consumers_total") == 1
    assert await value(broker, "messages_dropped_total", reason="slow_consumer") == 1
    assert await value(broker, "connections_closed_total", code="1013") == 1
    assert await value(broker, "send_queue_bytes") == 0


@moves("event_loop_lag_seconds")
@pytest.mark.both_loops
async def test_event_loop_lag_shows_how_long_the_loop_stood_still(make_bench: MakeBench) -> None:
    """A tick that comes late says by how much."""
    broker = (await make_bench()).broker
    due = broker.core.loop.time() - 3.0
    assert broker._ticker is not None
    broker._ticker.cancel()
    broker._tick(due)
    assert await value(broker, "event_loop_lag_seconds") >= 3.0


@moves("relay_duration_seconds")
async def test_relay_duration_counts_each_flush_in_its_bucket(make_bench: MakeBench) -> None:
    """A histogram: cumulative buckets, count and sum."""
    bench = await make_bench()
    await bench.pass_on("one")
    samples = (await families(bench.broker))["relay_duration_seconds"].samples
    buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    assert len(buckets) == len(RELAY_BUCKETS) + 1
    assert buckets == sorted(buckets)
    (count,) = [sample.value for sample in samples if sample.name.endswith("_count")]
    (total,) = [sample.value for sample in samples if sample.name.endswith("_sum")]
    assert count == buckets[-1] == 1
    assert 0 < total < 10


def test_relay_duration_is_put_into_the_bucket_that_it_fits() -> None:
    """Bounds are upper bounds, included."""
    counters = Counters()
    counters.relays += [0.0, 0.0001, 0.00011, 1.0, 2.0]
    counters.count_relays()
    assert not counters.relays
    assert counters.relay_times[0] == 2
    assert counters.relay_times[1] == 1
    assert counters.relay_times[-2:] == [1, 1]
    assert counters.relay_sum == pytest.approx(3.00021)


@moves("config_reloads_total")
async def test_config_reloads_are_counted_by_result(make_bench: MakeBench) -> None:
    """Accounts and settings each count, and a file that is no good counts as an error."""
    bench = await make_bench()
    assert await value(bench.broker, "config_reloads_total", result="ok") == 1
    await asyncio.to_thread(bench.accounts.write_text, "")
    assert not await bench.broker.reload()
    assert await value(bench.broker, "config_reloads_total", result="ok") == 2
    assert await value(bench.broker, "config_reloads_total", result="error") == 1


@moves("accepting")
async def test_accepting_is_0_while_accepting_pauses(make_bench: MakeBench) -> None:
    """An alert can be made of it."""
    broker = (await make_bench()).broker
    assert await value(broker, "accepting") == 1
    broker.listener.pause()
    assert await value(broker, "accepting") == 0


async def test_labels_never_hold_what_a_client_chose(make_bench: MakeBench) -> None:
    """Topics, users, codes and paths of clients appear in no label: cardinality and secrets."""
    bench = await make_bench()
    client = await bench.dial(bench.broker, "secret-topic")
    await client.send(client_frame(CLOSE, close_payload(4321, b"secret reason")))
    await client.frames_to_end()
    await bench.ask(bench.broker, upgrade_request("/secret-path?topic=x", "secret-user:secret-password"))
    await bench.ask(bench.broker, upgrade_request("/ws", "secret-user:secret-password"))
    await http(bench.broker, "/secret-page", user="secret-user:secret-password")
    page = (await http(bench.broker, "/metrics", user="")).body.decode()
    assert not re.search(r"secret|4321", page)
