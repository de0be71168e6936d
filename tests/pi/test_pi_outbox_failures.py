"""What becomes of a message when a modem does not send it: every row of the failure table."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from otp.pi.model import State
from otp.pi.modems.cms import Kind
from otp.pi.modems.status import ModemState, NotSentError, OutcomeUnknownError
from otp.pi.outbox import policy
from tests.pi.outbox_doubles import (
    NO_PROMPT,
    SILENCE,
    SILENCE_BUT_TAKEN,
    TAKEN,
    UNPLUGGED,
    Reply,
    Rig,
    cms,
    virtually,
)

RECIPIENT = cms(1)
BROKEN = cms(310)
NETWORK = cms(38)
ONCE = cms(21)
KNOWN = cms(197)
DOUBT = Reply(OutcomeUnknownError("cms_332"))


@dataclass(frozen=True)
class Case:
    """A failure, and what follows.

    Attributes:
        scripts: Replies of sim-1, sim-2, ...; after its script a modem takes everything.
        state, reason: How the message ends.
        by: The modems that were given it, in order.
        flagged: It may have arrived twice.
        settings: Of ``[sms]``.
        text: Of the message; 306 characters are two parts.
        latest: Seconds by which it has ended.
    """

    scripts: tuple[tuple[Reply, ...], ...]
    state: State
    by: tuple[str, ...]
    reason: str = ""
    flagged: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    text: str = "hello"
    latest: float = 70.0


SENT, FAILED, UNKNOWN = State.SENT, State.FAILED, State.UNKNOWN
LONG = "x" * 306

CASES = {
    "taken": Case(((TAKEN,), ()), SENT, ("sim-1",)),
    "no prompt goes elsewhere at once": Case(((NO_PROMPT,), ()), SENT, ("sim-1", "sim-2"), latest=8.0),
    "unplugged before the prompt goes elsewhere at once": Case(((UNPLUGGED,), ()), SENT, ("sim-1", "sim-2"), latest=8),
    "a modem's own error goes elsewhere at once": Case(((BROKEN,), ()), SENT, ("sim-1", "sim-2"), latest=8.0),
    "a modem's own error with one modem is tried again": Case(((BROKEN,),), SENT, ("sim-1", "sim-1"), latest=14.0),
    "no such receiver fails at once": Case(((RECIPIENT,), ()), FAILED, ("sim-1",), "cms_1", latest=4.0),
    "a busy network is tried later": Case(((NETWORK,),), SENT, ("sim-1", "sim-1"), latest=14.0),
    "21 goes to another card once": Case(((ONCE,), ()), SENT, ("sim-1", "sim-2"), latest=8.0),
    "21 from two cards fails": Case(((ONCE,), (ONCE,)), FAILED, ("sim-1", "sim-2"), "cms_21", latest=8.0),
    "197 is sent": Case(((KNOWN,), ()), SENT, ("sim-1",), latest=4.0),
    "silence is tried once elsewhere": Case(((SILENCE,), ()), SENT, ("sim-1", "sim-2"), flagged=True),
    "332 is tried once elsewhere": Case(((DOUBT,), ()), SENT, ("sim-1", "sim-2"), flagged=True, latest=8.0),
    "332 as a refusal is unknown too": Case(((cms(332),), ()), SENT, ("sim-1", "sim-2"), flagged=True, latest=8.0),
    "silence with one modem is tried once more": Case(((SILENCE,),), SENT, ("sim-1", "sim-1"), flagged=True, latest=90),
    "silence twice is the end": Case(
        ((SILENCE,), (SILENCE,)), UNKNOWN, ("sim-1", "sim-2"), "outcome_unknown", flagged=True, latest=130.0
    ),
    "silence is final where the settings say so": Case(
        ((SILENCE,), ()), UNKNOWN, ("sim-1",), "outcome_unknown", settings={"retry_unknown": False}
    ),
    "what may have arrived never ends as failed": Case(
        ((SILENCE,), (RECIPIENT,)), UNKNOWN, ("sim-1", "sim-2"), "outcome_unknown", flagged=True
    ),
    "attempts end": Case(
        ((NETWORK,) * 9,), FAILED, ("sim-1",) * 3, "attempts:cms_38", settings={"attempts": 3}, latest=30.0
    ),
    "a modem that is not there costs no attempt": Case(
        ((UNPLUGGED,) * 2,), SENT, ("sim-1",) * 3, settings={"attempts": 1}, latest=90.0
    ),
    "missing parts go over the same card": Case(
        ((TAKEN, NETWORK), ()), SENT, ("sim-1", "sim-1", "sim-1"), text=LONG, latest=20.0
    ),
    "twice a missing part moves all of it": Case(
        ((TAKEN, NETWORK, NETWORK), ()), SENT, ("sim-1",) * 3 + ("sim-2",) * 2, text=LONG, latest=60.0
    ),
    "a missing part with one modem stays there": Case(
        ((TAKEN, NETWORK, NETWORK),), SENT, ("sim-1",) * 4, text=LONG, settings={"attempts": 9}, latest=60.0
    ),
    "doubt about a part moves all of it": Case(
        ((TAKEN, SILENCE), ()), SENT, ("sim-1",) * 2 + ("sim-2",) * 2, flagged=True, text=LONG, latest=90.0
    ),
    "doubt about a part with one modem repeats that part": Case(
        ((TAKEN, SILENCE),), SENT, ("sim-1",) * 3, flagged=True, text=LONG, latest=90.0
    ),
    "too many parts fail before any modem has it": Case(
        ((),), FAILED, (), "too_long", text=LONG, settings={"max_parts": 1}, latest=0.0
    ),
    "a fault of ours before the body is tried elsewhere": Case(
        ((Reply(KeyError("x"), after_body=False),), ()), SENT, ("sim-1", "sim-2"), latest=8.0
    ),
    "a fault of ours after the body leaves it unknown": Case(
        ((Reply(KeyError("x")),), ()), SENT, ("sim-1", "sim-2"), flagged=True, latest=8.0
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_failure_is_followed_by_what_the_table_says(case: Case) -> None:
    """Each failure leads to its state, its modems and its flag, as soon as it can."""

    async def main() -> None:
        names = [f"sim-{index}" for index in range(1, len(case.scripts) + 1)]
        async with Rig(names, **case.settings) as rig:
            for name, script in zip(names, case.scripts, strict=True):
                rig[name].script.extend(script)
            rig.journal.add(1, text=case.text)
            rig.outbox.wake()
            outcome = await rig.ended(1)
            routed = [call[2] for call in rig.journal.calls if call[0] == "routed"]
            assert (outcome.state, outcome.reason) == (case.state, case.reason)
            assert outcome.possible_duplicate is case.flagged
            assert list(dict.fromkeys(routed)) == list(dict.fromkeys(case.by))
            assert [len(rig[name].submitted) for name in names] == [case.by.count(name) for name in names]
            assert asyncio.get_running_loop().time() <= case.latest

    virtually(main())


def test_doubt_that_was_no_doubt_sends_twice_only_with_the_flag() -> None:
    """A message that was taken in silence arrives twice, and says so."""

    async def main() -> None:
        async with Rig(["sim-1", "sim-2"]) as rig:
            rig["sim-1"].script.append(SILENCE_BUT_TAKEN)
            rig.journal.add(1)
            rig.outbox.wake()
            outcome = await rig.ended(1)
            assert outcome.possible_duplicate
            assert rig.who(1) == ["sim-1", "sim-2"]

    virtually(main())


def test_steps_reach_the_journal_in_the_order_that_survives_a_crash() -> None:
    """``sending`` is written before the body, ``part_sent`` before the next part, and ``sent`` last."""

    async def main() -> None:
        async with Rig() as rig:
            rig.journal.add(1, text=LONG)
            rig.outbox.wake()
            await rig.ended(1)
            steps = [call for call in rig.journal.calls if call[0] in {"routed", "sending", "part_sent", "sent"}]
            assert steps == [
                ("routed", 1, "sim-1"),
                ("sending", 1, "sim-1", 0, 2),
                ("part_sent", 1, "sim-1", 0, 1),
                ("sending", 1, "sim-1", 1, 2),
                ("part_sent", 1, "sim-1", 1, 2),
                ("sent", 1, "sim-1"),
            ]

    virtually(main())


def test_modem_that_fails_three_times_in_a_row_rests() -> None:
    """The breaker opens; the modem gets its next message only after its pause, and the pool says so."""

    async def main() -> None:
        async with Rig(attempts=10) as rig:
            rig["sim-1"].script.extend([BROKEN] * 3)
            rig.journal.add(1)
            rig.outbox.wake()
            await rig.ended(1)
            times = [at for _, _, _, at in rig.air]
            assert times[0] >= 60.0

    virtually(main())


def test_missing_parts_do_not_wait_for_a_card_that_is_gone() -> None:
    """When the card that sent the first parts is gone, all of the message goes over another."""

    async def main() -> None:
        async with Rig(["sim-1", "sim-2"]) as rig:
            rig["sim-1"].script.extend([TAKEN, UNPLUGGED])
            rig["sim-1"].then = lambda: UNPLUGGED
            number = rig.journal.add(text=LONG)
            rig.outbox.wake()
            await asyncio.sleep(5.0)
            assert len(rig["sim-1"].submitted) == 2
            rig["sim-1"].become(ModemState.ABSENT)
            outcome = await rig.ended(number)
            assert (outcome.state, outcome.modem, len(outcome.references)) == (State.SENT, "sim-2", 2)
            assert not outcome.possible_duplicate

    virtually(main())


def test_deadline_that_comes_at_the_prompt_keeps_the_body_back() -> None:
    """A modem that is slow to prompt does not make an old message go out."""

    async def main() -> None:
        async with Rig() as rig:
            rig["sim-1"].script.append(Reply(seconds=20.0))
            rig.journal.add(1, deadline=5.0)
            rig.outbox.wake()
            outcome = await rig.ended(1)
            assert (outcome.state, outcome.reason, rig.air) == (State.EXPIRED, "expired", [])

    virtually(main())


def test_deadline_between_two_parts_keeps_the_second_back() -> None:
    """No part begins after the deadline."""

    async def main() -> None:
        async with Rig() as rig:
            rig.journal.add(1, text=LONG, deadline=4.0)
            rig.outbox.wake()
            outcome = await rig.ended(1)
            assert (outcome.state, len(rig.air), len(rig["sim-1"].submitted)) == (State.EXPIRED, 1, 1)

    virtually(main())


@pytest.mark.parametrize(
    ("error", "action", "blames"),
    [
        (NotSentError("timeout"), "elsewhere", True),
        (NotSentError("cms_38", cms=38, kind=Kind.NETWORK), "later", False),
        (NotSentError("cms_1", cms=1, kind=Kind.RECIPIENT), "fail", False),
        (OutcomeUnknownError("no_result"), "unknown", True),
        (OutcomeUnknownError("cms_332"), "unknown", False),
    ],
)
def test_policy_blames_a_modem_only_for_what_is_its_fault(
    error: NotSentError | OutcomeUnknownError, action: str, blames: bool
) -> None:
    """What the network says of a receiver or of itself is no failure of the modem."""
    step = policy.step(error)
    assert (step.action, step.blames) == (action, blames)


def test_rest_doubles_up_to_a_minute() -> None:
    """However often a message rested, it never rests for longer than a minute."""
    assert [policy.rest(times) for times in (0, 1, 2, 3, 4, 10_000)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
