"""Count what happens, in plain ints: others add, ``otp.pi.metrics`` reads when it is scraped.

Labels stay few: names of commands, roads, modems, accounts and inputs come from the settings or a fixed list; never a
receiver, a user, an ``id`` or a text.

    counts = Counts()
    counts.commands["send-sms", "amqp", "0000"] += 1
    counts.delivery.observe(now - message.arrived)
"""

from bisect import bisect_left
from collections import Counter
from typing import Final

DELIVERY_BUCKETS: Final = (0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds: a part takes a modem 2 to 6 s, a code is worthless after 5 min."""

COMMIT_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds in seconds: 1 ms on an SSD, 10 to 50 ms on an SD card."""

ANSWER_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds: a block takes milliseconds, an SMS seconds, and ``answer_timeout`` is 30 s."""


class Histogram:
    """How often a duration fell between two bounds.

    Attributes:
        bounds: Upper bounds in seconds, ascending; a value equal to a bound is within it.
        times: One count for each bound, and one for what is above the last.
        total: Sum of all values in seconds.
    """

    __slots__ = ("bounds", "times", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.times = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; one below 0, after the clock was set back, counts as 0."""
        seconds = max(seconds, 0.0)
        self.times[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class Counts:
    """What was counted since the start.

    Attributes:
        commands: (command or ``unreadable``, road, response code) of every command that was answered or dealt with.
        messages: State that a message came to.
        parts_sent: Modem; parts of SMS that the network took.
        modem_failures: (modem, kind); kind is a ``modems.cms.Kind``, ``timeout`` or ``unknown_outcome``.
        mail: (account, ``sent``, ``failed`` or ``unknown``).
        rejected: Reason; payloads that were no command, and requests refused before one was read.
        guard_refusals: Scope of the guard that refused a message, such as ``receiver_hour``.
        delivery: From the arrival of a message until the network or the mail server had taken it.
        journal_commit: Time that a commit of the journal took.
        answer: Time until a command over HTTP was answered.
    """

    __slots__ = (
        "answer",
        "commands",
        "delivery",
        "guard_refusals",
        "journal_commit",
        "mail",
        "messages",
        "modem_failures",
        "parts_sent",
        "rejected",
    )

    def __init__(self) -> None:
        self.commands: Counter[tuple[str, str, str]] = Counter()
        self.messages: Counter[str] = Counter()
        self.parts_sent: Counter[str] = Counter()
        self.modem_failures: Counter[tuple[str, str]] = Counter()
        self.mail: Counter[tuple[str, str]] = Counter()
        self.rejected: Counter[str] = Counter()
        self.guard_refusals: Counter[str] = Counter()
        self.delivery = Histogram(DELIVERY_BUCKETS)
        self.journal_commit = Histogram(COMMIT_BUCKETS)
        self.answer = Histogram(ANSWER_BUCKETS)
