"""Keep records in memory: for tests and for one process that may forget everything when it ends."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from otp import limits
from otp.limits import Window
from otp.store import rules
from otp.store.base import Gone, Record, Taken, Wait

_SWEEP_EVERY = 256
"""Adds between two clean-ups: what is dead stays few, and cleaning costs next to nothing per add."""


class MemoryBackend:
    """Records in a dictionary behind one lock.

    Attributes:
        _records: Record by name.
        _stamps: By owner, when each record was added, by nonce, oldest first.
        _horizon: Seconds a stamp is remembered: the longest window seen.
        _adds: Adds since the last clean-up.
    """

    __slots__ = ("_adds", "_horizon", "_lock", "_records", "_stamps")

    def __init__(self) -> None:
        self._records: dict[bytes, Record] = {}
        self._stamps: dict[bytes, dict[bytes, int]] = {}
        self._horizon = 0
        self._adds = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of records, forgotten ones included until they are swept."""
        return len(self._records)

    def add(self, record: Record, windows: Sequence[Window], now: float) -> Taken | Wait | None:
        """Insert a record and count it; see ``Backend.add``."""
        with self._lock:
            self._clean_up_sometimes(windows, now)
            if rules.taken(self._records.get(record.name), now):
                return Taken()
            stamps = self._stamps.get(record.owner, {})
            if seconds := limits.wait(windows, list(stamps.values()), now):
                return Wait(seconds)
            self._records[record.name] = record
            self._stamps.setdefault(record.owner, {})[record.nonce] = int(now)
            return None

    def charge(self, name: bytes, now: float) -> Record | Gone:
        """Take one try; see ``Backend.charge``."""
        with self._lock:
            record = self._records.get(name)
            if record is None:
                return Gone.UNKNOWN
            outcome = rules.gone(record, now) or replace(record, tries=record.tries - 1)
            if isinstance(outcome, Record):
                self._records[name] = outcome
            return outcome

    def consume(self, name: bytes, nonce: bytes) -> bool:
        """Mark a record used, once; see ``Backend.consume``."""
        with self._lock:
            record = self._records.get(name)
            if record is None or record.nonce != nonce or record.used:
                return False
            self._records[name] = replace(record, used=True)
            return True

    def resend(self, name: bytes, owner: bytes, cooldowns: Sequence[int], now: float) -> Record | Gone | Wait:
        """Count one resend; see ``Backend.resend``."""
        with self._lock:
            record = self._records.get(name)
            if record is None or record.owner != owner:
                return Gone.UNKNOWN
            outcome = rules.gone(record, now) or rules.resent(record, cooldowns, now)
            if isinstance(outcome, Record):
                self._records[name] = outcome
            return outcome

    def undo_resend(self, record: Record, now: float) -> None:
        """Take back a resend; see ``Backend.undo_resend``."""
        with self._lock:
            found = self._records.get(record.name)
            if found and found.nonce == record.nonce and found.resends == record.resends:
                self._records[record.name] = replace(found, resends=found.resends - 1, resend_at=int(now))

    def undo_add(self, record: Record) -> None:
        """Remove a record as it was added; see ``Backend.undo_add``."""
        with self._lock:
            found = self._records.get(record.name)
            if found is None or found.nonce != record.nonce:
                return
            del self._records[record.name]
            if found.tries == record.tries:
                self._stamps.get(record.owner, {}).pop(record.nonce, None)

    def remove(self, name: bytes, owner: bytes) -> bool:
        """Remove this owner's record; see ``Backend.remove``."""
        with self._lock:
            record = self._records.get(name)
            if record is None or record.owner != owner:
                return False
            del self._records[name]
            return True

    def sweep(self, now: float) -> int:
        """Forget what is past its time; see ``Backend.sweep``."""
        with self._lock:
            return self._sweep(now)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._records.clear()
            self._stamps.clear()

    def _clean_up_sometimes(self, windows: Sequence[Window], now: float) -> None:
        self._horizon = max(self._horizon, limits.horizon(windows))
        self._adds += 1
        if self._adds >= _SWEEP_EVERY:
            self._adds = 0
            self._sweep(now)

    def _sweep(self, now: float) -> int:
        old = [name for name, record in self._records.items() if now >= record.keep_until]
        for name in old:
            del self._records[name]
        oldest = now - self._horizon
        kept = {
            owner: {nonce: stamp for nonce, stamp in stamps.items() if stamp > oldest}
            for owner, stamps in self._stamps.items()
        }
        self._stamps = {owner: stamps for owner, stamps in kept.items() if stamps}
        return len(old)
