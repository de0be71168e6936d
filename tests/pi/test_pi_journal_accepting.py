"""What comes into the journal: messages, commands, charges, blocks, received SMS; and what can be seen of it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otp.pi.journal import Charge, Journal
from otp.pi.journal.counters import window
from otp.pi.model import Channel, Origin, State
from tests.pi.journal_messages import NOON, RECEIVER, Clock, new, opened, send


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    async with opened(tmp_path, clock) as found:
        yield found


async def test_message_as_it_was_accepted(journal: Journal) -> None:
    """Everything of a message comes back, even text that no UTF-8 can hold."""
    given_message = new("id", text="é \ud83d", subject="s", receiver="a@b.example", channel=Channel.MAIL, priority=0)
    accepted = await journal.accept(given_message)
    (message,) = await journal.waiting(10)
    assert (message.number, message.text, message.subject) == (accepted.number, "é \ud83d", "s")
    assert (message.receiver, message.road, message.user) == ("a@b.example", "rest", "alice")
    assert (message.deadline, message.arrived, message.state) == (NOON + 300, NOON, State.QUEUED)
    assert await journal.outcome(accepted.number) is None
    assert "é" not in repr(message)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"command": "send-sms"}, {"command": "send-message"}, True),
        ({"command": "send-mail"}, {"command": "send-email"}, True),
        ({"command": "request-otp"}, {"command": "send-sms"}, False),
        ({"text": "a"}, {"text": "b"}, False),
        ({"subject": "a"}, {"subject": "b"}, False),
        ({"subject": "a", "text": "bc"}, {"subject": "ab", "text": "c"}, False),
        ({"receiver_key": "1"}, {"receiver_key": "2"}, False),
        ({"message_id": "1"}, {"message_id": "2"}, False),
        ({"origin": Origin(road="amqp")}, {"origin": Origin(road="mqtt")}, True),
        ({"deadline": NOON + 10}, {"deadline": NOON + 20}, True),
    ],
)
async def test_same_message(journal: Journal, first: dict[str, Any], second: dict[str, Any], same: bool) -> None:
    """A message is the same by what it says to whom, not by its road or spelling."""
    one = await journal.accept(new(**first))
    two = await journal.accept(new(**second))
    assert (two.duplicate_of == one.number) is same
    assert (two.number, two.state) == (one.number + 1, State.QUEUED)
    assert len(await journal.waiting(10)) == (1 if same else 2)


async def test_duplicate_of_one_that_was_sent(journal: Journal) -> None:
    """The answer to a duplicate tells what became of the first."""
    number = (await journal.accept(new("1"))).number
    await send(journal, number, "sim-1", 5)
    assert (await journal.accept(new("1"))).state is State.SENT


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.BLOCKED, State.UNKNOWN])
async def test_again_after_a_failure(journal: Journal, state: State) -> None:
    """What was not sent may be sent again; what may have arrived may not."""
    number = (await journal.accept(new("1"))).number
    await journal.fail(number, "reason", state=state)
    again = await journal.accept(new("1"))
    assert (again.duplicate_of is None) is (state is not State.UNKNOWN)


async def test_too_late(journal: Journal) -> None:
    """A message past its deadline is stored, not sent, and costs nothing."""
    charge = Charge(scope="s", name="n", span="day", limit=5)
    accepted = await journal.accept(new(deadline=NOON), [charge])
    assert (accepted.state, accepted.refused) == (State.EXPIRED, "expired")
    assert await journal.used("s", "n", "day") == 0
    assert await journal.waiting(10) == []


async def test_block_list(journal: Journal) -> None:
    """Nothing is sent to a blocked receiver, neither what comes nor what waits, until it is unblocked."""
    waits = (await journal.accept(new("1"))).number
    assert await journal.block(RECEIVER)
    assert not await journal.block(RECEIVER)
    assert (await journal.message(waits)).state is State.BLOCKED
    accepted = await journal.accept(new("2"))
    assert (accepted.state, accepted.refused) == (State.BLOCKED, "blocked")
    assert [each.to_dict() for each in await journal.blocked()] == [{"receiver_key": RECEIVER, "since": NOON}]
    assert await journal.is_blocked(RECEIVER)
    assert await journal.unblock(RECEIVER)
    assert not await journal.unblock(RECEIVER)
    assert (await journal.accept(new("2"))).refused == ""


async def test_budget_used_up(journal: Journal) -> None:
    """The message above the limit is refused by the name of the budget, and is charged nowhere."""
    charges = [Charge(scope=scope, name="x", span="hour", limit=limit) for scope, limit in (("wide", 9), ("narrow", 1))]
    assert (await journal.accept(new("1"), charges)).refused == ""
    accepted = await journal.accept(new("2"), charges)
    assert (accepted.state, accepted.refused) == (State.BLOCKED, "budget:narrow")
    assert await journal.used("wide", "x", "hour") == 1


async def test_charge_without_a_limit(journal: Journal) -> None:
    """A limit of 0 counts and never refuses."""
    charge = Charge(scope="s", name="n", span="hour", limit=0)
    assert await journal.charge([charge], 7) is None
    assert await journal.used("s", "n", "hour") == 7


def test_windows() -> None:
    """Windows begin with the hour, day and month of UTC."""
    assert window("hour", NOON + 3599) == NOON
    assert window("day", NOON) == NOON - 12 * 3600
    assert window("month", NOON) == NOON - 12 * 3600 - 21 * 86_400


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["accept", "charge", "fail", "wait"]),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from([30.0, 61.0, 3600.0, 90_000.0]),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_STEPS)
def test_duplicates_and_charges_against_a_model(steps: list[tuple[str, str, float]]) -> None:
    """Duplicates and budgets are what dicts say they are, whatever happens in which order."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_compare(Path(directory), steps))


async def _compare(directory: Path, steps: list[tuple[str, str, float]]) -> None:
    clock = Clock()
    keys: dict[str, tuple[int, float]] = {}
    plain: dict[float, int] = {}
    once: dict[float, set[str]] = {}
    async with opened(directory, clock) as journal:
        for action, name, seconds in steps:
            if action == "wait":
                clock.now += seconds
            elif action == "accept":
                accepted = await journal.accept(new(name, arrived=clock.now, deadline=clock.now + 100_000))
                known = keys.get(name, (0, 0.0))
                assert accepted.duplicate_of == (known[0] if known[1] > clock.now else None)
                if accepted.duplicate_of is None:
                    keys[name] = (accepted.number, clock.now + (100_000 if name else 60))
            elif action == "fail":
                number, _ = keys.pop(name, (0, 0.0))
                if number:
                    await journal.fail(number, "reason")
            else:
                hour, day = clock.now // 3600, clock.now // 86_400
                values = once.setdefault(day, set())
                refused = "h" if plain.get(hour, 0) >= 3 else "d" if name and len({*values, name}) > 1 else None
                charges = [Charge(scope="h", name="", span="hour", limit=3)]
                charges += [Charge(scope="d", name="", span="day", limit=1, once_for=name)] if name else []
                assert await journal.charge(charges) == refused
                if refused is None:
                    plain[hour] = plain.get(hour, 0) + 1
                    values |= {name} - {""}
                assert await journal.used("h", "", "hour") == plain.get(hour, 0)
                assert await journal.used("d", "", "day") == len(values)


async def test_command_that_was_no_command(journal: Journal) -> None:
    """A payload that is no command stands there with its length and digest, and has ended."""
    origin = Origin(road="mqtt")
    for payload in (b"{", b"{", b"["):
        await journal.record(
            command="", origin=origin, arrived=NOON, state=State.REJECTED, reason="bad", length=1, digest_of=payload
        )
    last, second, first = await journal.rows()
    assert (first.state, first.reason, first.road, first.length) == (State.REJECTED, "bad", "mqtt", 1)
    assert first.digest == second.digest != last.digest
    assert await journal.counts() == {State.REJECTED: 3}


async def test_rows_by_place_state_and_receiver(journal: Journal) -> None:
    """Rows come the newest first, or following a number the oldest first; they never hold a body."""
    numbers = [(await journal.accept(new(str(index), text="secret"))).number for index in range(5)]
    other = (await journal.accept(new("x", receiver="0811 22", receiver_key="+6281122"))).number
    await send(journal, numbers[2], "sim-1", 7, 8)

    async def found(**values: Any) -> list[int]:
        return [row.number for row in await journal.rows(**values)]

    assert await found(limit=2) == [other, numbers[4]]
    assert await found(before=numbers[2]) == [numbers[1], numbers[0]]
    assert await found(after=numbers[3]) == [numbers[4], other]
    assert await found(state=State.SENT) == [numbers[2]]
    assert await found(state=State.QUEUED, after=0, limit=1) == [numbers[0]]
    assert await found(receiver="+6281122") == await found(receiver="0811 22") == [other]
    (row,) = await journal.rows(state=State.SENT)
    shown = row.to_dict()
    assert (shown["parts"], shown["references"], shown["modem"], shown["attempts"]) == (2, [7, 8], "sim-1", 1)
    assert "secret" not in str(shown)
    assert await journal.counts() == {State.QUEUED: 5, State.SENT: 1}


async def test_received_twice(journal: Journal) -> None:
    """An SMS that a modem brings again, as after a crash, is the same row."""
    first = await journal.received("sim-1", "+62811", "hi", NOON)
    assert await journal.received("sim-1", "+62811", "hi", NOON) == first
    second = await journal.received("sim-1", "+62811", "hi", NOON + 1)
    letters = await journal.inbox(10)
    assert [each.number for each in letters] == [second, first]
    assert letters[1].to_dict() == {
        "number": first, "modem": "sim-1", "sender": "+62811", "text": "hi", "sent_at": NOON, "arrived": NOON,
    }  # fmt: skip


async def test_sweep_keeps_what_still_matters(journal: Journal, clock: Clock) -> None:
    """Rows go when they are old, unless they wait or duplicates of them may still come."""
    anonymous = (await journal.accept(new())).number
    named = (await journal.accept(new("1"))).number
    await send(journal, anonymous, "sim-1", 5)
    await send(journal, named, "sim-1", 6)
    waits = (await journal.accept(new("2"))).number
    clock.now += 3600
    assert await journal.sweep(60) == 1
    assert [row.number for row in await journal.rows()] == [waits, named]
    clock.now += 86_400
    assert await journal.sweep(60) == 1
    assert [row.number for row in await journal.rows()] == [waits]
