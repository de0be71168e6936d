"""The way of a message through its states, and what the network says later."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from otp.pi.journal import Journal, NoRowError, TransitionError
from otp.pi.journal.states import ALLOWED
from otp.pi.model import Channel, Origin, State
from tests.pi.journal_messages import NOON, RECEIVER, Clock, new, opened, send


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    async with opened(tmp_path, clock) as found:
        yield found


async def in_state(journal: Journal, state: str) -> int:
    """Return a message in a state."""
    number = (await journal.accept(new(state))).number
    if state == "queued":
        return number
    await journal.routed(number, "sim-1")
    if state == "routed":
        return number
    await journal.sending(number, "sim-1", 0, 1)
    if state == "unknown":
        await journal.unknown(number, "sim-1", "no_result")
    if state == "sent":
        await journal.part_sent(number, "sim-1", 0, 5)
        await journal.sent(number, "sim-1")
    if state == "failed":
        await journal.fail(number, "cms_38")
    return number


STEPS: dict[str, Callable[[Journal, int], Awaitable[object]]] = {
    "routed": lambda journal, number: journal.routed(number, "sim-1"),
    "sending": lambda journal, number: journal.sending(number, "sim-1", 0, 1),
    "part_sent": lambda journal, number: journal.part_sent(number, "sim-1", 0, 9),
    "sent": lambda journal, number: journal.sent(number, "sim-1"),
    "unknown": lambda journal, number: journal.unknown(number, "sim-1", "no_result"),
    "retry": lambda journal, number: journal.retry(number, possible_duplicate=False, keep_parts=False),
    "fail": lambda journal, number: journal.fail(number, "cms_38"),
    "finish_command": lambda journal, number: journal.finish_command(number, State.DONE),
}


@pytest.mark.parametrize("state", ["queued", "routed", "sending", "unknown", "sent", "failed"])
@pytest.mark.parametrize("step", STEPS)
async def test_step_that_the_table_does_not_allow(journal: Journal, step: str, state: str) -> None:
    """Each step is taken from the states of the table and refused, changing nothing, from every other."""
    number = await in_state(journal, state)
    before = await journal.message(number)
    # With a part under way and none sent these are refused for more than the state.
    allowed = state in ALLOWED[step] and (step, state) not in {
        ("sent", "sending"),
        ("sent", "routed"),
        ("sending", "sending"),
        ("finish_command", "sending"),
    }
    if allowed:
        await STEPS[step](journal, number)
        return
    with pytest.raises(TransitionError):
        await STEPS[step](journal, number)
    assert await journal.message(number) == before


async def test_step_of_a_row_that_is_not_there(journal: Journal) -> None:
    """A number that no row has is refused by name."""
    with pytest.raises(NoRowError, match="no row 99"):
        await journal.routed(99, "sim-1")


async def test_part_that_is_not_under_way(journal: Journal) -> None:
    """Only the part under way, at its modem, can have been sent."""
    number = await in_state(journal, "sending")
    with pytest.raises(TransitionError, match="no part 1"):
        await journal.part_sent(number, "sim-1", 1, 5)
    with pytest.raises(TransitionError, match="at sim-2"):
        await journal.part_sent(number, "sim-2", 0, 5)


async def test_failing_as_something_that_is_no_failure(journal: Journal) -> None:
    """A message cannot fail as sent, nor a command end as queued."""
    number = await in_state(journal, "queued")
    with pytest.raises(TransitionError, match="no state in which"):
        await journal.fail(number, "", state=State.SENT)


async def test_long_message(journal: Journal) -> None:
    """Of a long message the references of all parts stand in its outcome, in order."""
    number = (await journal.accept(new())).number
    await send(journal, number, "sim-1", 7, 8, 9)
    outcome = await journal.outcome(number)
    assert outcome is not None
    assert (outcome.state, outcome.modem, outcome.references) == (State.SENT, "sim-1", (7, 8, 9))
    assert (await journal.message(number)).text == ""


async def test_retry_keeps_parts_or_does_not(journal: Journal) -> None:
    """Parts that were sent stay so when they are kept, and are to be sent again when they are not."""
    number = (await journal.accept(new())).number
    await journal.routed(number, "sim-1")
    await journal.sending(number, "sim-1", 0, 2)
    await journal.part_sent(number, "sim-1", 0, 7)
    await journal.sending(number, "sim-1", 1, 2)
    await journal.retry(number, possible_duplicate=False, keep_parts=True)
    kept = await journal.message(number)
    assert (kept.state, kept.sent_parts, kept.modem, kept.attempts) == (State.QUEUED, (0,), "sim-1", 1)
    await journal.retry(number, possible_duplicate=True, keep_parts=False)
    anew = await journal.message(number)
    assert (anew.sent_parts, anew.possible_duplicate, anew.reference) == ((), True, kept.reference)
    await journal.retry(number, possible_duplicate=False, keep_parts=False)
    assert (await journal.message(number)).possible_duplicate


async def test_mail_goes_to_the_next_account(journal: Journal) -> None:
    """A mail that one account could not hand over is handed over by the next."""
    number = (await journal.accept(new(channel=Channel.MAIL, receiver="a@b.example"))).number
    await journal.routed(number, "mail")
    await journal.sending(number, "first", 0, 1)
    await journal.sending(number, "second", 0, 1)
    await journal.part_sent(number, "second", 0, -1)
    outcome = await journal.sent(number, "second")
    assert (outcome.state, outcome.modem, outcome.references) == (State.SENT, "second", ())


@pytest.mark.parametrize("end", [State.DONE, State.FAILED])
async def test_command_that_sends_nothing(journal: Journal, end: State) -> None:
    """A command is under way, then ends once; it never waits to be sent."""
    origin = Origin(road="amqp")
    number = await journal.record(command="request-ussd", origin=origin, arrived=NOON, state=State.SENDING)
    assert await journal.waiting(10) == []
    with pytest.raises(TransitionError, match="no command"):
        await journal.finish_command(number, State.SENT)
    await journal.finish_command(number, end, "reason")
    outcome = await journal.outcome(number)
    assert outcome is not None
    assert (outcome.state, outcome.reason) == (end, "reason")


# -- late references


async def test_late_reference_while_unknown(journal: Journal) -> None:
    """A message whose outcome was unknown is sent when the reference comes; its carrier's steps have no effect."""
    number = await in_state(journal, "unknown")
    await journal.late_reference("sim-1", number, 0, 77)
    await journal.unknown(number, "sim-1", "no_result")
    await journal.retry(number, possible_duplicate=True, keep_parts=False)
    outcome = await journal.fail(number, "outcome_unknown", state=State.UNKNOWN)
    assert (outcome.state, outcome.references, outcome.possible_duplicate) == (State.SENT, (77,), False)
    assert await journal.waiting(10) == []


async def test_late_reference_before_the_outcome_is_stored(journal: Journal) -> None:
    """The reference may be faster than the carrier that gave up on it."""
    number = await in_state(journal, "sending")
    await journal.late_reference("sim-1", number, 0, 77)
    assert (await journal.message(number)).state is State.SENT


async def test_late_reference_of_a_message_given_up(journal: Journal) -> None:
    """A message that ended as unknown becomes sent."""
    number = await in_state(journal, "unknown")
    await journal.fail(number, "outcome_unknown", state=State.UNKNOWN)
    await journal.late_reference("sim-1", number, 0, 77)
    assert (await journal.message(number)).state is State.SENT


async def test_late_reference_before_the_retry_begins(journal: Journal) -> None:
    """A message that was put back is not sent again, even where all was to be sent anew."""
    number = await in_state(journal, "unknown")
    await journal.retry(number, possible_duplicate=True, keep_parts=False)
    await journal.late_reference("sim-1", number, 0, 77)
    outcome = await journal.outcome(number)
    assert outcome is not None
    assert (outcome.state, outcome.references) == (State.SENT, (77,))


async def test_late_reference_after_the_retry_began(journal: Journal) -> None:
    """Once a retry is under way it goes on."""
    number = await in_state(journal, "unknown")
    await journal.retry(number, possible_duplicate=True, keep_parts=False)
    await journal.routed(number, "sim-2")
    await journal.late_reference("sim-1", number, 0, 77)
    await journal.sending(number, "sim-2", 0, 1)
    assert (await journal.message(number)).state is State.SENDING


async def test_late_reference_of_one_part_of_two(journal: Journal) -> None:
    """A part that was taken late needs no sending when parts are kept; the message waits for the others."""
    number = (await journal.accept(new())).number
    await journal.routed(number, "sim-1")
    await journal.sending(number, "sim-1", 0, 2)
    await journal.unknown(number, "sim-1", "no_result")
    await journal.late_reference("sim-1", number, 0, 77)
    await journal.retry(number, possible_duplicate=True, keep_parts=True)
    assert (await journal.message(number)).sent_parts == (0,)
    await journal.late_reference("sim-1", number, 0, 78)
    assert (await journal.message(number)).state is State.QUEUED


async def test_late_reference_of_nothing(journal: Journal) -> None:
    """A reference for a part that nobody waits for changes nothing."""
    number = await in_state(journal, "sent")
    await journal.late_reference("sim-1", number, 0, 77)
    outcome = await journal.outcome(number)
    assert outcome is not None
    assert outcome.references == (5,)


# -- delivery reports


async def test_report_of_every_part(journal: Journal) -> None:
    """A long message is delivered only when all its parts are."""
    number = (await journal.accept(new())).number
    await send(journal, number, "sim-1", 7, 8)
    assert await journal.delivery_report("sim-1", 7, RECEIVER, None, NOON) == number
    assert await journal.delivery_report("sim-1", 7, RECEIVER, True, NOON) == number
    assert (await journal.message(number)).state is State.SENT
    assert await journal.delivery_report("sim-1", 8, RECEIVER, True, NOON) == number
    assert (await journal.message(number)).state is State.DELIVERED
    assert (await journal.counts())[State.DELIVERED] == 1


async def test_report_of_one_failed_part(journal: Journal) -> None:
    """A long message is undelivered as soon as one part is, and stays so."""
    number = (await journal.accept(new())).number
    await send(journal, number, "sim-1", 7, 8)
    await journal.delivery_report("sim-1", 8, RECEIVER, False, NOON)
    await journal.delivery_report("sim-1", 7, RECEIVER, True, NOON)
    assert (await journal.message(number)).state is State.UNDELIVERED


async def test_report_of_the_newest_message(journal: Journal) -> None:
    """References repeat; a report belongs to the newest message to that receiver."""
    numbers = [(await journal.accept(new(str(index)))).number for index in range(2)]
    for number in numbers:
        await send(journal, number, "sim-1", 7)
    assert await journal.delivery_report("sim-1", 7, RECEIVER, True, NOON) == numbers[1]
    assert (await journal.message(numbers[0])).state is State.SENT


async def test_report_faster_than_its_reference_is_not_taken_for_an_older_one(journal: Journal) -> None:
    """With a part under way to the same receiver, a reference that has its report is this part's, not the old one's."""
    numbers = [(await journal.accept(new(str(index)))).number for index in range(2)]
    await send(journal, numbers[0], "sim-1", 7)
    assert await journal.delivery_report("sim-1", 7, RECEIVER, True, NOON) == numbers[0]
    assert await journal.delivery_report("sim-1", 7, RECEIVER, True, NOON) == numbers[0], "a repetition"
    await journal.routed(numbers[1], "sim-1")
    await journal.sending(numbers[1], "sim-1", 0, 1)
    assert await journal.delivery_report("sim-1", 7, RECEIVER, False, NOON) is None
    await journal.part_sent(numbers[1], "sim-1", 0, 7)
    await journal.sent(numbers[1], "sim-1")
    states = [(await journal.message(number)).state for number in numbers]
    assert states == [State.DELIVERED, State.UNDELIVERED]


async def test_late_reference_of_a_part_already_given_again(journal: Journal) -> None:
    """While the same part is under way once more, the late reference of the first try ends nothing."""
    number = await in_state(journal, "unknown")
    await journal.retry(number, possible_duplicate=True, keep_parts=True)
    await journal.routed(number, "sim-1")
    await journal.sending(number, "sim-1", 0, 1)
    await journal.late_reference("sim-1", number, 0, 77)
    assert (await journal.message(number)).state is State.SENDING
    await journal.part_sent(number, "sim-1", 0, 78)
    outcome = await journal.sent(number, "sim-1")
    assert (outcome.state, outcome.references, outcome.possible_duplicate) == (State.SENT, (78,), True)


async def test_report_before_all_is_sent(journal: Journal) -> None:
    """A report of the first part may come while the second is under way, and counts in the end."""
    number = (await journal.accept(new())).number
    await journal.routed(number, "sim-1")
    await journal.sending(number, "sim-1", 0, 2)
    await journal.part_sent(number, "sim-1", 0, 7)
    await journal.sending(number, "sim-1", 1, 2)
    assert await journal.delivery_report("sim-1", 7, RECEIVER, True, NOON) == number
    assert (await journal.message(number)).state is State.SENDING
    await journal.part_sent(number, "sim-1", 1, 8)
    assert (await journal.sent(number, "sim-1")).state is State.SENT
    await journal.delivery_report("sim-1", 8, RECEIVER, True, NOON)
    assert (await journal.message(number)).state is State.DELIVERED


async def test_report_in_national_form(journal: Journal) -> None:
    """A network may report the national form of the number."""
    number = (await journal.accept(new())).number
    await send(journal, number, "sim-1", 7)
    assert await journal.delivery_report("sim-1", 7, "081234567890", True, NOON) == number


@pytest.mark.parametrize(
    ("modem", "reference", "receiver", "later"),
    [
        ("sim-2", 7, RECEIVER, 0),
        ("sim-1", 8, RECEIVER, 0),
        ("sim-1", 7, "+6289", 0),
        ("sim-1", 7, RECEIVER, 3 * 86_400),
    ],
)
async def test_report_that_belongs_to_nothing(
    journal: Journal, clock: Clock, modem: str, reference: int, receiver: str, later: float
) -> None:
    """A report of another modem, reference or receiver, or days too late, changes nothing."""
    number = (await journal.accept(new())).number
    await send(journal, number, "sim-1", 7)
    clock.now += later
    assert await journal.delivery_report(modem, reference, receiver, True, NOON) is None
    assert await journal.delivery_report(modem, reference, receiver, None, NOON) is None
    assert (await journal.message(number)).state is State.SENT


async def test_report_before_the_reference(journal: Journal) -> None:
    """A report that is faster than the reference finds its part as soon as that is there."""
    number = await in_state(journal, "sending")
    assert await journal.delivery_report("sim-1", 9, "+15550000000", True, NOON) is None
    assert await journal.delivery_report("sim-1", 9, RECEIVER, True, NOON) is None
    await journal.part_sent(number, "sim-1", 0, 9)
    assert (await journal.sent(number, "sim-1")).state is State.DELIVERED


async def test_report_of_another_receiver_before_the_reference(journal: Journal) -> None:
    """An early report of another message is not taken for this one's."""
    number = await in_state(journal, "sending")
    assert await journal.delivery_report("sim-1", 9, "+15550000000", True, NOON) is None
    await journal.part_sent(number, "sim-1", 0, 9)
    assert (await journal.sent(number, "sim-1")).state is State.SENT


# -- after a crash


async def test_recovery_by_state(tmp_path: Path) -> None:
    """What was under way goes where nothing is lost and nothing unknown is sent as if it were new."""
    async with opened(tmp_path) as journal:
        rows = {state: await in_state(journal, state) for state in ("queued", "routed", "sending", "unknown", "sent")}
        for name, parts in (("some", 2), ("all", 1)):
            rows[name] = (await journal.accept(new(name))).number
            await journal.routed(rows[name], "sim-1")
            await journal.sending(rows[name], "sim-1", 0, parts)
            await journal.part_sent(rows[name], "sim-1", 0, 3)
        rows["ussd"] = await journal.record(
            command="request-ussd", origin=Origin(road="rest"), arrived=NOON, state=State.SENDING
        )
    async with opened(tmp_path) as journal:
        assert str(await journal.recover()) == "2 queued, 2 unknown, 1 sent"
        found = {name: (await journal.message(number)).state for name, number in rows.items()}
        assert found == {
            "queued": State.QUEUED,
            "routed": State.QUEUED,
            "sending": State.UNKNOWN,
            "unknown": State.UNKNOWN,
            "sent": State.SENT,
            "some": State.QUEUED,
            "all": State.SENT,
            "ussd": State.UNKNOWN,
        }
        assert (await journal.message(rows["some"])).sent_parts == (0,)
        waiting = {each.number for each in await journal.waiting(10)}
        assert waiting == {rows[name] for name in ("queued", "routed", "sending", "unknown", "some")}
        interrupted = await journal.message(rows["sending"])
        assert (interrupted.modem, interrupted.text) == ("sim-1", "hello")
        await journal.retry(rows["sending"], possible_duplicate=True, keep_parts=False)
        await send(journal, rows["sending"], "sim-2", 4)
        outcome = await journal.outcome(rows["sending"])
        assert outcome is not None
        assert (outcome.state, outcome.possible_duplicate) == (State.SENT, True)


async def test_all_parts_sent_before_a_crash(journal: Journal) -> None:
    """A message of which only the end was not stored is sent without handing anything over again."""
    number = (await journal.accept(new())).number
    await journal.routed(number, "sim-1")
    await journal.sending(number, "sim-1", 0, 1)
    await journal.part_sent(number, "sim-1", 0, 3)
    await journal.retry(number, possible_duplicate=False, keep_parts=True)
    await journal.routed(number, "sim-1")
    assert (await journal.sent(number, "sim-1")).state is State.SENT


async def test_expiry(journal: Journal, clock: Clock) -> None:
    """What is too late ends as expired, and as unknown when it may have arrived; what is under way is left alone."""
    plain, doubtful, later = [
        (await journal.accept(new(name, deadline=NOON + wait))).number
        for name, wait in (("a", 10), ("b", 10), ("c", 1000))
    ]
    under_way = await in_state(journal, "routed")
    await journal.retry(doubtful, possible_duplicate=True, keep_parts=False)
    clock.now += 400
    assert await journal.expire() == 2
    found = [(await journal.message(number)).state for number in (plain, doubtful, later, under_way)]
    assert found == [State.EXPIRED, State.UNKNOWN, State.QUEUED, State.ROUTED]
