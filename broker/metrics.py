"""Every metric by name. The only import of prometheus_client.

No metric object is touched per message: the broker counts in plain numbers, and `Collector` reads them when it is
scraped.
"""

import bisect
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as PrometheusCollector

from broker.errors import ABNORMAL, CLOSURES
from broker.version import __version__

PREFIX: Final = "wsbroker_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

RELAY_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds in seconds of the relay histogram."""

HELP: Final = {
    "build_info": "Always 1; the labels tell version, Python and event loop.",
    "connections": "Connections that are open now, handshakes included.",
    "connections_opened_total": "WebSockets opened.",
    "connections_closed_total": "WebSockets ended, by Close code; 1006: no Close frame, `other`: a client's own.",
    "handshakes_rejected_total": "Requests refused before the upgrade or by the admin listener, by reason.",
    "auth_failures_total": "Requests without valid credentials, by reason: missing, malformed, wrong, throttled.",
    "topics": "Topics that have a connection now.",
    "subscribers": "Connections on a topic; topics that are not in metrics_topics are summed up as `other`.",
    "messages_received_total": "Messages taken from clients and from /publish.",
    "messages_delivered_total": "Messages handed to a subscriber's connection, counted once per subscriber.",
    "messages_dropped_total": "Messages that were not handed on, counted once per subscriber, by reason.",
    "received_bytes_total": "Bytes read from open WebSockets.",
    "sent_bytes_total": "Bytes of messages written to subscribers.",
    "slow_consumers_total": "Connections that fell behind max_queued_bytes or write_timeout.",
    "send_queue_bytes": "Bytes that wait for connections which are behind.",
    "event_loop_lag_seconds": "How late the last tick of the event loop was.",
    "relay_duration_seconds": "From the arrival of a batch's first message to the end of its fan-out.",
    "config_reloads_total": "Reloads of accounts, certificates and settings, by result.",
    "accepting": "1 while new connections are accepted, 0 while accepting pauses for want of descriptors.",
}
"""Name (without prefix) to help text; the reference is tested against it."""

STANDARD_CODES: Final = range(1000, 1016)
"""Close codes of RFC 6455, 7.4.1."""
OTHER_CODE: Final = "other"
KNOWN_CODES: Final = (*(str(closure.code) for closure in CLOSURES), str(ABNORMAL), OTHER_CODE)
AUTH_REASONS: Final = ("missing", "malformed", "wrong", "throttled")
DROP_REASONS: Final = ("slow_consumer", "rate_limited", "empty")


class Counters:
    """What the broker counts itself, in plain numbers."""

    __slots__ = (
        "auth_failures",
        "closed",
        "dropped",
        "lag",
        "opened",
        "received_bytes",
        "rejected",
        "relay_sum",
        "relay_times",
        "relays",
        "reloads",
        "slow_consumers",
    )

    def __init__(self) -> None:
        self.opened = 0
        self.received_bytes = 0
        self.slow_consumers = 0
        self.closed: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.auth_failures: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.reloads: Counter[str] = Counter()
        self.lag = 0.0
        self.relays: list[float] = []
        """Seconds of the latest flushes, not yet in a bucket: many at a time cost a tenth of each on its own."""
        self.relay_times = [0] * (len(RELAY_BUCKETS) + 1)
        self.relay_sum = 0.0

    def count_relays(self) -> None:
        """Put what `relays` holds into the buckets."""
        for seconds in self.relays:
            self.relay_times[bisect.bisect_left(RELAY_BUCKETS, seconds)] += 1
            self.relay_sum += seconds
        self.relays.clear()  # never replaced: `Topics` holds its `append`


class Gauges:
    """What is asked for only when it is scraped.

    Args:
        values: metric name to a function that reads it now.
        subscribers: yields (topic label, connections).
    """

    __slots__ = ("subscribers", "values")

    def __init__(
        self, values: dict[str, Callable[[], float]], subscribers: Callable[[], Iterable[tuple[str, int]]]
    ) -> None:
        self.values = values
        self.subscribers = subscribers


class Collector(PrometheusCollector):
    """Hand the broker's numbers to prometheus_client."""

    def __init__(self, counters: Counters, gauges: Gauges, loop_name: str) -> None:
        self.counters = counters
        self.gauges = gauges
        self.loop_name = loop_name

    def collect(self) -> Iterator[Metric]:
        """Read every number once."""
        counters = self.counters
        build = _metric(GaugeMetricFamily, "build_info", labels=["version", "python", "loop"])
        build.add_metric([__version__, platform.python_version(), self.loop_name], 1)
        yield build
        for name, read in self.gauges.values.items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield _metric(family, name, value=read())
        yield _metric(CounterMetricFamily, "connections_opened_total", value=counters.opened)
        yield _metric(CounterMetricFamily, "received_bytes_total", value=counters.received_bytes)
        yield _metric(CounterMetricFamily, "slow_consumers_total", value=counters.slow_consumers)
        yield _metric(GaugeMetricFamily, "event_loop_lag_seconds", value=counters.lag)
        yield _labelled("connections_closed_total", "code", counters.closed, KNOWN_CODES)
        yield _labelled("handshakes_rejected_total", "reason", counters.rejected, ())
        yield _labelled("auth_failures_total", "reason", counters.auth_failures, AUTH_REASONS)
        yield _labelled("messages_dropped_total", "reason", counters.dropped, DROP_REASONS)
        yield _labelled("config_reloads_total", "result", counters.reloads, ("ok", "error"))
        subscribers = _metric(GaugeMetricFamily, "subscribers", labels=["topic"])
        for topic, count in self.gauges.subscribers():
            subscribers.add_metric([topic], count)
        yield subscribers
        yield self._relay()

    def _relay(self) -> Metric:
        self.counters.count_relays()
        total, buckets = 0, []
        for bound, count in zip((*map(str, RELAY_BUCKETS), "+Inf"), self.counters.relay_times, strict=True):
            total += count
            buckets.append((bound, total))
        name = "relay_duration_seconds"
        return HistogramMetricFamily(PREFIX + name, HELP[name], buckets=buckets, sum_value=self.counters.relay_sum)


def _metric(family: type[Any], name: str, **arguments: Any) -> Any:
    return family(PREFIX + name, HELP[name], **arguments)


def _labelled(name: str, label: str, values: Counter[str], known: Iterable[str]) -> Any:
    """Write a labelled counter; known labels are there from the start, so that `increase` sees their first event."""
    family = _metric(CounterMetricFamily, name, labels=[label])
    for value in sorted({*values, *known}):
        family.add_metric([value], values[value])
    return family


def code_label(code: int) -> str:
    """Return the label of a Close code: clients choose theirs, and each label is a time series for ever."""
    return str(code) if str(code) in KNOWN_CODES or code in STANDARD_CODES else OTHER_CODE


def render(collector: Collector) -> bytes:
    """Write the metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)
    return generate_latest(registry)
