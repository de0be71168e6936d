"""The judge of the chaos test: it must see what it is there for."""

from typing import Any

import pytest

from otp.pi.journal import Row
from otp.pi.model import Channel, State
from tests.pi.chaos.verdict import SLACK, Published, copies, judge

DEADLINE = 1000.0
MESSAGE = Published(receiver="+62812", text="code 1", deadline=DEADLINE)
HASTY = Published(receiver="+62812", text="code 1", deadline=DEADLINE, hasty=True)


def row(state: State, *, possible_duplicate: bool = False, number: int = 1, open_: bool = False) -> Row:
    return Row(
        number=number,
        arrived=0.0,
        command="send-sms",
        channel=Channel.SMS,
        receiver="+62812",
        road="amqp",
        user="",
        state=state,
        modem="",
        parts=1,
        references=(),
        attempts=1,
        reason="outcome_unknown" if state is State.UNKNOWN and not open_ else "",
        possible_duplicate=possible_duplicate,
        deadline=DEADLINE,
        updated=0.0,
        length=6,
        digest="",
        duplicate_of=None,
        message_id="m1",
    )


def part(text: str = "code 1", **more: Any) -> dict[str, Any]:
    whole = {
        "modem": "modem1",
        "receiver": "+62812",
        "text": text,
        "reference": None,
        "total": 1,
        "index": 1,
        "at": 0.0,
    }
    return {**whole, **more}


FLAGGED = row(State.SENT, possible_duplicate=True)
DOUBT = row(State.UNKNOWN, possible_duplicate=True)
SENT = row(State.SENT)


@pytest.mark.parametrize(
    ("message", "rows", "parts"),
    [
        (MESSAGE, [SENT], [part()]),
        (MESSAGE, [SENT, row(State.DUPLICATE, number=2)], [part()]),
        (MESSAGE, [FLAGGED], [part()]),
        (MESSAGE, [FLAGGED], [part(), part()]),
        (MESSAGE, [DOUBT], []),
        (MESSAGE, [DOUBT], [part(), part()]),
        (HASTY, [row(State.EXPIRED)], []),
        (HASTY, [row(State.UNKNOWN)], []),
        (HASTY, [row(State.UNKNOWN)], [part()]),
        (HASTY, [SENT], [part(at=DEADLINE)]),
    ],
)
def test_judge_accepts_what_is_promised(message: Published, rows: list[Row], parts: list[dict[str, Any]]) -> None:
    """Once; twice where it is flagged; not at all where it has expired, or was cut short twice."""
    assert judge([message], rows, parts).faults == []


@pytest.mark.parametrize(
    ("fault", "rows", "parts"),
    [
        ("lost", [], []),
        ("lost", [row(State.FAILED)], []),
        ("lost", [row(State.EXPIRED)], []),
        ("lost", [row(State.UNKNOWN)], []),
        ("lost", [row(State.QUEUED)], []),
        ("misreported as taken", [SENT], []),
        ("misreported as open", [row(State.SENDING)], [part()]),
        ("misreported as open", [row(State.UNKNOWN, open_=True)], [part()]),
        ("misreported as not taken", [row(State.FAILED)], [part()]),
        ("misreported as not taken", [], [part()]),
        ("doubled", [SENT], [part(), part()]),
        ("doubled", [SENT], [part(modem="modem1"), part(modem="modem2")]),
        ("doubled", [FLAGGED], [part()] * 3),
        ("late", [SENT], [part(at=DEADLINE + SLACK + 1)]),
        ("stranger", [SENT], [part(), part("code 2")]),
        ("stranger", [SENT], [part(), part(receiver="+62813")]),
    ],
)
def test_judge_sees_every_broken_promise(fault: str, rows: list[Row], parts: list[dict[str, Any]]) -> None:
    """What must not be is named."""
    assert fault in " ".join(judge([MESSAGE], rows, parts).faults)


def test_judge_counts() -> None:
    """The numbers that are printed are those of what was given."""
    verdict = judge([MESSAGE], [FLAGGED, row(State.DUPLICATE, number=2)], [part(), part()])
    assert (verdict.published, verdict.arrived, verdict.flagged, verdict.twice, verdict.repetitions) == (1, 1, 1, 1, 1)
    assert judge([MESSAGE], [DOUBT], []).in_doubt == 1


def test_copies_of_long_messages_are_joined_as_a_telephone_does() -> None:
    """Parts of two senders, and parts that are not all there, make no message."""
    first, second = ({"reference": 9, "total": 2, "index": index} for index in (1, 2))
    parts = [part("co", **first), part("co", **first), part("de", **second), part("de", modem="modem2", **second)]
    assert copies(parts) == {"code": 1}
