"""Every metric of the OTP-Pi by name. Nothing here is touched per message: `Counts` and a snapshot are read."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as PrometheusCollector

from otp.pi.counts import Counts, Histogram
from otp.pi.model import State
from otp.pi.modems.status import ModemState, ModemStatus
from otp.pi.status import Snapshot

PREFIX: Final = "otp_pi_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

HELP: Final = {
    "build_info": "Always 1; the labels tell version and Python.",
    "uptime_seconds": "Time since the start.",
    "ready": "1 while all that is configured works: what /readyz says.",
    "commands_total": "Commands that were answered or dealt with, by name, road and response code.",
    "rejected_total": "Payloads that were no command and requests that were refused, by reason.",
    "messages_total": "Messages that came to a state.",
    "queue_messages": "Messages that wait or whose outcome is unknown, by state.",
    "queue_oldest_seconds": "Time since the oldest message that waits arrived; 0 when none waits.",
    "delivery_seconds": "From the arrival of a message until the network or the mail server had taken it.",
    "answer_seconds": "Time until a command over HTTP was answered.",
    "guard_refusals_total": "Messages that a guard refused, by its scope.",
    "modem_up": "1 while a modem may be given messages.",
    "modem_registered": "1 while a modem is registered in a network.",
    "modem_signal_dbm": "Received signal strength; absent while unknown.",
    "modem_failures_total": "Failures of a modem to send, by kind.",
    "parts_sent_total": "Parts of SMS that the network took, by modem.",
    "mail_total": "Mails handed to an account's server, by result.",
    "input_connected": "1 while commands can come in over a way in.",
    "input_received_total": "Messages that came in over a way in, refused ones and repetitions included.",
    "journal_up": "1 while the journal answers.",
    "journal_commit_seconds": "Time that a commit of the journal took.",
}
"""Name (without prefix) to help text: every metric there is."""

MAIL_RESULTS: Final = ("sent", "failed", "unknown")


class Collector(PrometheusCollector):
    """Hand the numbers to prometheus_client.

    Args:
        counts: What was counted.
        snapshot: How everybody is.
    """

    def __init__(self, counts: Counts, snapshot: Snapshot) -> None:
        self._counts = counts
        self._now = snapshot

    def collect(self) -> Iterator[Metric]:
        """Write every number once."""
        yield _family("build_info", ("version", "python"), {(self._now.version, platform.python_version()): 1})
        yield _family("uptime_seconds", (), {(): self._now.uptime})
        yield _family("ready", (), {(): not self._now.reasons()})
        yield from self._of_messages()
        yield from self._of_modems()
        yield from self._of_inputs()
        yield _family("mail_total", ("account", "result"), self._counts.mail, self._mail_labels())
        yield _family("journal_up", (), {(): not self._now.journal_error})
        yield _histogram("journal_commit_seconds", self._counts.journal_commit)

    def _of_messages(self) -> Iterator[Metric]:
        counts = self._counts
        yield _family("commands_total", ("command", "road", "code"), counts.commands)
        yield _family("rejected_total", ("reason",), _single(counts.rejected))
        yield _family("messages_total", ("state",), _single(counts.messages), [(str(state),) for state in State])
        yield _family("guard_refusals_total", ("scope",), _single(counts.guard_refusals))
        yield _histogram("delivery_seconds", counts.delivery)
        yield _histogram("answer_seconds", counts.answer)
        if not self._now.journal_error:
            yield _family("queue_messages", ("state",), _single(self._now.queue))
            yield _family("queue_oldest_seconds", (), {(): self._now.oldest_waiting})

    def _of_modems(self) -> Iterator[Metric]:
        modems = self._now.modems
        names = [(modem.name,) for modem in modems]
        yield _family("modem_up", ("modem",), {(modem.name,): _up(modem) for modem in modems})
        yield _family("modem_registered", ("modem",), {(modem.name,): modem.registered for modem in modems})
        signals = {(modem.name,): modem.rssi_dbm for modem in modems if modem.rssi_dbm is not None}
        yield _family("modem_signal_dbm", ("modem",), signals)
        yield _family("modem_failures_total", ("modem", "kind"), self._counts.modem_failures)
        yield _family("parts_sent_total", ("modem",), _single(self._counts.parts_sent), names)

    def _of_inputs(self) -> Iterator[Metric]:
        inputs = self._now.inputs
        yield _family("input_connected", ("input",), {(each.name,): each.status.connected for each in inputs})
        yield _family("input_received_total", ("input",), {(each.name,): each.status.received for each in inputs})

    def _mail_labels(self) -> list[tuple[str, str]]:
        return [(account.name, result) for account in self._now.mail for result in MAIL_RESULTS]


def _up(modem: ModemStatus) -> bool:
    return modem.state is ModemState.READY


def _single(values: Mapping[str, int]) -> dict[tuple[str], int]:
    return {(label,): value for label, value in values.items()}


def _family(
    name: str,
    labels: tuple[str, ...],
    values: Mapping[Any, float],
    known: Iterable[tuple[str, ...]] = (),
) -> Metric:
    """Write one metric; known labels are there from the start, so that `increase` sees their first event.

    Args:
        name: In ``HELP``.
        labels: Names of the labels.
        values: Values of the labels to number.
        known: Values of labels that count from 0.
    """
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = kind(PREFIX + name, HELP[name], labels=labels)
    for key in sorted({*values, *known}):
        family.add_metric([str(part) for part in key], float(values.get(key, 0)))
    return family


def _histogram(name: str, values: Histogram) -> Metric:
    total, buckets = 0, []
    for bound, count in zip((*map(str, values.bounds), "+Inf"), values.times, strict=True):
        total += count
        buckets.append((bound, total))
    return HistogramMetricFamily(PREFIX + name, HELP[name], buckets=buckets, sum_value=values.total)


def render(counts: Counts, snapshot: Snapshot) -> bytes:
    """Write the metrics in Prometheus' text format, with those of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(counts, snapshot))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
