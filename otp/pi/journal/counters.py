"""Count against budgets and quotas in fixed windows of UTC: an hour, a day, a month."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from otp.pi.journal.ledger import Ledger

Span = Literal["hour", "day", "month"]
_SECONDS: Final = {"hour": 3_600, "day": 86_400}
_LONGEST: Final = 32 * 86_400.0
"""Seconds after whose start a window is over, whatever its span."""

_ADD: Final = """INSERT INTO counters VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (scope, name, span, starts) DO UPDATE SET used = used + excluded.used"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Something to be counted.

    Attributes:
        scope: What is limited, such as ``receiver_hour``; it is what a refusal names.
        name: Whose count it is.
        span: How long the window is.
        limit: Most that may be counted in a window; 0 counts and never refuses.
        once_for: A value that counts once in a window, however often it comes; empty counts each time.
    """

    scope: str
    name: str = field(repr=False)
    span: Span
    limit: int
    once_for: str = field(default="", repr=False)


def charge(ledger: Ledger, charges: Sequence[Charge], amount: int = 1) -> str | None:
    """Count all charges, or none; return the scope that is used up, ``None`` when they were counted.

    Args:
        ledger: The journal, in a transaction.
        charges: What to count.
        amount: How much each counts; a charge with ``once_for`` always counts 1.
    """
    ledger.database.execute("SAVEPOINT charges")
    now = ledger.clock()
    refused = next((each.scope for each in charges if not _count(ledger, each, amount, now)), None)
    if refused is not None:
        ledger.database.execute("ROLLBACK TO charges")
    ledger.database.execute("RELEASE charges")
    return refused


def used(ledger: Ledger, scope: str, name: str, span: Span) -> int:
    """Return what was counted in the present window."""
    key = (scope, name, span, window(span, ledger.clock()))
    query = "SELECT used FROM counters WHERE scope = ? AND name = ? AND span = ? AND starts = ?"
    row = ledger.database.execute(query, key).fetchone()
    return int(row[0]) if row else 0


def sweep(ledger: Ledger) -> None:
    """Forget windows that are over."""
    before = ledger.clock() - _LONGEST
    ledger.database.execute("DELETE FROM counters WHERE starts < ?", (before,))
    ledger.database.execute("DELETE FROM counted WHERE starts < ?", (before,))


def window(span: Span, now: float) -> float:
    """Return the Unix seconds at which the window that holds ``now`` began."""
    if span == "month":
        return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return now // _SECONDS[span] * _SECONDS[span]


def _count(ledger: Ledger, each: Charge, amount: int, now: float) -> bool:
    """Count one charge and return whether it is within its limit."""
    key = (each.scope, each.name, each.span, window(each.span, now))
    if each.once_for:
        amount = 1
        again = "INSERT OR IGNORE INTO counted VALUES (?, ?, ?, ?, ?)"
        if ledger.database.execute(again, (*key, each.once_for)).rowcount == 0:
            return True
    ledger.database.execute(_ADD, (*key, amount))
    return not each.limit or used(ledger, each.scope, each.name, each.span) <= each.limit
