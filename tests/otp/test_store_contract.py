"""What every OTP store promises, whatever it keeps its records in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otp.codes import ResponseCode
from otp.errors import DuplicateReference, ExpiredCode, RateLimited, UnknownCode
from otp.limits import Window
from otp.numbers import NumberPolicy, Numbers
from otp.store import OtpPolicy

if TYPE_CHECKING:
    from otp.store import OtpStore
    from tests.otp.conftest import Clock, Opener

RECEIVER = "+628126666666"
OTHER = "+628126666667"
PARAMS = ("123456", "7890")
SUCCESS, INVALID, EXPIRED = ResponseCode.SUCCESS, ResponseCode.INVALID_OTP, ResponseCode.EXPIRED


def create(store: OtpStore, reference: str | int = "trx-1", **changed: Any) -> Any:
    return store.create(**{"receiver": RECEIVER, "reference": reference, "params": PARAMS, **changed})


def verify(store: OtpStore, otp: str | int, reference: str | int = "trx-1", **changed: Any) -> ResponseCode:
    fields = {"receiver": RECEIVER, "reference": reference, "params": PARAMS, **changed}
    return store.verify(otp=otp, **fields)


def wrong(code: str) -> str:
    """Return a code of the same length that is not this one."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


# --- verifying ---------------------------------------------------------------------------------------------------


def test_verify_right_code(store: OtpStore) -> None:
    """The right code with the same receiver, reference and parameters is accepted."""
    assert verify(store, create(store).code) is SUCCESS


def test_verify_second_time(store: OtpStore) -> None:
    """A code is good once."""
    code = create(store).code
    verify(store, code)
    assert verify(store, code) is INVALID


def test_verify_wrong_code_then_right(store: OtpStore) -> None:
    """A wrong code reads 1202 and leaves the right one good."""
    code = create(store).code
    assert verify(store, wrong(code)) is INVALID
    assert verify(store, code) is SUCCESS


def test_verify_unknown_reference(store: OtpStore) -> None:
    """A reference nobody made a code for reads as a wrong code."""
    code = create(store).code
    assert verify(store, code, "trx-2") is INVALID


def test_verify_last_try(store: OtpStore) -> None:
    """The fifth try still counts."""
    code = create(store).code
    answers = [verify(store, wrong(code)) for _ in range(4)]
    assert (answers, verify(store, code)) == ([INVALID] * 4, SUCCESS)


def test_verify_exhausted(store: OtpStore) -> None:
    """After five wrong codes the right one is wrong as well."""
    code = create(store).code
    assert [verify(store, wrong(code)) for _ in range(5)] == [INVALID] * 5
    assert verify(store, code) is INVALID


@pytest.mark.parametrize(
    "changed",
    [
        {"receiver": OTHER},
        {"params": ("123456", "7891")},
        {"params": ("7890", "123456")},
        {"params": ("123456",)},
        {"params": ("123456", "7890", "0")},
        {"params": ()},
    ],
)
def test_verify_other_field(store: OtpStore, changed: dict[str, Any]) -> None:
    """Whoever verifies has to repeat receiver and parameters exactly."""
    code = create(store).code
    assert verify(store, code, **changed) is INVALID


def test_verify_shifted_separator(store: OtpStore) -> None:
    """Parameters cannot be shifted into each other: ``a:b`` + ``c`` is not ``a`` + ``b:c``."""
    code = create(store, params=("a:b", "c")).code
    assert verify(store, code, params=("a", "b:c")) is INVALID
    assert verify(store, code, params=("a:b", "c")) is SUCCESS


def test_verify_expired(store: OtpStore, clock: Clock) -> None:
    """From the second of its expiry on a code reads 1203, right or wrong."""
    issued = create(store, lifetime=60)
    clock.now = issued.expires_at - 0.01
    assert verify(store, wrong(issued.code)) is INVALID
    clock.now = issued.expires_at
    assert verify(store, issued.code) is EXPIRED
    assert verify(store, wrong(issued.code)) is EXPIRED


def test_verify_just_in_time(store: OtpStore, clock: Clock) -> None:
    """Until just before its expiry a code is good."""
    issued = create(store, lifetime=60)
    clock.now = issued.expires_at - 0.01
    assert verify(store, issued.code) is SUCCESS


def test_verify_used_then_expired(store: OtpStore, clock: Clock) -> None:
    """A used code stays wrong when its time is over: 1203 is for codes that only expired."""
    code = create(store, lifetime=60).code
    verify(store, code)
    clock.advance(61)
    assert verify(store, code) is INVALID


def test_verify_exhausted_then_expired(store: OtpStore, clock: Clock) -> None:
    """An exhausted code stays wrong when its time is over."""
    code = create(store, lifetime=60).code
    for _ in range(5):
        verify(store, wrong(code))
    clock.advance(61)
    assert verify(store, code) is INVALID


def test_verify_forgotten(open_store: Opener, clock: Clock) -> None:
    """Past the time expired codes are remembered, a code reads as one that never was."""
    store = open_store(OtpPolicy(keep=100))
    code = create(store, lifetime=60).code
    clock.advance(60 + 99)
    assert verify(store, code) is EXPIRED
    clock.advance(1)
    assert verify(store, code) is INVALID


def test_verify_reference_as_number_and_text(store: OtpStore) -> None:
    """``1629685778`` and ``"1629685778"`` are one reference: PHP creates with the one and verifies with the other."""
    code = create(store, 1629685778).code
    assert verify(store, code, "1629685778") is SUCCESS


def test_verify_parameter_as_number_and_text(store: OtpStore) -> None:
    """Numbers and their texts are one parameter; ``None``, empty and missing are one as well."""
    code = create(store, params=(100000, None, "")).code
    assert verify(store, code, params=("100000",)) is SUCCESS


def test_verify_receiver_spelled_differently(open_store: Opener) -> None:
    """One number in any spelling is one receiver."""
    store = open_store(numbers=Numbers(region="ID"))
    code = create(store, receiver="0812-6666 666").code
    assert verify(store, code, receiver="+62 812 6666666") is SUCCESS


def test_verify_mail_address_in_capitals(store: OtpStore) -> None:
    """Mail addresses ignore case."""
    code = create(store, receiver="Some.One@Domain.tld").code
    assert verify(store, code, receiver="some.one@domain.TLD") is SUCCESS


def test_verify_through_another_opener(open_store: Opener) -> None:
    """What one process made another one verifies."""
    code = create(open_store()).code
    assert verify(open_store(), code) is SUCCESS


def test_verify_code_longer_than_the_policy_now(open_store: Opener) -> None:
    """A code keeps the length it was made with when the setting changes."""
    code = create(open_store(OtpPolicy(digits=8))).code
    assert len(code) == 8
    assert verify(open_store(OtpPolicy(digits=6)), int(code)) is SUCCESS


def test_consume_once(open_store: Opener, clock: Clock) -> None:
    """When two hold a right answer at the same moment, having each paid a try, one of them succeeds."""
    record = create(open_store()).record
    backend = open_store()._backend
    charged = [backend.charge(record.name, clock()) for _ in range(2)]
    assert [getattr(each, "tries", None) for each in charged] == [4, 3]
    assert [backend.consume(record.name, record.nonce) for _ in range(2)] == [True, False]


def test_consume_another_record(open_store: Opener) -> None:
    """An answer to a code that was replaced in the meantime does not use up the new one."""
    store = open_store()
    first = create(store).record
    store.cancel(receiver=RECEIVER, reference="trx-1")
    code = create(store).code
    assert not open_store()._backend.consume(first.name, first.nonce)
    assert verify(store, code) is SUCCESS


# --- creating ----------------------------------------------------------------------------------------------------


def test_create_default(store: OtpStore, clock: Clock) -> None:
    """By default a code has six digits, lives 300 seconds and may be sent again after 30."""
    issued = create(store)
    assert len(issued.code) == 6
    assert issued.code.isdecimal()
    assert issued.expires_at == int(clock.now) + 300
    assert (issued.lifetime, issued.resend_after, issued.shortened) == (300, 30, False)


@pytest.mark.parametrize("digits", range(4, 11))
def test_create_digits(open_store: Opener, digits: int) -> None:
    """Codes have four to ten digits, as the policy says."""
    store = open_store(OtpPolicy(digits=digits))
    code = create(store).code
    assert len(code) == digits
    assert verify(store, code) is SUCCESS


def test_create_too_long_a_lifetime(store: OtpStore, clock: Clock) -> None:
    """A lifetime above the maximum is cut to it, and the answer says so."""
    issued = create(store, lifetime=601)
    assert issued.shortened
    assert issued.expires_at == int(clock.now) + 600


def test_create_longer_lifetime_allowed(open_store: Opener, clock: Clock) -> None:
    """A policy may allow longer lives."""
    issued = create(open_store(OtpPolicy(max_lifetime=3600)), lifetime=3600)
    clock.advance(3599)
    assert not issued.shortened
    assert verify(open_store(), issued.code) is SUCCESS


def test_create_open_reference(store: OtpStore) -> None:
    """A second code for an open reference is refused with 1201, and the first stays good."""
    code = create(store).code
    with pytest.raises(DuplicateReference) as refusal:
        create(store)
    assert refusal.value.code == "1201"
    assert verify(store, code) is SUCCESS


def test_create_used_reference(store: OtpStore) -> None:
    """A used reference stays taken until its code's time is over."""
    verify(store, create(store).code)
    with pytest.raises(DuplicateReference):
        create(store)


def test_create_exhausted_reference(store: OtpStore) -> None:
    """New tries cannot be had by creating again: an exhausted reference is taken as well."""
    code = create(store).code
    for _ in range(5):
        verify(store, wrong(code))
    with pytest.raises(DuplicateReference):
        create(store)


def test_create_expired_reference(store: OtpStore, clock: Clock) -> None:
    """When a code has expired its reference can have a new one; the old one is gone."""
    old = create(store, lifetime=60).code
    clock.advance(60)
    new = create(store, lifetime=60).code
    assert verify(store, old if old != new else wrong(new)) is INVALID
    assert verify(store, new) is SUCCESS


def test_create_duplicate_costs_nothing(store: OtpStore) -> None:
    """A refused duplicate does not count against the receiver."""
    create(store, "first")
    for _ in range(10):
        with pytest.raises(DuplicateReference):
            create(store, "first")
    for number in range(4):
        create(store, f"more-{number}")


# --- limits per receiver -----------------------------------------------------------------------------------------


def test_limit_per_hour(store: OtpStore, clock: Clock) -> None:
    """The sixth code within an hour is refused, with the seconds until there is room."""
    for number in range(5):
        create(store, number)
        clock.advance(10)
    with pytest.raises(RateLimited) as refusal:
        create(store, "sixth")
    assert (refusal.value.code, refusal.value.reason) == ("1102", "rate_limited")
    assert refusal.value.resend_after == 3600 - 50
    clock.advance(3600 - 50)
    create(store, "sixth")


def test_limit_per_hour_one_second_early(store: OtpStore, clock: Clock) -> None:
    """What a refusal says is exact: a second earlier is too early."""
    for number in range(5):
        create(store, number)
    clock.advance(3598)
    with pytest.raises(RateLimited):
        create(store, "sixth")


def test_limit_per_day(store: OtpStore, clock: Clock) -> None:
    """The eleventh code within a day is refused, however they are spread."""
    for number in range(10):
        create(store, number)
        clock.advance(3600)
    with pytest.raises(RateLimited) as refusal:
        create(store, "eleventh")
    assert refusal.value.resend_after == 86_400 - 36_000
    clock.advance(86_400 - 36_000)
    create(store, "eleventh")


def test_limit_other_receiver(store: OtpStore) -> None:
    """One receiver's limit is not another's."""
    for number in range(5):
        create(store, number)
    create(store, "other", receiver=OTHER)


def test_limit_other_spelling(open_store: Opener) -> None:
    """Spelling a number differently is no way around the limit, whatever the number policy."""
    store = open_store(numbers=Numbers(NumberPolicy.RAW, "ID"))
    spellings = ["08126666666", "0812 6666 666", "+628126666666", "00628126666666", "(0812) 666-6666"]
    for number, receiver in enumerate(spellings):
        create(store, number, receiver=receiver)
    with pytest.raises(RateLimited):
        create(store, "sixth", receiver="0812.6666.666")


def test_limit_after_use(store: OtpStore) -> None:
    """Using a code does not give its place back."""
    for number in range(5):
        verify(store, create(store, number).code, number)
    with pytest.raises(RateLimited):
        create(store, "sixth")


def test_limit_none(open_store: Opener) -> None:
    """Without windows nothing is limited."""
    store = open_store(OtpPolicy(windows=()))
    for number in range(30):
        create(store, number)


def test_limit_own_windows(open_store: Opener, clock: Clock) -> None:
    """Windows are settings."""
    store = open_store(OtpPolicy(windows=(Window(60, 1),)))
    create(store, "first")
    with pytest.raises(RateLimited):
        create(store, "second")
    clock.advance(60)
    create(store, "second")


# --- undoing what could not be sent ------------------------------------------------------------------------------


def test_undo_frees_the_reference(store: OtpStore) -> None:
    """When sending failed the reference can be used again at once, and the unsent code is worthless."""
    lost = create(store)
    store.undo(lost)
    assert verify(store, lost.code) is INVALID
    assert verify(store, create(store).code) is SUCCESS


def test_undo_gives_the_budget_back(store: OtpStore) -> None:
    """An outage does not use up the receiver's codes."""
    for _ in range(20):
        store.undo(create(store))
    for number in range(5):
        create(store, number)


def test_undo_after_a_guess(open_store: Opener) -> None:
    """A code somebody has guessed at stays counted: failing sends are no source of free guesses."""
    store = open_store(OtpPolicy(windows=(Window(3600, 1),)))
    issued = create(store)
    verify(store, wrong(issued.code))
    store.undo(issued)
    with pytest.raises(RateLimited):
        create(store)


def test_undo_late(store: OtpStore) -> None:
    """Undoing removes the code it is about, not the one that has the reference by now."""
    first = create(store)
    store.undo(first)
    second = create(store)
    store.undo(first)
    assert verify(store, second.code) is SUCCESS


def test_undo_twice(store: OtpStore) -> None:
    """Undoing twice gives back once."""
    for number in range(4):
        create(store, number)
    lost = create(store, "lost")
    store.undo(lost)
    store.undo(lost)
    create(store, "fifth")
    with pytest.raises(RateLimited):
        create(store, "sixth")


# --- sending again -----------------------------------------------------------------------------------------------


def test_resend_same_code(store: OtpStore, clock: Clock) -> None:
    """A resend is the same code with the time it has left."""
    issued = create(store, lifetime=100)
    clock.advance(30)
    again = store.resend(receiver=RECEIVER, reference="trx-1")
    assert again.code == issued.code
    assert (again.expires_at, again.lifetime) == (issued.expires_at, 70)
    assert verify(store, again.code) is SUCCESS


def test_resend_cooldowns(store: OtpStore, clock: Clock) -> None:
    """Resends come after 30, 60 and 120 seconds; there is no fourth."""
    waits = [create(store, lifetime=600).resend_after]
    for _ in range(3):
        clock.advance(waits[-1])
        waits.append(store.resend(receiver=RECEIVER, reference="trx-1").resend_after)
    assert waits == [30, 60, 120, None]
    clock.advance(300)
    with pytest.raises(RateLimited) as refusal:
        store.resend(receiver=RECEIVER, reference="trx-1")
    assert refusal.value.resend_after is None


def test_resend_too_early(store: OtpStore, clock: Clock) -> None:
    """A resend that comes too early is refused with the seconds to wait, and changes nothing."""
    create(store)
    clock.advance(29.5)
    with pytest.raises(RateLimited) as refusal:
        store.resend(receiver=RECEIVER, reference="trx-1")
    assert (refusal.value.reason, refusal.value.resend_after) == ("rate_limited", 1)
    clock.advance(1)
    assert store.resend(receiver=RECEIVER, reference="trx-1").resend_after == 60


def test_resend_not_before_expiry(store: OtpStore) -> None:
    """A code that expires before it could be sent again says that it cannot be."""
    assert create(store, lifetime=30).resend_after is None


def test_resend_next_not_before_expiry(store: OtpStore, clock: Clock) -> None:
    """A resend after which there is no time for another says so."""
    create(store, lifetime=80)
    clock.advance(30)
    assert store.resend(receiver=RECEIVER, reference="trx-1").resend_after is None


def test_resend_gives_no_tries(store: OtpStore, clock: Clock) -> None:
    """A resend does not make a code easier to guess."""
    code = create(store).code
    for _ in range(4):
        verify(store, wrong(code))
    clock.advance(30)
    store.resend(receiver=RECEIVER, reference="trx-1")
    assert verify(store, wrong(code)) is INVALID
    assert verify(store, code) is INVALID


def test_resend_is_no_new_code(store: OtpStore, clock: Clock) -> None:
    """A resend does not count against the receiver's codes."""
    create(store, "resent")
    clock.advance(30)
    store.resend(receiver=RECEIVER, reference="resent")
    for number in range(4):
        create(store, number)


def test_resend_unknown(store: OtpStore) -> None:
    """There is nothing to resend for an unknown reference."""
    with pytest.raises(UnknownCode) as refusal:
        store.resend(receiver=RECEIVER, reference="trx-1")
    assert refusal.value.code == "1202"


def test_resend_to_another_receiver(store: OtpStore, clock: Clock) -> None:
    """A code is resent to its receiver and to nobody else."""
    create(store)
    clock.advance(30)
    with pytest.raises(UnknownCode):
        store.resend(receiver=OTHER, reference="trx-1")


def test_resend_used(store: OtpStore, clock: Clock) -> None:
    """A used code is not resent."""
    verify(store, create(store).code)
    clock.advance(30)
    with pytest.raises(UnknownCode):
        store.resend(receiver=RECEIVER, reference="trx-1")


def test_resend_exhausted(store: OtpStore, clock: Clock) -> None:
    """An exhausted code is not resent."""
    code = create(store).code
    for _ in range(5):
        verify(store, wrong(code))
    clock.advance(30)
    with pytest.raises(UnknownCode):
        store.resend(receiver=RECEIVER, reference="trx-1")


def test_resend_expired(store: OtpStore, clock: Clock) -> None:
    """An expired code is not resent, and the answer says why."""
    create(store, lifetime=60)
    clock.advance(60)
    with pytest.raises(ExpiredCode) as refusal:
        store.resend(receiver=RECEIVER, reference="trx-1")
    assert refusal.value.code == "1203"


def test_resend_undone(store: OtpStore, clock: Clock) -> None:
    """A resend that could not be sent may be repeated at once, and does not use up a resend."""
    create(store, lifetime=600)
    clock.advance(30)
    for _ in range(5):
        store.undo(store.resend(receiver=RECEIVER, reference="trx-1"))
    assert store.resend(receiver=RECEIVER, reference="trx-1").resend_after == 60


def test_resend_undone_keeps_the_code(store: OtpStore, clock: Clock) -> None:
    """Undoing a resend leaves the code, which was sent the first time, good."""
    code = create(store).code
    clock.advance(30)
    store.undo(store.resend(receiver=RECEIVER, reference="trx-1"))
    assert verify(store, code) is SUCCESS


def test_resend_undone_late(store: OtpStore, clock: Clock) -> None:
    """Undoing a resend after which there was another takes nothing back."""
    create(store, lifetime=600)
    clock.advance(30)
    first = store.resend(receiver=RECEIVER, reference="trx-1")
    clock.advance(60)
    store.resend(receiver=RECEIVER, reference="trx-1")
    store.undo(first)
    with pytest.raises(RateLimited):
        store.resend(receiver=RECEIVER, reference="trx-1")


# --- cancelling and forgetting -----------------------------------------------------------------------------------


def test_cancel(store: OtpStore) -> None:
    """A cancelled code is wrong, and its reference is free."""
    code = create(store).code
    assert store.cancel(receiver=RECEIVER, reference="trx-1")
    assert verify(store, code) is INVALID
    create(store)


def test_cancel_nothing(store: OtpStore) -> None:
    """Cancelling what is not there says so."""
    assert not store.cancel(receiver=RECEIVER, reference="trx-1")


def test_cancel_of_another_receiver(store: OtpStore) -> None:
    """A code is cancelled under its receiver only."""
    code = create(store).code
    assert not store.cancel(receiver=OTHER, reference="trx-1")
    assert verify(store, code) is SUCCESS


def test_cancel_keeps_the_budget_spent(store: OtpStore) -> None:
    """A cancelled code was sent: it stays counted."""
    for number in range(5):
        create(store, number)
        store.cancel(receiver=RECEIVER, reference=number)
    with pytest.raises(RateLimited):
        create(store, "sixth")


def test_close_twice(open_store: Opener) -> None:
    """Closing twice is fine."""
    store = open_store()
    store.close()
    store.close()


def test_sweep_leaves_what_is_alive(store: OtpStore, clock: Clock) -> None:
    """Sweeping forgets nothing that still counts: open codes, expired ones, budgets."""
    old = create(store, "old", lifetime=60)
    clock.advance(100)
    new = create(store, "new")
    store.sweep()
    assert verify(store, old.code, "old") is EXPIRED
    assert verify(store, new.code, "new") is SUCCESS
    for number in range(3):
        create(store, number)
    with pytest.raises(RateLimited):
        create(store, "sixth")
