"""Which message goes when, and to whom; what happens at start, at the end, and when the disk is full."""

import asyncio
import logging

import pytest

from otp.pi.journal import StorageError, TransitionError
from otp.pi.model import Outcome, Priority, State
from otp.pi.modems.status import ModemState
from otp.pi.outbox import feed
from otp.pi.outbox.outcomes import Outcomes
from tests.pi.outbox_doubles import (
    NUMBER,
    SILENCE,
    UNPLUGGED,
    FakeJournal,
    Reply,
    Rig,
    cms,
    table,
    virtually,
)

LONG = "x" * 306


def now() -> float:
    return asyncio.get_running_loop().time()


async def all_ended(rig: Rig) -> None:
    for number in list(rig.journal.rows):
        await rig.ended(number)


@pytest.mark.parametrize("modems", [1, 4])
def test_four_modems_send_four_times_as_fast_as_one(modems: int) -> None:
    """Forty messages of four seconds take 160 s through one modem and 40 s through four."""

    async def main() -> None:
        async with Rig([f"sim-{index}" for index in range(modems)]) as rig:
            for _ in range(40):
                rig.journal.add()
            rig.outbox.wake()
            await all_ended(rig)
            assert now() == pytest.approx(160.0 / modems)
            assert {len(modem.submitted) for modem in rig.modems.values()} == {40 // modems}

    virtually(main())


def test_codes_go_before_other_messages_and_all_in_order() -> None:
    """A code overtakes everything that is not under way; among equals the older goes first."""

    async def main() -> None:
        async with Rig() as rig:
            for _ in range(5):
                rig.journal.add()
            rig.outbox.wake()
            await rig.ended(1)
            codes = [rig.journal.add(priority=Priority.OTP) for _ in range(3)]
            rig.outbox.wake()
            await all_ended(rig)
            assert [row for row, *_ in rig.air] == [1, 2, *codes, 3, 4, 5]

    virtually(main())


def test_codes_get_in_although_the_window_of_others_is_full() -> None:
    """However many messages wait, a code is the next to go."""

    async def main() -> None:
        async with Rig() as rig:
            for _ in range(2 * feed.WINDOW):
                rig.journal.add(deadline=1e6)
            rig.outbox.wake()
            await rig.ended(1)
            code = rig.journal.add(priority=Priority.OTP)
            rig.outbox.wake()
            await rig.ended(code)
            assert [row for row, *_ in rig.air] == [1, 2, code]

    virtually(main())


def test_messages_of_a_modem_that_is_away_hold_up_no_others() -> None:
    """With 1,500 messages for a modem that is away, one for another modem goes at once, and memory stays bounded."""

    async def main() -> None:
        tables = [table("sim-1", prefixes="+6281"), table("sim-2", prefixes="+6285"), table("sim-3", default=True)]
        async with Rig(tables) as rig:
            rig["sim-1"].become(ModemState.ABSENT)
            rig["sim-3"].become(ModemState.ABSENT)
            for _ in range(1500):
                rig.journal.add(deadline=1e6)
            other = rig.journal.add(receiver="+6285000000")
            rig.outbox.wake()
            await rig.ended(other)
            assert (now(), rig.who(other)) == (4.0, ["sim-2"])
            assert len(rig.outbox._queue.entries) == feed.WINDOW
            rig["sim-1"].become(ModemState.READY)
            await all_ended(rig)
            assert [row for row, *_ in rig.air] == [other, *range(1, 1501)]

    virtually(main())


def test_message_that_failed_somewhere_holds_up_nobody_there() -> None:
    """A message that avoids a free modem does not keep the next message from it."""

    async def main() -> None:
        async with Rig(["sim-1", "sim-2"]) as rig:
            rig["sim-1"].script.append(UNPLUGGED)
            rig["sim-2"].script.append(Reply(seconds=50.0))
            for _ in range(4):
                rig.journal.add()
            rig.outbox.wake()
            await all_ended(rig)
            assert rig.who(1) == ["sim-2"]
            assert [(row, modem) for row, _, modem, _ in rig.air][:2] == [(3, "sim-1"), (4, "sim-1")]

    virtually(main())


def test_message_waits_for_a_modem_until_its_deadline() -> None:
    """Nothing usable: it waits, and ends as expired at its deadline, not later, without troubling a modem."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].become(ModemState.NOT_REGISTERED)
            first, second = rig.journal.add(deadline=50.0), rig.journal.add(deadline=500.0)
            rig.outbox.wake()
            assert (await rig.ended(first)).state is State.EXPIRED
            assert now() == 50.0
            rig["sim-1"].become(ModemState.READY)
            assert (await rig.ended(second)).state is State.SENT
            assert now() == 54.0
            assert [row for row, *_ in rig.air] == [second]

    virtually(main())


def test_expiry_reaches_those_that_are_not_in_memory() -> None:
    """Who waits for a message beyond the window learns soon after its deadline that it is over."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].become(ModemState.ABSENT)
            for _ in range(feed.WINDOW):
                rig.journal.add(deadline=1e6)
            last = rig.journal.add(deadline=10.0)
            rig.outbox.wake()
            assert (await rig.ended(last)).state is State.EXPIRED
            assert now() <= 30.0

    virtually(main())


def test_second_try_that_expires_ends_as_unknown() -> None:
    """A message that may have been taken is never said to have expired."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].script.append(SILENCE)
            number = rig.journal.add(deadline=62.0)
            rig.outbox.wake()
            outcome = await rig.ended(number)
            assert (outcome.state, outcome.reason) == (State.UNKNOWN, "outcome_unknown")
            assert now() == 62.0

    virtually(main())


def test_without_any_modem_messages_wait() -> None:
    """A pool that is empty, and none at all, leave messages where they are until they expire."""

    async def main() -> None:
        async with Rig([]) as rig:
            number = rig.journal.add(deadline=9.0)
            rig.outbox.wake()
            assert (await rig.ended(number)).state is State.EXPIRED

    virtually(main())


def test_pause_keeps_a_modem_from_the_next_message() -> None:
    """Between two messages a modem has its pause."""

    async def main() -> None:
        async with Rig([table("sim-1", pause=11)]) as rig:
            for _ in range(3):
                rig.journal.add()
            rig.outbox.wake()
            await all_ended(rig)
            assert [at for *_, at in rig.air] == [4.0, 19.0, 34.0]

    virtually(main())


def test_quota_moves_messages_to_another_modem_then_makes_them_wait() -> None:
    """Parts are counted as they are handed over; a modem that has used up its quota gets no more."""

    async def main() -> None:
        async with Rig([table("sim-1", per_hour=2), table("sim-2", per_day=3)]) as rig:
            for _ in range(6):
                rig.journal.add(deadline=100.0)
            rig.outbox.wake()
            await all_ended(rig)
            assert [len(rig[name].submitted) for name in ("sim-1", "sim-2")] == [2, 3]
            expired = [row.message for row in rig.journal.rows.values() if row.message.state is State.EXPIRED]
            assert [message.attempts for message in expired] == [0]

    virtually(main())


def test_quota_is_asked_again_after_a_while() -> None:
    """When the next hour has begun, messages that waited go."""

    async def main() -> None:
        async with Rig([table("sim-1", per_hour=1)]) as rig:
            for _ in range(2):
                rig.journal.add()
            rig.outbox.wake()
            await rig.ended(1)
            await asyncio.sleep(70)
            rig.journal.budgets.clear()
            await rig.ended(2)
            assert now() < 140.0

    virtually(main())


def test_message_longer_than_what_is_left_does_not_keep_a_short_one_from_the_modem() -> None:
    """A quota of one part left is no use to a message of two, but to the next one."""

    async def main() -> None:
        async with Rig([table("sim-1", per_day=1)]) as rig:
            long, short = rig.journal.add(text=LONG, deadline=50.0), rig.journal.add()
            rig.outbox.wake()
            assert (await rig.ended(short)).state is State.SENT
            assert (await rig.ended(long)).state is State.EXPIRED

    virtually(main())


def test_receivers_of_a_day_are_counted_once_each() -> None:
    """A modem that has had all its receivers still sends to those it has had."""

    async def main() -> None:
        async with Rig([table("sim-1", recipients_per_day=1)]) as rig:
            known, new, again = (
                rig.journal.add(),
                rig.journal.add(receiver="+62855", deadline=60.0),
                rig.journal.add(),
            )
            rig.outbox.wake()
            assert (await rig.ended(again)).state is State.SENT
            assert (await rig.ended(new)).state is State.EXPIRED
            assert rig.journal.state(known) is State.SENT

    virtually(main())


def test_start_takes_up_what_was_under_way() -> None:
    """After a crash what was not handed over goes as if nothing had been, what was goes once more with the flag."""

    async def main() -> None:
        journal = FakeJournal()
        routed = journal.add(state=State.ROUTED)
        sending = journal.add(state=State.SENDING, modem="sim-1")
        partial = journal.add(state=State.ROUTED, sent_parts=(0,), modem="sim-1", text=LONG)
        twice = journal.add(state=State.SENDING, modem="sim-1", possible_duplicate=True)
        async with Rig(["sim-1", "sim-2"], journal=journal) as rig:
            outcomes = [await rig.ended(number) for number in (routed, sending, partial, twice)]
            assert [(each.state, each.possible_duplicate) for each in outcomes] == [
                (State.SENT, False),
                (State.SENT, True),
                (State.SENT, False),
                (State.UNKNOWN, True),
            ]
            assert [(part, modem) for row, part, modem, _ in rig.air if row == partial] == [(1, "sim-1")]

    virtually(main())


@pytest.mark.parametrize(
    "broken", ["waiting", "message", "routed", "sending", "part_sent", "sent", "charge", "recover"]
)
def test_full_disk_delays_messages_and_loses_none(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    """While the journal cannot be written nothing is tried at speed; afterwards each message goes once."""

    async def main() -> None:
        rig = Rig([table("sim-1", per_hour=1000)])
        rig.journal.broken.add(broken)
        rig.journal.add(text=LONG)
        async with rig:
            rig.outbox.wake()
            await asyncio.sleep(600)
            assert len(rig.journal.calls) < 300
            rig.journal.broken.clear()
            outcome = await rig.ended(1)
            assert (outcome.state, outcome.possible_duplicate, rig.who(1)) == (State.SENT, False, ["sim-1"] * 2)

    with caplog.at_level(logging.ERROR):
        virtually(main())
    assert "journal_unavailable" in caplog.text
    assert "hello" not in caplog.text


def test_fault_of_ours_stops_neither_the_others_nor_the_message() -> None:
    """Whatever is raised where nobody expects it: the dispatcher goes on, and the message is tried again."""

    async def main() -> None:
        async with Rig() as rig:
            rig.journal.broken |= {"waiting", "message"}
            rig.journal.fault = RuntimeError("no such table")
            number = rig.journal.add()
            rig.outbox.wake()
            await asyncio.sleep(60)
            rig.journal.broken.discard("waiting")
            rig.outbox.wake()
            await asyncio.sleep(60)
            rig.journal.broken.clear()
            assert (await rig.ended(number)).state is State.SENT
            assert len(rig.air) == 1

    virtually(main())


def test_stop_ends_what_is_under_way_and_begins_nothing() -> None:
    """A message that is under way has the drain time to end; the next one stays queued."""

    async def main() -> None:
        async with Rig(drain_time=10.0) as rig:
            first, second = rig.journal.add(), rig.journal.add()
            rig.outbox.wake()
            await asyncio.sleep(1)
            assert len(rig.outbox) == 1
        assert (rig.journal.state(first), rig.journal.state(second)) == (State.SENT, State.QUEUED)
        assert now() == 4.0

    virtually(main())


def test_stop_waits_no_longer_than_the_drain_time() -> None:
    """What has not ended by then is cut off, and the journal says that it may have been sent."""

    async def main() -> None:
        async with Rig(drain_time=10.0) as rig:
            rig["sim-1"].script.append(Reply(seconds=40.0))
            number = rig.journal.add()
            rig.outbox.wake()
            await asyncio.sleep(25)
        assert (now(), rig.journal.state(number), len(rig.outbox)) == (35.0, State.SENDING, 0)

    virtually(main())


def test_give_up_fails_only_what_nobody_has_begun() -> None:
    """A message that waits can be given up, once; one under way, ended or in doubt cannot."""

    async def main() -> None:
        async with Rig() as rig:
            under_way, waits = rig.journal.add(), rig.journal.add()
            rig.outbox.wake()
            await asyncio.sleep(1)
            waiter = asyncio.create_task(rig.outbox.outcome(waits))
            await asyncio.sleep(0)
            assert not await rig.outbox.give_up(under_way, "no_modem")
            assert await rig.outbox.give_up(waits, "no_modem")
            assert (await waiter).reason == "no_modem"
            assert not await rig.outbox.give_up(waits, "no_modem")
            await rig.ended(under_way)
            assert not await rig.outbox.give_up(under_way, "no_modem")
            assert [row for row, *_ in rig.air] == [under_way]

    virtually(main())


def test_give_up_and_deadline_at_once_end_a_message_once() -> None:
    """A message that is being given up when its time is over has one end."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].become(ModemState.ABSENT)
            number = rig.journal.add(deadline=10.0)
            rig.outbox.wake()
            await asyncio.sleep(9)
            rig.journal.seconds = 5.0
            giving_up = asyncio.create_task(rig.outbox.give_up(number, "no_modem"))
            await asyncio.sleep(2)
            assert not await rig.outbox.give_up(number, "no_modem")
            assert await giving_up
            rig.journal.seconds = 0.0
            assert (await rig.ended(number)).reason == "no_modem"
            assert [call[0] for call in rig.journal.calls].count("fail") == 1

    virtually(main())


def test_message_that_took_too_long_to_read_is_not_begun() -> None:
    """A journal that was slow does not make a message go out late."""

    async def main() -> None:
        async with Rig() as rig:
            number = rig.journal.add(deadline=10.0)
            rig.journal.seconds = 11.0
            rig.outbox.wake()
            assert (await rig.ended(number)).state is State.EXPIRED
            assert rig["sim-1"].submitted == []

    virtually(main())


async def test_who_just_went_away_is_told_nothing() -> None:
    """A caller that is cancelled in the moment the outcome comes breaks nothing for the others."""
    outcomes = Outcomes()
    gone, here = outcomes.expect(1), outcomes.expect(1)
    gone.cancel()
    outcomes.settle(Outcome(number=1, state=State.SENT))
    outcomes.settle(Outcome(number=2, state=State.SENT))
    assert (await here).state is State.SENT
    outcomes.forget(1, gone)
    outcomes.forget(1, here)
    assert (len(outcomes), outcomes.numbers()) == (0, [])


def test_give_up_that_cannot_be_written_leaves_the_message_waiting() -> None:
    """With a full disk the caller learns it, and the message goes when it can."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].become(ModemState.ABSENT)
            number = rig.journal.add()
            rig.outbox.wake()
            await asyncio.sleep(1)
            rig.journal.broken.add("fail")
            with pytest.raises(StorageError, match="disk is full"):
                await rig.outbox.give_up(number, "no_modem")
            rig.journal.broken.clear()
            rig["sim-1"].become(ModemState.READY)
            assert (await rig.ended(number)).state is State.SENT

    virtually(main())


def test_late_reference_ends_a_message_that_waits_for_its_second_try() -> None:
    """The network took it after all: it is not sent again, and who waits learns it."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].script.append(SILENCE)
            number = rig.journal.add()
            rig.outbox.wake()
            waiter = asyncio.create_task(rig.ended(number))
            await asyncio.sleep(61)
            rig.journal._set(number, state=State.SENT).reason = ""
            await rig.outbox.look_again(number)
            assert (await waiter).state is State.SENT
            await asyncio.sleep(600)
            assert rig.air == []

    virtually(main())


def test_late_reference_that_nobody_told_us_of_is_seen_before_the_second_try() -> None:
    """The row is read again before it is sent: what has ended meanwhile is left alone."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].script.append(SILENCE)
            number = rig.journal.add()
            rig.outbox.wake()
            waiter = asyncio.create_task(rig.ended(number))
            await asyncio.sleep(61)
            await rig.outbox.look_again(number)
            rig.journal._set(number, state=State.SENT).reason = ""
            assert (await waiter).state is State.SENT
            assert len(rig["sim-1"].submitted) == 1

    virtually(main())


def test_rows_that_end_without_us_are_counted_once() -> None:
    """Looking again at a message that ended long ago changes nothing."""

    async def main() -> None:
        async with Rig() as rig:
            number = rig.journal.add()
            rig.outbox.wake()
            await rig.ended(number)
            await rig.outbox.look_again(number)
            assert rig.outbox._counts.messages == {State.SENT: 1}

    virtually(main())


def test_give_up_of_what_ends_in_that_moment_is_refused() -> None:
    """A message that is blocked while it is being given up keeps its own end."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].become(ModemState.ABSENT)
            number = rig.journal.add()
            rig.journal.seconds = 5.0
            giving_up = asyncio.create_task(rig.outbox.give_up(number, "no_modem"))
            await asyncio.sleep(1)
            rig.journal._set(number, state=State.BLOCKED)
            assert not await giving_up
            assert rig.journal.state(number) is State.BLOCKED

    virtually(main())


def test_step_that_the_journal_never_allows_is_a_fault_of_ours() -> None:
    """A row that can neither be ended nor has ended is logged and left alone; the others go on."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].script.append(cms(1))
            odd, other = rig.journal.add(), rig.journal.add()
            rig.journal.broken.add("fail")
            rig.journal.fault = TransitionError("no")
            rig.outbox.wake()
            assert (await rig.ended(other)).state is State.SENT
            rig.journal.broken.clear()
            assert (await rig.ended(odd)).possible_duplicate

    virtually(main())


def test_nothing_is_kept_of_who_waits_no_longer() -> None:
    """Outcomes that were told, and callers that went away, leave nothing behind."""

    async def main() -> None:
        async with Rig() as rig:
            number = rig.journal.add()
            rig.outbox.wake()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await rig.outbox.outcome(number)
            told = await asyncio.gather(rig.ended(number), rig.ended(number))
            assert told[0] == told[1] == await rig.ended(number)
            assert len(rig.outbox._outcomes) == 0
            assert rig.outbox._outcomes.numbers() == []
            assert (len(rig.outbox), rig.outbox._queue.entries) == (0, {})

    virtually(main())


def test_second_start_does_not_recover_again() -> None:
    """When the loop is started again in the same process, what it had under way is not put into doubt."""

    async def main() -> None:
        rig = Rig()
        async with rig:
            await asyncio.sleep(1)
        async with rig:
            await asyncio.sleep(1)
        assert [call[0] for call in rig.journal.calls].count("recover") == 1

    virtually(main())


def test_receiver_of_another_prefix_goes_to_its_own_modem() -> None:
    """Prefixes decide; numbers that none fits go to the default."""

    async def main() -> None:
        tables = [table("sim-1", prefixes="+6281"), table("sim-2", default=True)]
        async with Rig(tables) as rig:
            first, second = rig.journal.add(), rig.journal.add(receiver="+447700900123")
            rig.outbox.wake()
            await all_ended(rig)
            assert (rig.who(first), rig.who(second)) == (["sim-1"], ["sim-2"])

    virtually(main())


def test_network_failures_of_one_do_not_starve_others() -> None:
    """While one message rests, the modem sends the others."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].script.append(cms(38))
            for _ in range(4):
                rig.journal.add(receiver=NUMBER)
            rig.outbox.wake()
            await all_ended(rig)
            assert [row for row, *_ in rig.air] == [2, 3, 1, 4]

    virtually(main())
