"""Fan-out against a model: a dict of sets, and for every member the list of what it must have got."""

from collections import defaultdict

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from broker.frames import BINARY, PONG, TEXT, server_frame
from broker.topics import Topic, Topics, withheld

NAMES = st.sampled_from(("", "sms", "Sms", "sms/1", "é"))


class Member:
    """A subscriber that keeps what it gets; not live, it takes batches through `hold`, or refuses them.

    One that is live takes a batch whole, in part, or not at all, as a socket does; `spill` gets the rest.
    """

    def __init__(self, number: int, *, live: bool, accepts: bool) -> None:
        self.number = number
        self.live = live
        self.accepts = accepts
        self.got = b""
        self.room: int | None = None
        """Bytes that the next `send` takes: -1 for a full buffer, None for all."""
        self.topic: Topic

    def __repr__(self) -> str:
        return f"Member({self.number})"

    def take(self, data: bytes) -> int:
        """Take as much as there is room for, once."""
        room, self.room = self.room, None
        if room == -1:
            raise BlockingIOError
        taken = data if room is None else data[:room]
        self.got += taken
        return len(taken)

    def spill(self, rest: bytes) -> None:
        """Take the rest."""
        assert rest
        self.got += rest

    def hold(self, data: bytes, messages: int) -> int:
        assert not self.live
        if not self.accepts:
            return 0
        self.got += data
        return messages

    def take_answer(self, data: bytes) -> None:
        self.got += data

    def fault(self, error: Exception) -> None:
        raise error


class FanOut(RuleBasedStateMachine):
    """Members join, publish and leave in any order; turns of the loop end at any moment."""

    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.due: list[object] = []
        self.now = 0.0
        self.topics = Topics(self.schedule, lambda: self.now)
        self.model: defaultdict[str, set[Member]] = defaultdict(set)
        self.turn: list[tuple[str, Member | None, bytes]] = []
        """What was published since the last flush: topic, sender, frame."""
        self.answers: list[tuple[Member, bytes]] = []
        """What was answered since, which must wait for the flush."""
        self.expected: defaultdict[Member, bytes] = defaultdict(bytes)
        self.joined: list[Member] = []
        self.received = self.delivered = self.sent_bytes = self.serial = 0

    def schedule(self, flush: object) -> None:
        """Take the place of the loop's `call_soon`."""
        self.due.append(flush)

    def published(self, name: str, sender: Member | None, frames: list[bytes]) -> None:
        """Expect messages with the flush that is due; without one they went out at once."""
        self.turn += [(name, sender, frame) for frame in frames]
        if not self.due:
            self.expect_turn()

    def expect_turn(self) -> None:
        """Expect what was published and not yet fanned out: whoever is on a topic now gets it, less its own."""
        for name, sender, frame in self.turn:
            self.received += 1
            for member in self.model[name] - {sender}:
                if member.live or member.accepts:
                    self.expected[member] += frame
                    self.delivered += 1
                    self.sent_bytes += len(frame)
        for member, frame in self.answers:
            self.expected[member] += frame
        self.turn, self.answers = [], []

    @rule(target=members, name=NAMES, live=st.booleans(), accepts=st.booleans())
    def join(self, name: str, live: bool, accepts: bool) -> Member:
        """Put a new member on a topic."""
        self.serial += 1
        member = Member(self.serial, live=live, accepts=accepts)
        member.topic = self.topics.join(name, member)
        member.topic.connect(member, member.take if live else withheld)
        self.model[name].add(member)
        self.joined.append(member)
        return member

    @rule(member=consumes(members))
    def leave(self, member: Member) -> None:
        """Take a member off; what it published in this turn still goes out, what others did no longer reaches it."""
        self.topics.leave(member.topic, member)
        self.model[member.topic.name].discard(member)

    @rule(member=members, live=st.booleans())
    def change_pace(self, member: Member, live: bool) -> None:
        """Let a member fall behind or catch up."""
        member.live = live
        member.topic.connect(member, member.take if live else withheld)

    @rule(member=members, room=st.integers(-1, 3))
    def fill_up(self, member: Member, room: int) -> None:
        """Let a member's kernel have room for the first bytes of the next batch only."""
        member.room = room

    @rule(member=members, payloads=st.lists(st.binary(max_size=3), min_size=1, max_size=3))
    def publish(self, member: Member, payloads: list[bytes]) -> None:
        """Send messages as one read of one sender."""
        frames = [server_frame(TEXT, b"%d" % member.number + payload.hex().encode()) for payload in payloads]
        self.topics.publish(member.topic, member, b"".join(frames), len(frames), self.now)
        self.published(member.topic.name, member, frames)

    @rule(name=NAMES, payload=st.binary(max_size=3))
    def publish_from_outside(self, name: str, payload: bytes) -> None:
        """Send a message that no member sent; the answer is who listens now."""
        frame = server_frame(BINARY, payload)
        exists = name in self.topics.by_name
        assert self.topics.publish_to(name, frame) == len(self.model[name])
        if exists:
            self.published(name, None, [frame])
        else:
            self.received += 1

    @rule(member=members, payload=st.binary(max_size=3))
    def answer(self, member: Member, payload: bytes) -> None:
        """Answer a member's ping: at once, or behind everything that was published before it."""
        frame = server_frame(PONG, payload)
        self.topics.answer(member.take_answer, frame)
        if self.turn:
            self.answers.append((member, frame))
        else:
            self.expected[member] += frame

    @rule(seconds=st.sampled_from((0.0, 1e-5, 1e-3, 2.0)))
    def wait(self, seconds: float) -> None:
        """Let time pass: what comes alone after a pause may go out at once."""
        self.now += seconds

    @rule()
    def end_turn(self) -> None:
        """Flush."""
        flushes, self.due = self.due, []
        assert len(flushes) == bool(self.turn), "one flush a turn, and none without messages"
        self.expect_turn()
        if flushes:
            self.topics.flush()

    @invariant()
    def nobody_got_anything_else(self) -> None:
        """What every member ever got is what the model says, byte for byte and in order."""
        for member in self.joined:
            assert member.got == self.expected[member]
        if not self.turn:
            assert (self.topics.received, self.topics.delivered) == (self.received, self.delivered)
            assert self.topics.sent_bytes == self.sent_bytes

    @invariant()
    def topics_are_those_with_members(self) -> None:
        """A topic exists while it has members or a batch, and no longer."""
        waiting = {name for name, _, _ in self.turn}
        wanted = {name for name, members in self.model.items() if members} | waiting
        assert set(self.topics.by_name) == wanted
        for name, topic in self.topics.by_name.items():
            assert set(topic.members) == self.model[name]


TestFanOut = FanOut.TestCase
"""Every member of a topic gets every message of the others once and in order, whoever joins, leaves or falls behind."""
