"""The outbox on the real journal: what is written there is what happened."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from otp.pi.journal import Journal
from otp.pi.model import Channel, NewMessage, Origin, Priority, State
from otp.pi.modems.status import ModemState, OutcomeUnknownError
from tests.pi.outbox_doubles import (
    EPOCH,
    NO_PROMPT,
    NUMBER,
    SILENCE,
    TAKEN,
    UNPLUGGED,
    Reply,
    Rig,
    StillJournal,
    VirtualLoop,
    clock,
    cms,
    table,
    virtually,
)

LONG = "x" * 306
Use = Callable[[StillJournal], Awaitable[None]]


def on(directory: Path, use: Use) -> None:
    """Use the journal of a directory in virtual time."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        start = EPOCH + loop.time()
        journal = await loop.wait_for(Journal.open(directory, clock=lambda: start + loop.time()))
        try:
            await use(StillJournal(journal))
        finally:
            await loop.wait_for(journal.close())

    virtually(main())


async def put(journal: StillJournal, text: str = "hello", **values: Any) -> int:
    new: dict[str, Any] = {
        "command": "send-sms",
        "channel": Channel.SMS,
        "receiver": NUMBER,
        "receiver_key": NUMBER,
        "origin": Origin(road="rest"),
        "arrived": clock(),
        "deadline": clock() + 3600,
        "message_id": str(len(journal.calls)),
    }
    accepted = await journal.accept(NewMessage(text=text, **(new | values)))
    assert accepted.refused is None or accepted.refused == ""
    return int(accepted.number)


SCRIPTS = {
    "taken": ((TAKEN,), State.SENT, False),
    "no prompt": ((NO_PROMPT,), State.SENT, False),
    "unplugged": ((UNPLUGGED,), State.SENT, False),
    "recipient": ((cms(1),), State.FAILED, False),
    "modem": ((cms(310),), State.SENT, False),
    "network": ((cms(38),), State.SENT, False),
    "21": ((cms(21),), State.SENT, False),
    "197": ((cms(197),), State.SENT, False),
    "332": ((Reply(OutcomeUnknownError("cms_332")),), State.SENT, True),
    "silence": ((SILENCE,), State.SENT, True),
    "second part": ((TAKEN, cms(38)), State.SENT, False),
    "second part, twice": ((TAKEN, cms(38), cms(310)), State.SENT, False),
    "second part in doubt": ((TAKEN, SILENCE), State.SENT, True),
}


@pytest.mark.parametrize("modems", [1, 2])
@pytest.mark.parametrize("case", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_failure_leaves_the_journal_as_it_should(
    tmp_path: Path, case: tuple[tuple[Reply, ...], State, bool], modems: int
) -> None:
    """Every row of the failure table ends in its state, with the references of all parts."""
    script, state, flagged = case

    async def use(journal: StillJournal) -> None:
        async with Rig([f"sim-{index}" for index in range(modems)], journal=journal) as rig:
            rig["sim-0"].script.extend(script)
            number = await put(journal, LONG)
            rig.outbox.wake()
            outcome = await rig.ended(number)
            assert (outcome.state, outcome.possible_duplicate) == (state, flagged)
            if state is State.SENT:
                references = 2 if script[0].error is None or script[0].error.args != ("cms_197",) else 1
                assert len(outcome.references) == references
            assert (await journal.message(number)).text == ""

    on(tmp_path, use)


def test_start_takes_up_what_a_killed_process_left(tmp_path: Path) -> None:
    """What was routed goes as new, what was being handed over goes once more with the flag, missing parts alone."""
    numbers: list[int] = []

    async def killed(journal: StillJournal) -> None:
        numbers.extend([await put(journal), await put(journal), await put(journal, LONG), await put(journal)])
        routed, sending, partial, _ = numbers
        for number in (routed, sending, partial):
            await journal.routed(number, "sim-0")
        await journal.sending(sending, "sim-0", 0, 1)
        await journal.sending(partial, "sim-0", 0, 2)
        await journal.part_sent(partial, "sim-0", 0, 7)

    async def restarted(journal: StillJournal) -> None:
        async with Rig(["sim-0", "sim-1"], journal=journal) as rig:
            outcomes = [await rig.ended(number) for number in numbers]
            assert [outcome.state for outcome in outcomes] == [State.SENT] * 4
            assert [outcome.possible_duplicate for outcome in outcomes] == [False, True, False, False]
            assert [(part, modem) for row, part, modem, _ in rig.air if row == numbers[2]] == [(1, "sim-0")]
            assert rig.who(numbers[1]) == ["sim-1"]

    on(tmp_path, killed)
    on(tmp_path, restarted)


def test_receiver_that_is_blocked_meanwhile_gets_nothing(tmp_path: Path) -> None:
    """Blocking ends what waits, whether a modem comes back or the deadline does; who waits learns it."""

    async def use(journal: StillJournal) -> None:
        async with Rig(journal=journal) as rig:
            rig["sim-1"].become(ModemState.ABSENT)
            first, second = await put(journal, deadline=clock() + 50), await put(journal)
            rig.outbox.wake()
            waiters = [asyncio.create_task(rig.ended(number)) for number in (first, second)]
            await asyncio.sleep(20)
            await journal.block(NUMBER)
            assert not await rig.outbox.give_up(first, "no_modem")
            await asyncio.sleep(60)
            assert waiters[0].done()
            rig["sim-1"].become(ModemState.READY)
            assert [(await waiter).state for waiter in waiters] == [State.BLOCKED] * 2
            assert rig.air == []

    on(tmp_path, use)


def test_late_reference_ends_the_message_without_a_second_try(tmp_path: Path) -> None:
    """The network took it after all: one message, no flag needed, and the waiting caller is told."""

    async def use(journal: StillJournal) -> None:
        async with Rig(journal=journal) as rig:
            rig["sim-1"].script.append(SILENCE)
            number = await put(journal)
            rig.outbox.wake()
            waiter = asyncio.create_task(rig.ended(number))
            await asyncio.sleep(61)
            await journal.late_reference("sim-1", number, 0, 77)
            await rig.outbox.look_again(number)
            outcome = await waiter
            assert (outcome.state, outcome.references) == (State.SENT, (77,))
            await asyncio.sleep(100)
            assert len(rig["sim-1"].submitted) == 1

    on(tmp_path, use)


def test_quotas_are_counted_in_the_journal(tmp_path: Path) -> None:
    """Parts and receivers are counted as they are handed over, and refused where they are used up."""

    async def use(journal: StillJournal) -> None:
        tables = [table("sim-1", per_day=4, recipients_per_day=2), table("sim-2", per_hour=100)]
        async with Rig(tables, journal=journal) as rig:
            receivers = [f"+628120000000{index % 4}" for index in range(8)]
            numbers = [await put(journal, receiver=each, receiver_key=each) for each in receivers]
            rig.outbox.wake()
            for number in numbers:
                assert (await rig.ended(number)).state is State.SENT
            ours = [receivers[row - 1] for row, _, modem, _ in rig.air if modem == "sim-1"]
            assert len(ours) <= 4
            assert len(set(ours)) <= 2
            assert await journal.used("modem_parts", "sim-1", "day") == len(ours)
            assert await journal.used("modem_parts", "sim-2", "hour") == 8 - len(ours)

    on(tmp_path, use)


def test_many_messages_over_failing_modems_end_well(tmp_path: Path) -> None:
    """Sixty messages, four restless modems: sent once each, unless flagged, and nothing is left waiting."""

    async def use(journal: StillJournal) -> None:
        chance = random.Random(7)
        failures = [NO_PROMPT, UNPLUGGED, cms(310), cms(38), SILENCE, Reply(OutcomeUnknownError("timeout"), taken=True)]
        async with Rig([f"sim-{index}" for index in range(4)], journal=journal, attempts=10) as rig:
            for modem in rig.modems.values():
                modem.then = lambda: chance.choice(failures) if chance.random() < 0.3 else TAKEN
            numbers = [await put(journal, priority=chance.choice([Priority.OTP, Priority.OTHER])) for _ in range(60)]
            rig.outbox.wake()
            outcomes = {number: await rig.ended(number) for number in numbers}
            got = Counter(row for row, *_ in rig.air)
            for number, outcome in outcomes.items():
                assert outcome.state in {State.SENT, State.UNKNOWN}
                assert got[number] == 1 or outcome.possible_duplicate
            assert await journal.waiting(10) == []
            assert (len(rig.outbox), rig.outbox._queue.entries) == (0, {})

    on(tmp_path, use)
