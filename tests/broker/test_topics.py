"""Who is on which topic: beginnings and ends, caps, rates, answers in their place, senders that wait.

The fan-out itself is held against a model in `tests/wire/test_fanout_model.py`.
"""

import pytest

from broker.errors import FULL, Refused
from broker.frames import TEXT, server_frame
from broker.topics import NEVER, RATE_SPAN, READERS_PATIENCE, Topic, Topics
from tests.broker.doubles import Clock, Loop


class Member:
    """A subscriber that keeps what it gets."""

    def __init__(self) -> None:
        self.got = b""
        self.fault_of: Exception | None = None

    def take(self, data: bytes) -> int:
        self.got += data
        return len(data)

    def fail(self, data: bytes) -> int:
        raise RuntimeError("broken")

    def spill(self, rest: bytes) -> None:
        self.got += rest

    def hold(self, data: bytes, messages: int) -> int:
        return 0

    def fault(self, error: Exception) -> None:
        self.fault_of = error


class Stage:
    """Topics with a loop and a clock of their own."""

    def __init__(self, max_topics: int = 0, max_subscribers: int = 0) -> None:
        self.loop = Loop()
        self.clock = Clock()
        self.observed: list[float] = []
        self.topics = Topics(
            self.loop.call_soon,
            self.clock,
            max_topics=max_topics,
            max_subscribers=max_subscribers,
            observe=self.observed.append,
        )

    def join(self, name: str) -> tuple[Topic, Member]:
        member = Member()
        topic = self.topics.join(name, member)
        topic.connect(member, member.take)
        return topic, member


def message(text: str) -> bytes:
    return server_frame(TEXT, text.encode())


# -- beginnings and ends


def test_topic_begins_with_its_first_member_and_ends_with_its_last() -> None:
    """A topic takes no memory that nobody is on."""
    stage = Stage()
    topic, first = stage.join("t")
    assert stage.join("t")[0] is topic
    (second,) = set(topic.members) - {first}
    stage.topics.leave(topic, first)
    assert set(stage.topics.by_name) == {"t"}
    stage.topics.leave(topic, second)
    assert stage.topics.by_name == {}
    stage.topics.leave(topic, second)


def test_topic_whose_last_member_leaves_with_a_batch_ends_after_it() -> None:
    """Who joins in the same turn gets the batch of who left."""
    stage = Stage()
    topic, first = stage.join("t")
    stage.topics.publish(topic, first, message("a"), 1, stage.clock())
    stage.topics.publish(topic, first, message("b"), 1, stage.clock())
    stage.topics.leave(topic, first)
    _, second = stage.join("t")
    stage.loop.run()
    assert b"b" in second.got
    stage.topics.leave(topic, second)
    assert stage.topics.by_name == {}


def test_topic_that_ended_and_began_again_is_not_ended_by_its_predecessor() -> None:
    """A late leave of the old topic does not take the new one away."""
    stage = Stage()
    old, first = stage.join("t")
    stage.topics.leave(old, first)
    new, _ = stage.join("t")
    stage.topics.leave(old, first)
    assert stage.topics.by_name == {"t": new}


def test_caps_refuse_a_topic_or_a_member_too_many() -> None:
    """`max_topics` counts topics, `max_subscribers_per_topic` the members of one."""
    stage = Stage(max_topics=2, max_subscribers=2)
    stage.join("a")
    stage.join("a")
    stage.join("b")
    with pytest.raises(Refused, match="max_subscribers_per_topic") as caught:
        stage.join("a")
    assert caught.value.refusal is FULL
    with pytest.raises(Refused, match="max_topics") as caught:
        stage.join("c")
    assert caught.value.refusal is FULL
    stage.join("b")


# -- publishing from outside


def test_publish_to_a_topic_reaches_all_of_its_members() -> None:
    """Nobody's own message: everyone gets it."""
    stage = Stage()
    _, first = stage.join("t")
    _, second = stage.join("t")
    assert stage.topics.publish_to("t", message("x")) == 2
    stage.loop.run()
    assert first.got == second.got == server_frame(TEXT, b"x")


def test_publish_to_a_topic_that_nobody_is_on_counts_as_received() -> None:
    """It is not lost in silence."""
    stage = Stage()
    assert stage.topics.publish_to("t", message("x")) == 0
    assert (stage.topics.received, stage.topics.delivered) == (1, 0)


def test_answer_waits_for_the_flush_that_is_due() -> None:
    """What arrived before it leaves before it, on every topic."""
    stage = Stage()
    sent: list[bytes] = []
    stage.topics.answer(sent.append, b"nothing to wait for")
    assert sent == [b"nothing to wait for"]
    topic, member = stage.join("t")
    for text in ("a", "b", "c"):
        stage.topics.publish(topic, None, message(text), 1, stage.clock())
    stage.topics.answer(lambda data: sent.append(data + member.got[-1:]), b"behind ")
    stage.loop.run()
    assert sent[-1] == b"behind c"


def test_observe_is_told_the_seconds_of_each_flush() -> None:
    """From the first message of a batch to the end of its fan-out."""
    stage = Stage()
    topic, member = stage.join("t")

    def slow(data: bytes) -> int:
        stage.clock.turn(0.25)
        return len(data)

    topic.connect(member, slow)
    stage.topics.publish(topic, None, message("a"), 1, stage.clock())
    stage.loop.run()
    assert sum(stage.observed) == 0.25


# -- rates


def test_rates_tell_the_last_full_span() -> None:
    """Messages per second, in and out, whatever comes meanwhile."""
    stage = Stage()
    topic, sender = stage.join("t")
    stage.join("t")
    stage.join("t")
    begin = stage.clock()
    for now, count in ((0.5, 10), (RATE_SPAN + 0.5, 5), (2 * RATE_SPAN + 0.5, 1)):
        stage.clock.now = begin + now
        stage.topics.publish(topic, sender, message("x") * count, count, stage.clock())
        stage.loop.run()
        if now < RATE_SPAN:
            assert topic.rates(begin + 0.9) == (0.0, 0.0)
    assert topic.rates(stage.clock()) == (5.0, 10.0)


def test_rates_after_a_long_silence_fall_to_nothing() -> None:
    """An old burst is spread over the silence behind it, and is gone with the next span."""
    stage = Stage()
    topic, _ = stage.join("t")
    begin = stage.clock()
    stage.topics.publish(topic, None, message("x") * 100, 100, stage.clock())
    stage.loop.run()
    assert topic.rates(begin + 50.0) == (2.0, 2.0)
    assert topic.rates(begin + 100.0) == (0.0, 0.0)


# -- one that comes alone


def test_message_that_comes_alone_goes_out_at_once() -> None:
    """After a pause; the next one of the same turn waits for the flush."""
    stage = Stage()
    topic, member = stage.join("t")
    stage.topics.publish(topic, None, message("a"), 1, stage.clock())
    assert member.got == message("a")
    stage.topics.publish(topic, None, message("b"), 1, stage.clock())
    assert member.got == message("a")
    stage.loop.run()
    assert member.got == message("a") + message("b")


def test_messages_of_one_turn_are_collected_however_long_the_first_takes() -> None:
    """After one to many subscribers the next of the turn is read late: it is still not alone."""
    stage = Stage()
    topic, member = stage.join("t")
    got: list[bytes] = []

    def slow(data: bytes) -> int:
        stage.clock.turn(0.0005)
        got.append(data)
        return len(data)

    topic.connect(member, slow)
    for text in "abcd":
        stage.topics.publish(topic, None, message(text), 1, stage.clock())
        stage.clock.turn(0.00003)
    stage.loop.run()
    assert got == [message("a"), message("b") + message("c") + message("d")]


def test_send_that_breaks_costs_only_the_member_it_belongs_to() -> None:
    """It is told of its fault once all others have their message, and counts as not reached."""
    stage = Stage()
    topic, broken = stage.join("t")
    _, other = stage.join("t")

    topic.connect(broken, broken.fail)
    stage.topics.publish(topic, None, message("a"), 1, stage.clock())
    assert other.got == message("a")
    assert broken.got == b""
    assert isinstance(broken.fault_of, RuntimeError)
    assert (topic.delivered, stage.topics.delivered, stage.topics.sent_bytes) == (1, 1, len(message("a")))


def test_send_that_breaks_costs_nobody_else_messages_of_several_senders() -> None:
    """The same in a turn of two: everyone else has both batches, and the answers behind them go out."""
    stage = Stage()
    topic, broken = stage.join("t")
    _, other = stage.join("t")
    answers: list[bytes] = []

    topic.connect(broken, broken.fail)
    stage.topics.alone_from = NEVER
    stage.topics.publish(topic, None, message("a"), 1, stage.clock())
    stage.topics.publish(topic, broken, message("b"), 1, stage.clock())
    stage.topics.answer(answers.append, b"pong")
    stage.loop.run()
    assert other.got == message("a") + message("b")
    assert isinstance(broken.fault_of, RuntimeError)
    assert answers == [b"pong"]
    assert (topic.delivered, stage.topics.delivered) == (2, 2)
    assert stage.topics.sent_bytes == len(other.got)


def test_senders_by_turns_each_get_the_others_messages_in_order() -> None:
    """A b b c a b: whoever is cut out twice, or twice in a row, gets exactly what the others sent."""
    stage = Stage()
    topic, a = stage.join("t")
    members = {"a": a, "b": stage.join("t")[1], "c": stage.join("t")[1], "d": stage.join("t")[1]}
    stage.topics.alone_from = NEVER
    turn = [(name, f"{number} of {name}" * (number + 1)) for number, name in enumerate("abbcab")]
    for name, text in turn:
        stage.topics.publish(topic, members[name], message(text), 1, stage.clock())
    stage.loop.run()
    for name, member in members.items():
        assert member.got == b"".join(message(text) for sender, text in turn if sender != name)
    assert topic.delivered == stage.topics.delivered == 4 + 3 + 5 + 6
    assert stage.topics.sent_bytes == sum(len(member.got) for member in members.values())


def test_one_sender_often_in_a_turn_is_one_batch() -> None:
    """What it published in many pieces arrives joined, in one write for each, and not at its own end."""
    stage = Stage()
    topic, sender = stage.join("t")
    _, member = stage.join("t")
    writes: list[bytes] = []

    def take(data: bytes) -> int:
        writes.append(data)
        return len(data)

    topic.connect(member, take)
    stage.topics.alone_from = NEVER
    for text in "abc":
        stage.topics.publish(topic, sender, message(text), 1, stage.clock())
    stage.loop.run()
    assert writes == [message("a") + message("b") + message("c")]
    assert sender.got == b""
    assert topic.delivered == 3


# -- senders that wait


def test_nobody_keeps_up_only_when_every_reader_is_behind() -> None:
    """One reader that keeps up, and no sender waits; the sender's own slowness is no reason."""
    stage = Stage()
    topic, _ = stage.join("t")
    stage.join("t")
    stage.join("t")
    assert not topic.nobody_keeps_up(sender_behind=False, now=0)
    topic.fell_behind()
    assert not topic.nobody_keeps_up(sender_behind=False, now=0)
    assert not topic.nobody_keeps_up(sender_behind=True, now=0)
    topic.fell_behind()
    assert topic.nobody_keeps_up(sender_behind=False, now=0)
    assert not topic.nobody_keeps_up(sender_behind=True, now=0)


def test_waiting_for_readers_ends_after_their_patience_without_progress() -> None:
    """A reader that takes nothing holds nobody up for longer; one that catches up gives all of the time anew."""
    stage = Stage()
    topic, _ = stage.join("t")
    stage.join("t")
    topic.fell_behind()
    now = stage.clock()
    assert topic.nobody_keeps_up(sender_behind=False, now=now)
    assert not topic.nobody_keeps_up(sender_behind=False, now=now + READERS_PATIENCE)
    topic.caught_up()
    topic.fell_behind()
    assert topic.nobody_keeps_up(sender_behind=False, now=now + READERS_PATIENCE)


def test_waiting_sender_is_woken_once_by_a_reader_or_by_time() -> None:
    """Whichever comes first; a topic without waiting senders is forgotten by the tick."""
    stage = Stage()
    topic, _ = stage.join("t")
    stage.join("t")
    woken: list[str] = []
    topic.fell_behind()
    topic.nobody_keeps_up(sender_behind=False, now=stage.clock())
    stage.topics.wait_for_readers(topic, lambda: woken.append("by time"))
    stage.topics.tick(stage.clock.turn(READERS_PATIENCE - 0.1))
    assert woken == []
    stage.topics.tick(stage.clock.turn(0.2))
    assert woken == ["by time"]
    stage.topics.wait_for_readers(topic, lambda: woken.append("by a reader"))
    topic.caught_up()
    assert woken == ["by time", "by a reader"]
    stage.topics.tick(stage.clock.turn(10))
    assert woken == ["by time", "by a reader"]
    assert stage.topics.stalled == set()
