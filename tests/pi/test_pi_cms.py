"""What a modem's refusals are put down to, and when it is left alone."""

import pytest

from otp.pi.modems import cms
from otp.pi.modems.breaker import Breaker
from otp.pi.settings import Sms


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (cms.Kind.RECIPIENT, [1, 28, 30, 96, 111, 195, 196, 304, 305]),
        (cms.Kind.MODEM, [8, 10, 29, 50, 69, 193, 208, 300, 303, 310, 318, 320, 322, 330, 331, 512, 515, 999]),
        (cms.Kind.NETWORK, [27, 38, 41, 42, 47, 192, 194]),
        (cms.Kind.ONCE_ELSEWHERE, [21, 500, 2, 128]),
        (cms.Kind.DUPLICATE_SENT, [197]),
        (cms.Kind.UNKNOWN, [332]),
    ],
)
def test_code_has_its_kind(kind: cms.Kind, codes: list[int]) -> None:
    """Every row of the table, and codes that no table has."""
    assert {cms.kind(code) for code in codes} == {kind}


def test_every_code_of_a_kind_has_a_meaning() -> None:
    """An operator reads words, not numbers."""
    assert all(cms.meaning(code) != cms.meaning(2) for code in cms._KIND_OF)
    assert cms.meaning(515) == "error of the manufacturer's own"
    assert cms.meaning(2) == "error of no known meaning"


def test_breaker_rests_longer_each_time_until_a_success() -> None:
    """Three failures in a row, a probe after 60 s, doubling to 15 min; a success makes it as new."""
    breaker = Breaker(Sms())
    breaker.failure(0.0)
    breaker.failure(0.0)
    assert breaker.allows(0.0)
    now = 0.0
    for rest in (60.0, 120.0, 240.0, 480.0, 900.0, 900.0):
        breaker.failure(now)
        assert breaker.until == now + rest
        assert not breaker.allows(breaker.until - 0.1)
        now = breaker.until
        assert breaker.allows(now)
    breaker.success()
    assert breaker.allows(0.0)
    for _ in range(3):
        breaker.failure(now)
    assert breaker.until == now + 60.0
