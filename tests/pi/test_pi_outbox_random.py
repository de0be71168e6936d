"""Random failures: every message that is sent is sent once, unless it says that it may have been sent twice."""

import asyncio
import random
from collections import Counter

from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from otp.pi.journal import StorageError
from otp.pi.model import Priority, State
from otp.pi.modems.status import ModemState, NotSentError, OutcomeUnknownError
from tests.pi.outbox_doubles import (
    EPOCH,
    NO_PROMPT,
    SILENCE,
    SILENCE_BUT_TAKEN,
    TAKEN,
    UNPLUGGED,
    FakeJournal,
    FakeModem,
    Reply,
    Rig,
    clock,
    cms,
    virtually,
)

FAILURES = (
    NO_PROMPT,
    UNPLUGGED,
    cms(310),
    cms(38),
    cms(21),
    SILENCE,
    SILENCE_BUT_TAKEN,
    Reply(OutcomeUnknownError("unplugged"), taken=True, seconds=1.0),
    Reply(OutcomeUnknownError("cms_332")),
    Reply(KeyError("fault"), taken=True),
    Reply(NotSentError("error"), after_body=False, seconds=0.5),
)
ENDS = {State.SENT, State.FAILED, State.EXPIRED, State.UNKNOWN}


def restless(modem: FakeModem, chance: random.Random, share: float) -> None:
    """Make a modem fail at random."""
    modem.then = lambda: chance.choice(FAILURES) if chance.random() < share else TAKEN


async def unplug_at_random(rig: Rig, chance: random.Random) -> None:
    """Take modems away and bring them back."""
    while True:
        await asyncio.sleep(chance.uniform(1, 40))
        modem = chance.choice(list(rig.modems.values()))
        modem.become(chance.choice([ModemState.READY, ModemState.READY, ModemState.ABSENT]))


def fill(journal: FakeJournal, chance: random.Random, count: int) -> None:
    for _ in range(count):
        journal.add(
            deadline=chance.choice([30.0, 300.0, 5000.0, 5000.0]),
            priority=chance.choice([Priority.OTP, Priority.OTHER]),
            receiver=f"+62812{chance.randrange(10**6):06d}",
            text="x" * chance.choice([5, 5, 5, 200, 400]),
        )


def copies(rig: Rig, number: int, total: int) -> int:
    """Return how many whole messages the network has got: all parts over one card make one."""
    got = Counter((modem, part) for row, part, modem, _ in rig.air if row == number)
    return sum(min(got[name, part] for part in range(total)) for name in rig.modems)


def judge(rig: Rig, number: int) -> None:
    """Compare what the network has got of a message with what the journal says of it."""
    row = rig.journal.rows[number]
    message = row.message
    total = 1 if len(message.text) <= 160 else -(-len(message.text) // 153)
    got = copies(rig, number, total)
    assert message.state in ENDS
    assert row.in_flight is None
    if message.state is State.SENT:
        assert got == 1 or (got == 2 and message.possible_duplicate)
    elif message.state is State.UNKNOWN:
        assert got <= 2
    else:
        assert (got, message.possible_duplicate) == (0, False)
    for each, _, _, at in rig.air:
        assert each != number or EPOCH + at <= message.deadline + 60.0


@effort(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), modems=st.integers(1, 4), share=st.floats(0.0, 0.9), retry=st.booleans())
def test_every_message_is_sent_once_unless_flagged(seed: int, modems: int, share: float, retry: bool) -> None:
    """Whatever modems do, each message ends, none is sent twice in silence, none stays in memory."""

    async def main() -> None:
        chance = random.Random(seed)
        names = [f"sim-{index}" for index in range(modems)]
        async with Rig(names, retry_unknown=retry, attempts=chance.randint(1, 5)) as rig:
            for modem in rig.modems.values():
                restless(modem, chance, share)
            fill(rig.journal, chance, 30)
            texts = {number: row.message.text for number, row in rig.journal.rows.items()}
            rig.outbox.wake()
            trouble = asyncio.create_task(unplug_at_random(rig, chance))
            for number in list(rig.journal.rows):
                await rig.ended(number)
            trouble.cancel()
            assert (len(rig.outbox), rig.outbox._queue.entries, len(rig.outbox._outcomes)) == (0, {}, 0)
            assert not any(rig.outbox._queue.sizes.values())
            for number, text in texts.items():
                rig.journal._set(number, text=text)
                judge(rig, number)

    virtually(main())


@effort(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_message_is_sent_once_through_stops_and_full_disks(seed: int) -> None:
    """The service is stopped at random moments and the disk is full now and then; only what was flagged goes twice."""

    async def main() -> None:
        chance = random.Random(seed)
        journal = FakeJournal()
        fill(journal, chance, 20)
        texts = {number: row.message.text for number, row in journal.rows.items()}
        air: list[tuple[int, int, str, float]] = []
        while any(row.message.state not in ENDS for row in journal.rows.values()):
            rig = Rig(["sim-0", "sim-1"], journal=journal, drain_time=chance.choice([0.0, 5.0]))
            rig.air.extend(air)
            async with rig:
                rig.outbox.wake()
                for _ in range(chance.randint(1, 10)):
                    journal.broken = set(chance.sample(["sending", "part_sent", "sent", "routed", "waiting"], 2))
                    await asyncio.sleep(chance.uniform(0, 3))
                    journal.broken = set()
                    await asyncio.sleep(chance.uniform(0, 20))
            air = rig.air
        for number, text in texts.items():
            journal._set(number, text=text)
            judge(rig, number)
            if journal.state(number) is State.EXPIRED:
                assert journal.rows[number].message.deadline <= clock()

    virtually(main())


def test_disk_that_is_full_for_an_hour_is_the_same_error_to_those_who_wait() -> None:
    """Who asks for an outcome that cannot be read learns it instead of waiting for ever."""

    async def main() -> None:
        async with Rig() as rig:
            number = rig.journal.add()
            rig.journal.broken.add("outcome")
            try:
                await rig.outbox.outcome(number)
            except StorageError:
                assert len(rig.outbox._outcomes) == 0
            else:
                raise AssertionError

    virtually(main())
