"""Decide what a record allows: pure functions of a record and ``now``, the same for every backend."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from otp.store.base import Gone, Record, Wait


def gone(record: Record | None, now: float) -> Gone | None:
    """Return why a record is not open; ``None`` when it is. Void comes before expired: used stays used."""
    if record is None or now >= record.keep_until:
        return Gone.UNKNOWN
    if record.used or record.tries <= 0:
        return Gone.VOID
    return Gone.EXPIRED if now >= record.expires_at else None


def taken(record: Record | None, now: float) -> bool:
    """Tell whether a name is taken: used and exhausted codes hold theirs until they expire."""
    return record is not None and now < record.expires_at


def next_resend(cooldowns: Sequence[int], resends: int, now: float, expires_at: int) -> int | None:
    """Return from when a code may be sent again after ``resends`` resends; ``None`` for never."""
    if resends >= len(cooldowns):
        return None
    moment = int(now) + cooldowns[resends]
    return moment if moment < expires_at else None


def resent(record: Record, cooldowns: Sequence[int], now: float) -> Record | Wait:
    """Return an open record after one more resend, or how long that has to wait."""
    if record.resend_at is None:
        return Wait(None)
    if now < record.resend_at:
        return Wait(ceil(record.resend_at - now))
    count = record.resends + 1
    return replace(record, resends=count, resend_at=next_resend(cooldowns, count, now, record.expires_at))
