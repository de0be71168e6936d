"""Which modems a receiver may be reached through."""

from typing import Any

import pytest

from otp.numbers import Numbers
from otp.pi.modems.routing import Router
from otp.pi.settings import Modem

INDONESIA = Numbers(region="ID")


def modem(name: str, *prefixes: str, **more: Any) -> Modem:
    return Modem(name=name, port="/dev/null", prefixes=prefixes, **more)


@pytest.mark.parametrize(
    ("modems", "working", "receiver", "found"),
    [
        ([modem("a", "+62812"), modem("b", "+62")], "ab", "+62812345", "a"),
        ([modem("a", "+62812"), modem("b", "+62")], "b", "+62812345", "b"),
        ([modem("a", "+62812"), modem("b", "+62")], "ab", "+62899345", "b"),
        ([modem("a", "+62812"), modem("b", "+62812")], "ab", "+62812345", "ab"),
        ([modem("a", "+62812"), modem("c", default=True), modem("d")], "acd", "+1555", "c"),
        ([modem("a", "+62812"), modem("d")], "ad", "+1555", "d"),
        ([modem("a", "+62812")], "a", "+1555", "a"),
        ([modem("a", "+62812"), modem("d")], "d", "+62812345", "d"),
        ([modem("a", "+62812", default=True)], "a", "+1555", "a"),
        ([modem("a"), modem("b")], "", "+1555", ""),
        ([modem("a"), modem("b")], "ab", "+1555", "ab"),
        ([], "", "+1555", ""),
    ],
)
def test_longest_prefix_wins_then_default_then_unbound_then_all(
    modems: list[Modem], working: str, receiver: str, found: str
) -> None:
    """Every row of the table, with modems that work and that do not."""
    assert Router(modems, INDONESIA).eligible(receiver, set(working)) == set(found)


@pytest.mark.parametrize("prefix", ["+62812", "0812", "62812", "0062812", "08-12", "+62 812"])
def test_prefix_may_be_written_as_numbers_are(prefix: str) -> None:
    """National, international, with and without plus and blanks: all the same prefix."""
    assert Router([modem("a", prefix), modem("b")], INDONESIA).eligible("+62812345", {"a", "b"}) == {"a"}


@pytest.mark.parametrize(
    ("region", "prefix", "receiver"),
    [
        ("US", "212", "+12125550100"),
        ("US", "1212", "+12125550100"),
        ("ES", "612", "+34612345678"),
        ("IT", "06", "+390612345678"),
        ("RU", "8912", "+79123456789"),
        ("HU", "0620", "+36201234567"),
        ("SG", "8", "+6581234567"),
        ("GB", "07", "+447400123456"),
    ],
)
def test_prefix_in_national_form_is_read_as_the_region_writes_it(region: str, prefix: str, receiver: str) -> None:
    """Trunk prefixes differ: 0 mostly, 8 in Russia, 06 in Hungary, none in Spain, and Italy keeps its 0."""
    router = Router([modem("a", prefix), modem("b")], Numbers(region=region))
    assert router.eligible(receiver, {"a", "b"}) == {"a"}


def test_prefix_without_region_is_compared_as_it_stands() -> None:
    """A short code's prefix, or a national one where no region is set, begins what is dialled."""
    router = Router([modem("a", "0812"), modem("b")], Numbers())
    assert router.eligible("0812345", {"a", "b"}) == {"a"}
    assert router.eligible("+62812345", {"a", "b"}) == {"b"}
    assert Router([modem("a", "123"), modem("b")], INDONESIA).eligible("1234", {"a", "b"}) == {"a"}


def test_lane_is_the_longest_prefix() -> None:
    """Receivers that the same modems are eligible for have the same lane."""
    router = Router([modem("a", "+62812", "+6281"), modem("b")], INDONESIA)
    assert router.lanes == ["+62812", "+6281", ""]
    assert [router.lane(number) for number in ("+628123", "+628199", "+1")] == ["+62812", "+6281", ""]
