"""The two tables of every way the broker says no."""

import pytest

from broker.errors import ABNORMAL, CLOSURES, MAX_CLOSE_REASON, REFUSALS, SLOW_CONSUMER, Refused, close_reason


def test_refusals_each_have_their_own_token() -> None:
    """A token names one refusal."""
    tokens = [refusal.token for refusal in REFUSALS]
    assert len(set(tokens)) == len(tokens)


def test_closures_each_have_their_own_token_and_code() -> None:
    """A client can branch on the code or on the token."""
    assert len({closure.token for closure in CLOSURES}) == len(CLOSURES)
    assert len({closure.code for closure in CLOSURES}) == len(CLOSURES)


def test_closures_use_only_codes_that_may_be_sent() -> None:
    """RFC 6455, 7.4 and the IANA registry: defined codes below 1015, registered ones from 3000 on."""
    reserved = {1004, 1005, ABNORMAL, 1015}
    for closure in CLOSURES:
        assert closure.code not in reserved
        assert 1000 <= closure.code <= 1014 or closure.code in {3000, 3003, 3008}


def test_every_row_says_what_to_do() -> None:
    """No refusal and no Close without advice."""
    for row in (*REFUSALS, *CLOSURES):
        assert len(row.advice.split()) >= 2
        assert not row.advice.endswith(".")


def test_close_reason_begins_with_the_token() -> None:
    """A client finds the token without parsing prose."""
    assert close_reason(SLOW_CONSUMER) == "slow_consumer"
    assert close_reason(SLOW_CONSUMER, "no byte taken") == "slow_consumer: no byte taken"


@pytest.mark.parametrize("detail", ["x" * 300, "€" * 100, "a" + "€" * 100, "ab" + "€" * 100])
def test_close_reason_that_is_too_long_is_cut_between_letters(detail: str) -> None:
    """RFC 6455, 5.5: 123 bytes, and valid UTF-8 all the same."""
    raw = close_reason(SLOW_CONSUMER, detail).encode()
    assert MAX_CLOSE_REASON - 2 <= len(raw) <= MAX_CLOSE_REASON


def test_refused_reason_is_its_token_unless_a_finer_word_is_given() -> None:
    """The metric can tell causes apart that clients need not."""
    assert Refused(REFUSALS[0], "detail").reason == "bad_request"
    assert Refused(REFUSALS[0], "detail", reason="finer").reason == "finer"
    assert str(Refused(REFUSALS[0], "detail")) == "bad_request: detail"
