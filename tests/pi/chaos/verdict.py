"""Compare what was published with what the journal says and with what reached the network. Pure.

| found                                                                    | verdict       |
|--------------------------------------------------------------------------|---------------|
| an SMS that nobody has published, or with another text                    | stranger      |
| good for long, and it never arrived                                      | lost          |
| the same, but it ended as ``unknown`` after two tries cut short           | in doubt      |
| arrived twice, and no row of it is flagged                               | doubled       |
| arrived more than twice                                                  | doubled       |
| handed to a modem after its time                                         | late          |
| a row that is open, or says another thing than what happened             | misreported   |
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otp.pi.journal import Row
from otp.pi.model import State
from tests.pi.chaos.journal import is_open

SLACK = 5.0
"""Seconds between the last look at the deadline and the SMS on the network, on a machine that has a lot to do."""

TAKEN = frozenset({State.SENT, State.DELIVERED, State.UNDELIVERED})
_NOT_TAKEN = frozenset({State.EXPIRED, State.FAILED, State.BLOCKED})
_REPEATED = State.DUPLICATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A message that was published at least once.

    Attributes:
        deadline: Unix seconds after which it must not be sent.
        hasty: It may have expired before it could be sent.
    """

    receiver: str
    text: str
    deadline: float
    hasty: bool = False


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        faults: Every broken promise, one sentence each.
        published, arrived, expired: Messages.
        flagged: Messages that the journal says may have arrived twice.
        twice: Those of them that have.
        in_doubt: Those of them that never arrived, and whose second try was cut short as well.
        repetitions: Copies that came over the roads and were recognised.
    """

    faults: list[str] = field(default_factory=list)
    published: int = 0
    arrived: int = 0
    expired: int = 0
    flagged: int = 0
    twice: int = 0
    in_doubt: int = 0
    repetitions: int = 0

    def __str__(self) -> str:
        return (
            f"{self.published} published, {self.arrived} arrived, {self.expired} expired, "
            f"{self.flagged} flagged possible_duplicate ({self.twice} arrived twice, {self.in_doubt} left in doubt), "
            f"{self.repetitions} repetitions recognised"
        )


def judge(published: Iterable[Published], rows: Iterable[Row], parts: Iterable[Mapping[str, Any]]) -> Verdict:
    """Compare.

    Args:
        published: Every message that was.
        rows: All rows of the journal.
        parts: Every SMS that reached the network, as the emulator's ``--outbox`` has it.
    """
    verdict = Verdict()
    rows_of: defaultdict[str, list[Row]] = defaultdict(list)
    parts_of: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        rows_of[row.receiver].append(row)
    for part in parts:
        parts_of[part["receiver"]].append(part)
    for message in published:
        verdict.published += 1
        _judge(verdict, message, rows_of[message.receiver], parts_of.pop(message.receiver, []))
    verdict.faults += [f"stranger: {each[0]}" for each in parts_of.values()]
    return verdict


def copies(parts: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Return how often each text arrived whole: a telephone joins parts of one sender and reference."""
    found: Counter[str] = Counter()
    pieces: defaultdict[tuple[str, int, int], defaultdict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for part in parts:
        if part["reference"] is None:
            found[part["text"]] += 1
        else:
            pieces[part["modem"], part["reference"], part["total"]][part["index"]].append(part["text"])
    for (_, _, total), by_index in pieces.items():
        whole = zip(*(by_index.get(index, []) for index in range(1, total + 1)), strict=False)
        found.update("".join(each) for each in whole)
    return found


def _judge(verdict: Verdict, message: Published, rows: list[Row], parts: Sequence[Mapping[str, Any]]) -> None:
    arrived = copies(parts)
    times = arrived.pop(message.text, 0)
    flagged = any(row.possible_duplicate for row in rows)
    states = {row.state for row in rows} - {_REPEATED}
    about = f"{message.receiver}: arrived {times} times, rows {[(row.number, row.state, row.reason) for row in rows]}"
    verdict.arrived += times > 0
    verdict.flagged += flagged
    verdict.twice += flagged and times > 1
    verdict.repetitions += sum(row.state is _REPEATED for row in rows)
    verdict.expired += State.EXPIRED in states
    faults = [_number(verdict, message, times, flagged=flagged, states=states), _said(times, rows, flagged=flagged)]
    faults.append("stranger" if arrived else "")
    faults.append("late" if any(part["at"] > message.deadline + SLACK for part in parts) else "")
    verdict.faults += [f"{fault}: {about}" for fault in faults if fault]


def _number(verdict: Verdict, message: Published, times: int, *, flagged: bool, states: set[State]) -> str:
    """Return what is wrong with how often a message arrived."""
    if times > (2 if flagged else 1):
        return "doubled"
    if times or (message.hasty and states <= {State.EXPIRED, State.UNKNOWN}):
        return ""
    if flagged and states == {State.UNKNOWN}:
        verdict.in_doubt += 1
        return ""
    return "lost"


def _said(times: int, rows: list[Row], *, flagged: bool) -> str:
    """Return what is wrong with what the journal says about a message."""
    if any(is_open(row) for row in rows):
        return "misreported as open"
    ended = {row.state for row in rows} - {_REPEATED}
    if not times and ended & TAKEN:
        return "misreported as taken"
    if times and not flagged and ended <= _NOT_TAKEN:
        return "misreported as not taken"
    return ""
