"""Who is on which topic, and how a message reaches them: collected per turn of the event loop, joined, fanned out.

    turn of the loop            batch of the topic            one write per subscriber
    a sends 1 2, b sends 3      [(a,1) (a,2) (b,3)]           a gets 3, b gets 1 2, all others 1 2 3

Messages that arrive in one turn become one write per subscriber instead of one per message and subscriber; an idle
broker adds no delay, since the flush runs before the loop waits again, and a message that comes alone goes out at once.
Order holds per sender and topic.

Rules: the topic never looks into a message; a subscriber whose line cannot be written to directly gets `hold` instead
and decides itself; nobody is awaited, and nothing else runs during a fan-out. No asyncio here: the loop's `call_soon`
and a clock are handed in.

A message on its own is `publish`, `_deliver`, `_end_flush` and two looks at the clock. Between two such messages the
processor forgets this code: a call that costs 0.05 us in a loop costs 0.3 here, a look at the clock 1, and the whole
way of the message through the broker 45.
"""

import math
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from broker.errors import FULL, Refused

READERS_PATIENCE: Final = 1.0
"""Seconds for which senders wait while every reader of their topic is behind and none catches up."""
ALONE_AFTER: Final = 20e-6
"""Seconds without a read after which the next is taken to be alone in its turn. Two of a turn are 5 to 15 us apart,
a sender that waits for an answer needs 30 us and more."""
ALONE_SHARE: Final = 0.5
"""The same as a share of what the fan-out took: after one to many subscribers the caches are cold, two messages of a
turn 25 us apart, and taking each of a hundred for one that comes alone would cost a write to everybody for each."""
CROWD_MEMORY: Final = 1.0
"""Seconds for which batches are collected after a turn with several senders: taken alone, the first of each turn would
cost one more write per subscriber."""
NEVER: Final = math.inf
RATE_SPAN: Final = 1.0
"""Seconds over which a topic's rates are taken."""


Batch: TypeAlias = tuple[object, bytes, int]
"""What one sender published at once: the sender (None: nobody connected), its server frames joined, how many."""


Send: TypeAlias = Callable[[bytes], int]
"""Takes bytes at once and returns how many, or raises OSError for none; negative: the member gets them by `hold`."""


def withheld(_data: bytes) -> int:
    """Stand where a member's `Send` would: it takes nothing, the member is to get its batches by `hold`."""
    return -1


class Subscriber(Protocol):
    """One receiver of a topic."""

    def spill(self, rest: bytes) -> None:
        """Keep the rest of a batch that its `Send` took in part, or failed to take."""

    def hold(self, data: bytes, messages: int) -> int:
        """Take a batch while its `Send` is `withheld`: never sent to yet, settling, behind or leaving.

        Returns:
            How many of the `messages` will be delivered: all, or 0 when they were dropped or the subscriber leaves.
        """

    def fault(self, error: Exception) -> None:
        """Be told that taking a batch failed in a way that should not happen."""


class Meter:
    """Messages per second, in and out, over the last full span; fed with totals by who publishes, read seldom."""

    __slots__ = ("delivered", "due", "inbound", "outbound", "received", "since")

    def __init__(self, now: float) -> None:
        self.received = 0
        self.delivered = 0
        self.since = now
        self.due = now + RATE_SPAN
        """When the span is over."""
        self.inbound = 0.0
        self.outbound = 0.0

    def close_span(self, received: int, delivered: int, now: float) -> None:
        """End a span that is over: what the totals grew by in it, or in a silence longer than it."""
        seconds = now - self.since
        self.inbound = (received - self.received) / seconds
        self.outbound = (delivered - self.delivered) / seconds
        self.received, self.delivered = received, delivered
        self.since, self.due = now, now + RATE_SPAN


class Topic:
    """One topic: its members, and the batch of this turn."""

    __slots__ = (
        "batches",
        "behind",
        "delivered",
        "members",
        "meter",
        "name",
        "received",
        "stalled_at",
        "waiting",
    )

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.members: dict[Subscriber, Send] = {}
        """In the order in which they joined, each with the way to send to it directly."""
        self.batches: list[Batch] = []
        """What was published in this turn, in the order of arrival; emptied by the flush."""
        self.received = 0
        self.delivered = 0
        self.meter = Meter(now)
        self.behind = 0
        """Members whose write side is paused."""
        self.stalled_at = 0.0
        """When every reader was first seen behind with none catching up since; 0 when one did."""
        self.waiting: list[Callable[[], object]] = []
        """Senders to wake when a reader catches up."""

    def connect(self, member: Subscriber, send: Send) -> None:
        """Send to a member this way from now on; nothing when it has left."""
        if member in self.members:
            self.members[member] = send

    def rates(self, now: float) -> tuple[float, float]:
        """Return messages per second, in and out."""
        meter = self.meter
        if now >= meter.due:
            meter.close_span(self.received, self.delivered, now)
        return meter.inbound, meter.outbound

    def nobody_keeps_up(self, sender_behind: bool, now: float) -> bool:
        """Tell a sender to wait: every reader is behind, so that waiting delays none of them.

        It lets a topic run at the pace of its fastest reader instead of cutting healthy ones off, as TCP does between
        two. One reader that keeps up, or `READERS_PATIENCE` in which none takes anything, and nobody waits.
        """
        readers_behind = self.behind - sender_behind
        if not readers_behind or readers_behind < len(self.members) - 1:
            return False
        self.stalled_at = self.stalled_at or now
        return now - self.stalled_at < READERS_PATIENCE

    def fell_behind(self) -> None:
        """Count a member whose write side paused."""
        self.behind += 1

    def caught_up(self) -> None:
        """Count a member back, and wake the senders."""
        self.behind -= 1
        self.stalled_at = 0.0
        self.wake()

    def wake(self) -> None:
        """Let the senders that wait go on."""
        waiting, self.waiting = self.waiting, []
        for go_on in waiting:
            go_on()


class Topics:
    """All topics of a broker.

    Args:
        schedule: runs a callable before the loop waits again (`loop.call_soon`).
        clock: seconds, monotonic (`time.monotonic`).
        max_topics: topics that may exist at once; 0 is no limit.
        max_subscribers: members of one topic; 0 is no limit.
        observe: told the seconds from the first message of a batch to the end of its fan-out, once a flush.
    """

    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        clock: Callable[[], float],
        *,
        max_topics: int = 0,
        max_subscribers: int = 0,
        observe: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self.schedule = schedule
        self.clock = clock
        self.max_topics = max_topics
        self.max_subscribers = max_subscribers
        self.observe = observe
        self.by_name: dict[str, Topic] = {}
        self.pending: list[Topic] = []
        """Topics with a batch, in the order of their first message."""
        self.answers: list[tuple[Callable[[bytes], None], bytes]] = []
        """Replies that keep their place behind the messages which arrived before them."""
        self.stalled: set[Topic] = set()
        """Topics with senders that wait for a reader."""
        self.began = 0.0
        self.publishes = 0
        """Calls of `publish` for the batch that is due."""
        self.alone_from = 0.0
        """From when on what one sender publishes need not wait for others of its turn."""
        self.received = 0
        self.delivered = 0
        self.sent_bytes = 0

    def join(self, name: str, member: Subscriber) -> Topic:
        """Put a member on a topic, which begins to exist with its first.

        Raises:
            Refused: the topic or the number of topics is at its limit.
        """
        topic = self.by_name.get(name)
        if topic is None:
            if self.max_topics and len(self.by_name) >= self.max_topics:
                raise Refused(FULL, f"all {self.max_topics} topics (max_topics) are in use", reason="max_topics")
            topic = self.by_name[name] = Topic(name, self.clock())
        elif self.max_subscribers and len(topic.members) >= self.max_subscribers:
            raise Refused(
                FULL,
                f"the topic has {self.max_subscribers} connections (max_subscribers_per_topic)",
                reason="max_subscribers_per_topic",
            )
        topic.members[member] = withheld
        return topic

    def leave(self, topic: Topic, member: Subscriber) -> None:
        """Take a member off its topic; without members the topic ends once its batch is out."""
        topic.members.pop(member, None)
        self._end_if_empty(topic)

    def _end_if_empty(self, topic: Topic) -> None:
        if not topic.members and not topic.batches and self.by_name.get(topic.name) is topic:
            del self.by_name[topic.name]

    def publish(self, topic: Topic, origin: object, data: bytes, count: int, now: float) -> None:
        """Add messages of one sender to this turn's batches; what comes alone goes out at once.

        Going out at once spares a turn of the loop: 5 of the 25 us of a message on its own.

        Args:
            topic: where to.
            origin: the sender; it gets none of them back.
            data: server frames, one behind the other.
            count: how many: at least one.
            now: when they arrived, by the clock.
        """
        if now >= topic.meter.due:
            topic.meter.close_span(topic.received, topic.delivered, now)
        topic.received += count
        self.received += count
        if self.pending or now < self.alone_from:
            self._collect(topic, origin, data, count, now)
        else:
            self.alone_from = NEVER  # whoever publishes meanwhile is not alone
            self.began = now
            self._deliver(topic, origin, data, count)
            self._end_flush()

    def _collect(self, topic: Topic, origin: object, data: bytes, count: int, now: float) -> None:
        if not self.pending:
            self.began = now
            self.schedule(self.flush)
        if not topic.batches:
            self.pending.append(topic)
        topic.batches.append((origin, data, count))
        self.publishes += 1

    def _end_flush(self) -> None:
        """Note how long it took, and whether the next to publish may go alone."""
        now = self.clock()
        took = now - self.began
        silence = took * ALONE_SHARE
        if self.publishes > 1:
            silence = CROWD_MEMORY
        elif silence < ALONE_AFTER:
            silence = ALONE_AFTER
        self.alone_from = now + silence
        self.publishes = 0
        self.observe(took)

    def publish_to(self, name: str, frame: bytes) -> int:
        """Publish a message from outside, as nobody's connection; return how many subscribers the topic has now."""
        topic = self.by_name.get(name)
        if topic is None:
            self.received += 1
            return 0
        self.publish(topic, None, frame, 1, self.clock())
        return len(topic.members)

    def wait_for_readers(self, topic: Topic, go_on: Callable[[], object]) -> None:
        """Call `go_on` once a reader of the topic caught up, or `READERS_PATIENCE` is over.

        It may be called in the middle of a fan-out and must not publish by itself.
        """
        topic.waiting.append(go_on)
        self.stalled.add(topic)

    def tick(self, now: float) -> None:
        """Let senders go on that waited long enough; called a few times a second."""
        for topic in tuple(self.stalled):
            if not topic.waiting:
                self.stalled.discard(topic)
            elif now - topic.stalled_at >= READERS_PATIENCE:
                topic.wake()

    def answer(self, send: Callable[[bytes], None], data: bytes) -> None:
        """Send a reply behind everything that arrived before it: at once, or after the flush that is due."""
        if self.pending:
            self.answers.append((send, data))
        else:
            send(data)

    def flush(self) -> None:
        """Fan out every batch of this turn, then send the answers that waited for it."""
        pending, self.pending = self.pending, []
        for topic in pending:
            self._fan_out(topic)
        answers, self.answers = self.answers, []
        for send, data in answers:
            send(data)
        self._end_flush()

    def _fan_out(self, topic: Topic) -> None:
        batches, topic.batches = topic.batches, []
        if len(batches) == 1:
            self._deliver(topic, *batches[0])
        else:
            data, count = b"".join([part for _, part, _ in batches]), sum([count for _, _, count in batches])
            own = _own_parts(batches)
            if len(own) == 1:
                self._deliver(topic, batches[0][0], data, count)
            else:
                self._deliver_mixed(topic, (data, count), own)
        self._end_if_empty(topic)  # its last member may have left before its batch was out

    def _deliver(self, topic: Topic, origin: object, data: bytes, count: int) -> None:
        """Hand `count` messages to everyone but their sender.

        Members are not copied: a `Send` may exchange its own entry (`Topic.connect`) but lets nobody come or go.
        `hold`, `spill` and `fault` may, and wait until everyone else was sent theirs.
        """
        size = len(data)
        late: list[tuple[Subscriber, int | Exception]] = []
        reached = len(topic.members)
        for member, send in topic.members.items():
            if member is origin:
                reached -= 1
                continue
            taken: int | Exception
            try:
                taken = send(data)
            except OSError:  # the kernel's buffer is full, or the line is dead: `spill` finds out which
                taken = 0
            except Exception as error:  # noqa: BLE001 - one broken member must not cost the others their message
                taken = error
            if taken != size:
                late.append((member, taken))
        delivered = (reached - len(late)) * count
        for member, taken in late:
            delivered += _deliver_late(member, taken, data, count)
        topic.delivered += delivered
        self.delivered += delivered
        self.sent_bytes += size * delivered // count

    def _deliver_mixed(self, topic: Topic, whole: tuple[bytes, int], own: dict[object, list["_Part"]]) -> None:
        """Hand messages of several senders, and their count, to everyone, each without its own; else as `_deliver`."""
        late: list[tuple[Subscriber, int | Exception]] = []
        delivered = sent_bytes = 0
        for member, send in topic.members.items():
            data, count = _without(whole, own[member]) if member in own else whole
            taken: int | Exception
            try:
                taken = send(data)
            except OSError:
                taken = 0
            except Exception as error:  # noqa: BLE001 - as in `_deliver`
                taken = error
            if taken == len(data):
                delivered += count
                sent_bytes += taken
            else:
                late.append((member, taken))
        for member, taken in late:
            data, count = _without(whole, own[member]) if member in own else whole
            if reached := _deliver_late(member, taken, data, count):
                delivered += reached
                sent_bytes += len(data)
        topic.delivered += delivered
        self.delivered += delivered
        self.sent_bytes += sent_bytes


def _deliver_late(member: Subscriber, taken: int | Exception, data: bytes, count: int) -> int:
    """Let a member have a batch that it was not sent all of; return how many messages it will get."""
    try:
        if isinstance(taken, Exception):
            raise taken
        if taken < 0:
            return member.hold(data, count)
        member.spill(data[taken:])
    except Exception as error:  # noqa: BLE001 - as in `Topics._deliver`
        member.fault(error)
        return 0
    return count


_Part: TypeAlias = tuple[int, int, int]
"""What one sender published without a break: first byte in the joined batch, byte behind the last, messages."""


def _own_parts(batches: list[Batch]) -> dict[object, list[_Part]]:
    """Find what each sender must not get back, in order."""
    own: dict[object, list[_Part]] = {}
    stop = 0
    for origin, data, count in batches:
        start, stop = stop, stop + len(data)
        parts = own.get(origin)
        if parts is None:
            own[origin] = [(start, stop, count)]
        elif parts[-1][1] == start:
            parts[-1] = parts[-1][0], stop, parts[-1][2] + count
        else:
            parts.append((start, stop, count))
    return own


def _without(whole: tuple[bytes, int], parts: list[_Part]) -> tuple[bytes, int]:
    """Cut a sender's own messages out of the joined batch and its count: cheaper than joining the others' again."""
    data, count = whole
    pieces: list[bytes] = []
    kept = 0
    for start, stop, messages in parts:
        pieces.append(data[kept:start])
        kept = stop
        count -= messages
    pieces.append(data[kept:])
    return b"".join(pieces), count
