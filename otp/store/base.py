"""Say what a backend has to promise: eight operations, each of them atomic for every thread and process.

A record's life, which every backend keeps to:

| state     | while                            | charge says | a new code for the reference | resend  |
|-----------|----------------------------------|-------------|------------------------------|---------|
| open      | tries > 0, not used, not expired | the record  | refused                      | allowed |
| void      | used, or tries = 0               | VOID        | refused until it expires     | refused |
| expired   | ``now >= expires_at``, not void  | EXPIRED     | allowed, replaces it         | refused |
| forgotten | ``now >= keep_until``, removed   | UNKNOWN     | allowed                      | refused |

Names, owners, nonces and MACs are opaque bytes here. Backends see no code, no receiver and no reference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from otp.limits import Window


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """One code, without the code.

    Attributes:
        name: What it is found by, 32 bytes.
        owner: Whose budget it counts against, 32 bytes.
        nonce: What the code is derived from, 16 random bytes; also tells two records of one name apart.
        mac: What a try is compared with, 32 bytes.
        digits: The code's length.
        tries: Tries left.
        expires_at: When it expires, Unix seconds.
        keep_until: When it is forgotten, Unix seconds.
        resends: How often it has been sent again.
        resend_at: From when it may be sent again, Unix seconds; ``None`` for never.
        used: Whether a right answer was given.
    """

    name: bytes
    owner: bytes
    nonce: bytes
    mac: bytes
    digits: int
    tries: int
    expires_at: int
    keep_until: int
    resends: int
    resend_at: int | None
    used: bool = False

    def __repr__(self) -> str:
        return f"<Record with {self.tries} tries left, expires at {self.expires_at}>"


class Gone(Enum):
    """Why there is no record to work with."""

    UNKNOWN = "unknown"
    VOID = "void"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Wait:
    """Too early or too often: the seconds until it is allowed; ``None`` when it never will be."""

    seconds: int | None


class Taken:
    """The name has a record that is not expired."""

    __slots__ = ()


class Backend(Protocol):
    """Where records live. Every method is one atomic step and safe to call from any thread.

    ``now`` is Unix seconds. Methods raise ``StoreError`` when the backend cannot be reached, and nothing
    else.
    """

    def add(self, record: Record, windows: Sequence[Window], now: float) -> Taken | Wait | None:
        """Insert a record and count it against its owner's budget, or say why not and change nothing.

        A taken name is reported before a used-up budget.
        """
        ...

    def charge(self, name: bytes, now: float) -> Record | Gone:
        """Take one try from an open record and return the record as it is afterwards."""
        ...

    def consume(self, name: bytes, nonce: bytes) -> bool:
        """Mark a record used; ``True`` for exactly one caller."""
        ...

    def resend(self, name: bytes, owner: bytes, cooldowns: Sequence[int], now: float) -> Record | Gone | Wait:
        """Count one resend of an open record of this owner and return the record as it is afterwards.

        Another owner's record is UNKNOWN.
        """
        ...

    def undo_resend(self, record: Record, now: float) -> None:
        """Take back the resend that returned ``record``, unless there has been another since.

        The next resend may follow at once.
        """
        ...

    def undo_add(self, record: Record) -> None:
        """Remove a record as it was added, and give its budget back if no try was charged.

        Another record that has the name by now is left alone.
        """
        ...

    def remove(self, name: bytes, owner: bytes) -> bool:
        """Remove this owner's record, in whatever state, and say whether there was one."""
        ...

    def sweep(self, now: float) -> int:
        """Forget what is past ``keep_until`` and stamps past their window; return how many records went."""
        ...

    def close(self) -> None:
        """Let go of files and connections; closing twice is fine."""
        ...
