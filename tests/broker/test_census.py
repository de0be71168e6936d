"""The counts behind every cap."""

import pytest

from broker.census import Census
from broker.config import load_settings
from broker.errors import FULL, TOO_MANY_CONNECTIONS, Refused


def make_census(max_connections: int = 10, **settings: int) -> Census:
    return Census(load_settings(settings), max_connections)


def test_check_arrival_up_to_max_connections_accepts() -> None:
    """The last place may be taken."""
    census = make_census(max_connections=2)
    census.open = 2
    census.check_arrival()


def test_check_arrival_beyond_max_connections_refuses_with_the_number() -> None:
    """One too many is told how many there may be."""
    census = make_census(max_connections=2)
    census.open = 3
    with pytest.raises(Refused, match=r"full: all 2 connections \(max_connections\)") as caught:
        census.check_arrival()
    assert caught.value.refusal is FULL
    assert caught.value.reason == "max_connections"


def test_check_arrival_beyond_max_unauthenticated_refuses() -> None:
    """Handshakes have a cap of their own."""
    census = make_census(max_unauthenticated=1)
    census.unauthenticated = 1
    census.check_arrival()
    census.unauthenticated = 2
    with pytest.raises(Refused, match="max_unauthenticated") as caught:
        census.check_arrival()
    assert caught.value.reason == "max_unauthenticated"


def test_check_arrival_with_max_unauthenticated_off_counts_no_handshakes() -> None:
    """0 is no limit."""
    census = make_census(max_unauthenticated=0)
    census.unauthenticated = 10**6
    census.check_arrival()


def test_check_address_and_user_refuse_at_their_caps_only() -> None:
    """Each cap counts its own key, and a dismissed connection makes room."""
    census = make_census(max_connections_per_address=1, max_connections_per_user=2)
    census.admit("192.0.2.1", "alice")
    census.check_address("192.0.2.2")
    census.check_user("alice")
    with pytest.raises(Refused, match="max_connections_per_address") as caught:
        census.check_address("192.0.2.1")
    assert caught.value.refusal is TOO_MANY_CONNECTIONS
    census.admit("192.0.2.2", "alice")
    with pytest.raises(Refused, match="max_connections_per_user"):
        census.check_user("alice")
    census.dismiss("192.0.2.1", "alice")
    census.check_address("192.0.2.1")
    census.check_user("alice")


def test_checks_with_the_caps_off_refuse_nobody() -> None:
    """5,000 connections of one account from one address work out of the box."""
    census = make_census()
    for _ in range(5000):
        census.admit("192.0.2.1", "alice")
    census.check_address("192.0.2.1")
    census.check_user("alice")


def test_dismiss_of_everyone_leaves_nothing_behind() -> None:
    """Who left takes no memory."""
    census = make_census()
    census.admit("192.0.2.1", "alice")
    census.dismiss("192.0.2.1", "alice")
    assert not census.by_address.counts
    assert not census.by_user.counts
