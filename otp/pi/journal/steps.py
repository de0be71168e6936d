"""Take the steps of the table in ``states``, each in one transaction."""

import sqlite3
from typing import Final

from otp.pi.journal import messages, parts, reports, states
from otp.pi.journal.errors import TransitionError
from otp.pi.journal.ledger import Ledger
from otp.pi.model import Channel, Outcome, State

_FAILS: Final = frozenset({State.FAILED, State.EXPIRED, State.BLOCKED, State.UNKNOWN})
_FINISHES: Final = frozenset({State.DONE, State.FAILED, State.UNKNOWN})


def routed(ledger: Ledger, number: int) -> None:
    """Store that somebody is going to send it, which is an attempt."""
    row = states.expect(ledger, number, "routed")
    states.change(ledger, number, state=State.ROUTED, attempts=row["attempts"] + 1)


def sending(ledger: Ledger, number: int, modem: str, part: int, total: int) -> None:
    """Store that a part is about to be handed over; its modem is the message's from now on."""
    row = states.expect(ledger, number, "sending")
    if parts.in_flight(ledger, number) is not None:
        if row["channel"] != Channel.MAIL:
            raise TransitionError(f"row {number} has a part under way: its outcome has to be stored first")
        parts.settle(ledger, number, "failed")  # a mail that one account could not hand over goes to the next
    parts.begin(ledger, row, modem, part)
    states.change(ledger, number, state=State.SENDING, modem=modem, total=total)


def part_sent(ledger: Ledger, number: int, modem: str, part: int, reference: int) -> None:
    """Store that the part under way was taken."""
    states.expect(ledger, number, "part_sent")
    under_way = parts.in_flight(ledger, number)
    if under_way is None or (under_way["modem"], under_way["part"]) != (modem, part):
        raise TransitionError(f"row {number} has no part {part} under way at {modem}")
    reports.take_reference(ledger, number, under_way, reference)
    states.change(ledger, number, modem=modem)


def sent(ledger: Ledger, number: int, modem: str) -> Outcome:
    """End a message whose parts were all taken."""
    row = states.expect(ledger, number, "sent")
    if parts.in_flight(ledger, number) is not None or not parts.complete(ledger, row, row["generation"]):
        raise TransitionError(f"row {number} has parts that were not sent")
    states.change(ledger, number, modem=modem)
    reports.end_sent(ledger, number)
    return messages.ended(ledger, number)


def unknown(ledger: Ledger, number: int, modem: str, reason: str) -> None:
    """Store that nobody knows whether the part under way was taken."""
    if not states.is_late(states.row_of(ledger, number)):
        states.expect(ledger, number, "unknown")
        parts.settle(ledger, number, "unknown")
        states.change(ledger, number, state=State.UNKNOWN, modem=modem, reason=reason)


def retry(ledger: Ledger, number: int, *, possible_duplicate: bool, keep_parts: bool) -> None:
    """Put a message back to wait; once in doubt it stays in doubt."""
    if states.is_late(states.row_of(ledger, number)):
        return
    row = states.expect(ledger, number, "retry")
    parts.settle(ledger, number, "failed")
    states.change(
        ledger,
        number,
        state=State.QUEUED,
        reason="",
        possible_duplicate=max(row["possible_duplicate"], possible_duplicate),
        generation=row["generation"] + (not keep_parts),
    )


def fail(ledger: Ledger, number: int, reason: str, state: State) -> Outcome:
    """End a message that is not going to be sent (again)."""
    if state not in _FAILS:
        raise TransitionError(f"{state} is no state in which a message fails")
    row = states.row_of(ledger, number)
    if not states.is_late(row):
        _fail(ledger, states.expect(ledger, number, "fail"), reason, state)
    return messages.ended(ledger, number)


def finish_command(ledger: Ledger, number: int, state: State, reason: str) -> None:
    """End a command that sends nothing."""
    row = states.expect(ledger, number, "finish_command")
    if row["channel"] != Channel.NONE or state not in _FINISHES:
        raise TransitionError(f"row {number} is no command that could end as {state}")
    states.end(ledger, number, state, reason)


def _fail(ledger: Ledger, row: sqlite3.Row, reason: str, state: State) -> None:
    parts.settle(ledger, row["number"], "unknown" if state is State.UNKNOWN else "failed")
    states.end(ledger, row["number"], state, reason)
