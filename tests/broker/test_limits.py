"""Rates and caps, with the clock in the test's hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Buckets, Tally, TokenBucket, address_key


def test_token_bucket_full_lets_its_burst_pass_at_once() -> None:
    """A new bucket lets `burst` units pass and not one more."""
    bucket = TokenBucket(rate=2, burst=5, now=100)
    assert [bucket.take(1, 100) for _ in range(6)] == [1, 1, 1, 1, 1, 0]


def test_token_bucket_after_a_pause_lets_rate_times_pause_pass() -> None:
    """An empty bucket fills by `rate` units a second."""
    bucket = TokenBucket(rate=2, burst=5, now=100)
    bucket.take(5, 100)
    assert bucket.take(9, 101.5) == 3


def test_token_bucket_after_a_long_pause_holds_no_more_than_its_burst() -> None:
    """Silence is not saved up beyond `burst`."""
    bucket = TokenBucket(rate=2, burst=5, now=100)
    bucket.take(5, 100)
    assert bucket.take(100, 10_000) == 5


def test_token_bucket_with_part_of_a_unit_gives_none() -> None:
    """Only whole units are handed out; the part stays for later."""
    bucket = TokenBucket(rate=1, burst=1, now=0)
    bucket.take(1, 0)
    assert bucket.take(1, 0.9) == 0
    assert bucket.take(1, 1.0) == 1


def test_token_bucket_when_the_clock_goes_back_keeps_what_it_had() -> None:
    """An older `now` neither adds nor takes."""
    bucket = TokenBucket(rate=1, burst=3, now=100)
    bucket.take(1, 100)
    assert bucket.take(9, 50) == 2


def test_token_bucket_spend_of_a_lump_goes_into_debt_and_pays_it_back() -> None:
    """A lump above what is left passes once; nothing more passes until the debt is paid."""
    bucket = TokenBucket(rate=10, burst=20, now=0)
    assert bucket.spend(100, 0)
    assert not bucket.spend(1, 7.9)
    assert bucket.spend(1, 8.1)


def test_token_bucket_give_back_never_exceeds_the_burst() -> None:
    """What turned out not to count comes back, up to a full bucket."""
    bucket = TokenBucket(rate=1, burst=2, now=0)
    bucket.take(1, 0)
    bucket.give_back(5)
    assert bucket.take(9, 0) == 2


def test_token_bucket_wait_tells_when_one_unit_is_there() -> None:
    """`wait` is the time to the next unit, 0 when there is one."""
    bucket = TokenBucket(rate=4, burst=1, now=0)
    assert bucket.wait(0) == 0
    bucket.take(1, 0)
    assert bucket.wait(0) == 0.25
    assert bucket.wait(0.25) == 0


@given(
    rate=st.floats(0.1, 1000),
    burst=st.floats(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), max_size=50),
)
def test_token_bucket_over_any_span_passes_at_most_burst_and_rate_times_span(
    rate: float, burst: float, steps: list[tuple[float, int]]
) -> None:
    """Whatever the order of takes and pauses, the bound of a token bucket holds."""
    bucket, now, passed = TokenBucket(rate, burst, 0.0), 0.0, 0.0
    for pause, amount in steps:
        now += pause
        taken = bucket.take(amount, now)
        assert 0 <= taken <= amount
        passed += taken
        assert passed <= burst + rate * now + 1e-6


def test_buckets_of_different_keys_do_not_share() -> None:
    """One key's flood leaves the others their burst."""
    buckets = Buckets(rate=1, burst=1)
    assert buckets.of("a", 0).take(1, 0)
    assert not buckets.of("a", 0).take(1, 0)
    assert buckets.of("b", 0).take(1, 0)


def test_buckets_at_capacity_forget_the_longest_unused() -> None:
    """Memory is bounded; who was used of late is remembered."""
    buckets = Buckets(rate=1, burst=1, capacity=2)
    buckets.of("a", 0).take(1, 0)
    buckets.of("b", 0).take(1, 0)
    buckets.of("a", 0)
    buckets.of("c", 0)
    assert list(buckets.buckets) == ["a", "c"]
    assert not buckets.of("a", 0).take(1, 0)


def test_buckets_that_forgot_a_key_hand_it_a_full_bucket() -> None:
    """A flood of keys locks nobody out."""
    buckets = Buckets(rate=1, burst=1, capacity=1)
    buckets.of("victim", 0).take(1, 0)
    for number in range(100):
        buckets.of(number, 0).take(1, 0)
    assert len(buckets.buckets) == 1
    assert buckets.of("victim", 0).take(1, 0) == 1


def test_tally_counts_per_key_and_in_all() -> None:
    """Each key has its count; a key without any is 0."""
    tally = Tally()
    for key in ("a", "b", "a"):
        tally.add(key)
    assert (tally["a"], tally["b"], tally["c"], tally.total) == (2, 1, 0, 3)


def test_tally_of_a_key_that_holds_none_takes_no_memory() -> None:
    """The last drop of a key removes it."""
    tally = Tally()
    tally.add("a")
    tally.drop("a")
    assert tally.counts == {}
    assert tally.total == 0


def test_tally_drop_without_add_is_an_error() -> None:
    """A count below zero would hide a mistake."""
    with pytest.raises(KeyError):
        Tally().drop("nobody")


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
    ],
)
def test_address_key_counts_ipv4_whole_and_ipv6_by_its_64(address: str, key: str) -> None:
    """One IPv6 host owns its whole /64; an IPv4 address in IPv6 clothes is IPv4."""
    assert address_key(address) == key
