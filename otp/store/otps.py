"""Make one-time codes, verify them, send them again, cancel them.

Verifying is charge, compare, consume. A try is taken before anything is compared, so that no number of
parallel guesses gets more tries than one after the other; the comparison takes constant time; and of all
right answers exactly one consumes the record. What the answers mean:

| answer to verify | when                                                                             |
|------------------|----------------------------------------------------------------------------------|
| 0000             | the right code, in time, for the first time                                      |
| 1202             | wrong code, receiver or parameter; unknown reference; used; tries exhausted      |
| 1203             | a code that existed, was never used or exhausted, and expired                    |

Methods are synchronous and safe to call from any number of threads; asyncio applications run them in a worker
thread (``asyncio.to_thread``), since SQLite has no other way and a Redis round trip is then out of the loop
as well.
"""

import secrets
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from otp import fields
from otp.codes import ResponseCode
from otp.errors import (
    DuplicateReference,
    ExpiredCode,
    OtpError,
    RateLimited,
    StoreError,
    UnknownCode,
)
from otp.fields import Scalar
from otp.numbers import Numbers
from otp.store import rules
from otp.store.base import Backend, Gone, Record, Taken, Wait
from otp.store.digests import NONCE_BYTES, SecretKey, same
from otp.store.policy import OtpPolicy

_FILLERS = frozenset({"Pd", "Cf"})
"""Unicode categories of what people and programs put between digits besides blanks: dashes, invisible marks."""


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """A code to be sent now.

    Attributes:
        code: The code, for the message and for nothing else.
        receiver: The receiver as it is sent, under the number policy.
        lifetime: Whole seconds the code has left: what the message's ``expiration`` is made of.
        expires_at: When it expires, Unix seconds.
        resend_after: Seconds until it may be sent again; ``None`` when it may not.
        shortened: Whether a longer lifetime was asked for than the policy allows.
        record: What ``undo`` needs.
        resent: Whether this is a resend.
    """

    code: str
    receiver: str
    lifetime: int
    expires_at: int
    resend_after: int | None
    record: Record
    shortened: bool = False
    resent: bool = False

    def __repr__(self) -> str:
        return f"<Issued, expires at {self.expires_at}, resend after {self.resend_after}>"


class OtpStore:
    """One-time codes over a backend.

    Args:
        backend: Where records live.
        key: What everything is derived from; never in the backend.
        policy: The numbers.
        numbers: The rules for receivers.
        clock: Returns Unix seconds. Servers that share a store share the time (NTP).
    """

    __slots__ = ("_backend", "_clock", "_key", "_numbers", "policy")

    def __init__(
        self,
        backend: Backend,
        key: SecretKey,
        *,
        policy: OtpPolicy | None = None,
        numbers: Numbers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._key = key
        self.policy = policy or OtpPolicy()
        self._numbers = numbers or Numbers()
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(
        self,
        *,
        receiver: str,
        reference: Scalar,
        params: Sequence[Scalar | None] = (),
        lifetime: int | str | None = None,
    ) -> Issued:
        """Make a code and count it against the receiver's budget. Send it, or ``undo`` it.

        Args:
            receiver: Number or mail address.
            reference: The transaction; ``5`` and ``"5"`` are the same.
            params: Up to four values that verifying has to repeat.
            lifetime: Seconds; the policy's default when ``None``, its maximum when longer.

        Raises:
            InvalidInput: A field is not what ``otp.fields`` allows.
            DuplicateReference: The reference has a code that is not expired, used or not.
            RateLimited: The receiver had too many codes; ``resend_after`` says when there is room.
            StoreError: The store cannot be reached.
        """
        name, owner, bound = self._read(receiver, reference, params)
        wire = self._numbers.wire(receiver)
        wanted = self.policy.lifetime if lifetime is None else fields.lifetime(lifetime)
        record, code = self._new_record(name, owner, bound, min(wanted, self.policy.max_lifetime))
        refusal = self._add(record)
        if isinstance(refusal, Taken):
            raise DuplicateReference("The reference has a code already; use another one, or resend its code.")
        if isinstance(refusal, Wait):
            raise _too_many(refusal)
        return self._issued(record, code, wire, shortened=wanted > self.policy.max_lifetime)

    def verify(
        self,
        *,
        receiver: str,
        otp: Scalar,
        reference: Scalar,
        params: Sequence[Scalar | None] = (),
    ) -> ResponseCode:
        """Say whether a code is right: 0000, 1202 or 1203, as the module's table has it.

        Args:
            receiver: As given to ``create``, in any spelling of the same number.
            otp: What the user typed. Blanks and dashes go, digits of every script count, and a number gets its
                lost leading zeros back; a text does not. Whatever was typed costs a try.
            reference: As given to ``create``.
            params: As given to ``create``.

        Raises:
            InvalidInput: A field is not what ``otp.fields`` allows; no try is taken.
            StoreError: The store cannot be reached.
        """
        name, _, bound = self._read(receiver, reference, params)
        typed = fields.otp(otp)
        record = self._backend.charge(name, self._clock())
        if isinstance(record, Gone):
            return ResponseCode.EXPIRED if record is Gone.EXPIRED else ResponseCode.INVALID_OTP
        tried = self._key.mac(bound, typed_code(typed, record.digits))
        if same(tried, record.mac) and self._backend.consume(name, record.nonce):
            return ResponseCode.SUCCESS
        return ResponseCode.INVALID_OTP

    def resend(self, *, receiver: str, reference: Scalar) -> Issued:
        """Derive an open code once more, with what is left of its time and tries. Send it, or ``undo`` it.

        Raises: InvalidInput: A field is not what ``otp.fields`` allows. RateLimited: Too early
            (``resend_after`` says how long), or no resend left (``resend_after`` is ``None``). UnknownCode:
            No open code for this reference and receiver. ExpiredCode: The code expired. StoreError: The store
            cannot be reached.
        """
        name, owner, _ = self._read(receiver, reference, ())
        wire = self._numbers.wire(receiver)
        record = self._backend.resend(name, owner, self.policy.cooldowns, self._clock())
        if isinstance(record, Gone):
            raise _not_open(record)
        if isinstance(record, Wait):
            raise _too_early(record)
        return self._issued(record, self._key.code(record.nonce, record.digits), wire, resent=True)

    def undo(self, issued: Issued) -> None:
        """Take back what ``create`` or ``resend`` did, because sending failed.

        After ``create`` the reference can be used again at once, and the receiver's budget is as before
        unless somebody has guessed in the meantime. After ``resend`` the code stays and may be sent again at
        once.
        """
        if issued.resent:
            self._backend.undo_resend(issued.record, self._clock())
        else:
            self._backend.undo_add(issued.record)

    def cancel(self, *, receiver: str, reference: Scalar) -> bool:
        """Forget a code and free its reference; its budget stays spent. Says whether there was one."""
        name, owner, _ = self._read(receiver, reference, ())
        return self._backend.remove(name, owner)

    def sweep(self) -> int:
        """Forget what is past its time; returns how many records went.

        Nobody has to call it: ``create`` does a little of it each time, and Redis does it by itself.
        """
        return self._backend.sweep(self._clock())

    def close(self) -> None:
        """Close the backend; closing twice is fine."""
        self._backend.close()

    def _add(self, record: Record) -> Taken | Wait | None:
        """Add a record; when nobody knows whether that worked, take it back: its reference stays usable."""
        try:
            return self._backend.add(record, self.policy.windows, self._clock())
        except StoreError:
            with suppress(StoreError):
                self._backend.undo_add(record)
            raise

    def _read(
        self, receiver: str, reference: Scalar, params: Sequence[Scalar | None]
    ) -> tuple[bytes, bytes, tuple[str, ...]]:
        """Return a record's name, its owner, and the fields its MAC covers."""
        key = self._numbers.key(receiver)
        text = fields.reference(reference)
        return self._key.name(text), self._key.owner(key), (text, key, *fields.parameters(params))

    def _new_record(self, name: bytes, owner: bytes, bound: tuple[str, ...], lifetime: int) -> tuple[Record, str]:
        now = int(self._clock())
        nonce = secrets.token_bytes(NONCE_BYTES)
        code = self._key.code(nonce, self.policy.digits)
        record = Record(
            name=name,
            owner=owner,
            nonce=nonce,
            mac=self._key.mac(bound, code),
            digits=self.policy.digits,
            tries=self.policy.tries,
            expires_at=now + lifetime,
            keep_until=now + lifetime + self.policy.keep,
            resends=0,
            resend_at=rules.next_resend(self.policy.cooldowns, 0, now, now + lifetime),
        )
        return record, code

    def _issued(self, record: Record, code: str, wire: str, *, shortened: bool = False, resent: bool = False) -> Issued:
        now = int(self._clock())
        return Issued(
            code=code,
            receiver=wire,
            lifetime=max(1, record.expires_at - now),
            expires_at=record.expires_at,
            resend_after=None if record.resend_at is None else max(0, record.resend_at - now),
            record=record,
            shortened=shortened,
            resent=resent,
        )


def typed_code(otp: Scalar, digits: int) -> str:
    """Return the digits somebody meant, in ASCII; empty, and so wrong, for anything that is no code."""
    if isinstance(otp, int):
        return str(otp).zfill(digits) if 0 <= otp < 10**digits else ""
    kept = [char for char in otp if not char.isspace() and unicodedata.category(char) not in _FILLERS]
    return "".join(str(unicodedata.decimal(char)) for char in kept) if all(map(str.isdecimal, kept)) else ""


def _too_many(wait: Wait) -> RateLimited:
    return RateLimited(
        f"The receiver was sent too many codes; the next is possible in {wait.seconds} s.",
        resend_after=wait.seconds,
    )


def _too_early(wait: Wait) -> RateLimited:
    if wait.seconds is None:
        return RateLimited("The code cannot be sent again; create a new one.", resend_after=None)
    return RateLimited(
        f"The code was sent just now; it can be sent again in {wait.seconds} s.", resend_after=wait.seconds
    )


def _not_open(gone: Gone) -> OtpError:
    if gone is Gone.EXPIRED:
        return ExpiredCode("The code has expired; create a new one.")
    return UnknownCode("There is no open code for this reference and receiver.")
