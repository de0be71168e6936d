"""Receivers: mail or number, one number one spelling, and nothing lost that was not valid."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp import numbers
from otp.errors import InvalidInput, MissingExtra
from otp.numbers import NumberPolicy, Numbers

ID = Numbers(region="ID")
E164 = "+628126666666"


@pytest.mark.parametrize(
    "spelling",
    [
        "08126666666",
        "0812-6666-666",
        "0812 6666 666",
        " (0812) 666.6666 ",
        "+62 812 6666666",
        "+62(812)6666666",
        "0062 812 6666 666",
        "628126666666",
        "\uff10\uff18\uff11\uff12\uff16\uff16\uff16\uff16\uff16\uff16\uff16",
        "\u0660\u0668\u0661\u0662" + "\u0666" * 7,
        "0812\u20116666\u2013666",
        "\uff0b62 812\uff0d6666666",
    ],
)
def test_valid_number(spelling: str) -> None:
    """A valid number becomes E.164 in every spelling."""
    assert ID.wire(spelling) == E164
    assert ID.key(spelling) == E164
    assert Numbers(NumberPolicy.STRICT, "62").wire(spelling) == E164


@pytest.mark.parametrize(
    ("receiver", "wire"),
    [
        ("*77#12", "*77#12"),
        ("*123*4*5#", "*123*4*5#"),
        ("12345", "12345"),
        ("8126", "8126"),
        ("0812 66", "081266"),
        ("+882-16-5555-0000-0000-0000", "+8821655550000000000" + "00"),
        ("1-800-FLOWERS", "1800FLOWERS"),
        ("OTPSHOP", "OTPSHOP"),
    ],
)
def test_number_that_is_not_valid(receiver: str, wire: str) -> None:
    """What no numbering plan knows keeps its characters and only loses its fillers."""
    assert ID.wire(receiver) == wire


def test_number_without_region() -> None:
    """Without a region national numbers stay as they are, international ones become E.164."""
    assert Numbers().wire("08126666666") == "08126666666"
    assert Numbers().wire("0812-6666-666") == "08126666666"
    assert Numbers().wire("+62 812-6666-666") == E164


def test_number_raw() -> None:
    """Under ``raw`` a number is sent as it came, without surrounding blanks; limits see through it."""
    raw = Numbers("raw", "ID")  # type: ignore[arg-type]  # settings are texts
    assert raw.wire(" 0812-6666 666 ") == "0812-6666 666"
    assert raw.key(" 0812-6666 666 ") == E164


@pytest.mark.parametrize("receiver", ["*77#12", "12345", "+62812", "OTPSHOP", "99999999999999999999"])
def test_number_strict(receiver: str) -> None:
    """Under ``strict`` what is not valid is refused without being shown."""
    with pytest.raises(InvalidInput, match=r"^receiver is not a valid telephone number \(region ID\).$"):
        Numbers(NumberPolicy.STRICT, "ID").wire(receiver)


def test_number_strict_without_region() -> None:
    """Under ``strict`` without a region the refusal says what is missing."""
    with pytest.raises(InvalidInput, match=r"without a region it must start with \+"):
        Numbers(NumberPolicy.STRICT).wire("08126666666")


@pytest.mark.parametrize("receiver", ["+", "---", "()", "+-+", " . "])
def test_number_of_nothing(receiver: str) -> None:
    """Fillers alone are no number."""
    with pytest.raises(InvalidInput, match=r"receiver has no digits\."):
        ID.wire(receiver)
    with pytest.raises(InvalidInput, match=r"receiver has no digits\."):
        ID.key(receiver)


@pytest.mark.parametrize("receiver", [8126666666, None, True, 1.5, b"0812", ["0812"], "", "  ", "0812\x1a", "08\n12"])
def test_receiver_of_no_kind(receiver: Any) -> None:
    """What is no text, empty, or holds control characters is refused."""
    with pytest.raises(InvalidInput, match=r"^receiver "):
        ID.wire(receiver)


def test_international_prefix() -> None:
    """For limits and block lists ``00`` is ``+``, valid or not."""
    assert Numbers().key("00628126666666") == E164
    assert Numbers().key("0099912345") == "+99912345"


@pytest.mark.parametrize("address", ["someone@domain.tld", "a.b+c@sub.domain.tld", "é@例え.jp", "o'hara@x.ie"])
def test_mail_address(address: str) -> None:
    """Mail addresses are sent as they are, and compared without case."""
    assert numbers.is_email(address)
    assert ID.wire(f" {address} ") == address
    assert ID.key(address.upper()) == ID.key(address)


@pytest.mark.parametrize(
    "domain",
    [
        "BÜCHER.example",
        "xn--bcher-kva.example",
        "bu\u0308cher.example",
        "bü\u00adcher.example",
        "\uff42ücher\u3002example",
        "bücher.example.",
    ],
)
def test_mail_address_key_of_a_domain(domain: str) -> None:
    """One domain has one key, however it is written: else limits and block lists would not hold."""
    assert Numbers().key(f"a@{domain}") == "a@xn--bcher-kva.example"


def test_mail_address_key_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library for such domains, and for one that cannot exist, the key is the address without case."""
    assert Numbers().key("a@\u200d.Example") == "a@\u200d.example"
    monkeypatch.setitem(sys.modules, "idna", None)
    assert Numbers().key("a@BÜCHER.example") == "a@bücher.example"


@pytest.mark.parametrize(
    "address",
    [
        "@domain.tld",
        "someone@",
        "a@b@c",
        "a@b,c@d",
        "a@b;c@d",
        "Some One <someone@domain.tld>",
        "some one@domain.tld",
        '"a b"@domain.tld',
        "a@b\nBcc: c@d",
        "x" * 65 + "@domain.tld",
        "x@" + "d" * 260 + ".tld",
    ],
)
def test_mail_address_malformed(address: str) -> None:
    """Lists, names, quotes and halves are refused: one receiver is one address."""
    with pytest.raises(InvalidInput):
        ID.wire(address)
    with pytest.raises(InvalidInput):
        ID.key(address)


@pytest.mark.parametrize(
    ("region", "found"), [("ID", "ID"), ("id", "ID"), ("62", "ID"), ("+62", "ID"), ("1", "US"), ("", None)]
)
def test_region(region: str, found: str | None) -> None:
    """A region is two letters or a calling code."""
    assert Numbers(region=region).region == found


@pytest.mark.parametrize("region", ["XX", "IDN", "999", "Indonesia", "0"])
def test_region_unknown(region: str) -> None:
    """A region nobody knows is refused."""
    with pytest.raises(InvalidInput, match=r"region must be two letters such as ID, or a calling code such as 62\."):
        Numbers(region=region)


def test_policy_unknown() -> None:
    """A policy nobody knows is refused with those there are."""
    with pytest.raises(InvalidInput, match=r"number policy must be normalise, strict or raw\."):
        Numbers("loose")  # type: ignore[arg-type]  # what a settings file may hold


def test_library_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library mail still works, and numbers that need it say how to install it."""
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    numbers._phonenumbers.cache_clear()
    numbers._e164.cache_clear()
    assert Numbers().wire("someone@domain.tld") == "someone@domain.tld"
    assert Numbers().wire("0812-6666") == "08126666"
    for needing in (lambda: Numbers().wire("+628126666666"), lambda: Numbers(region="ID")):
        with pytest.raises(MissingExtra, match=r"pip install 'wsmessagebroker\[publisher\]'"):
            needing()


@pytest.mark.parametrize(
    ("receiver", "shown"),
    [
        ("+628126666612", "+6281***12"),
        ("0812666661", "08126***61"),
        ("12345", "***"),
        ("", "***"),
        ("someone@domain.tld", "s***@domain.tld"),
    ],
)
def test_mask(receiver: str, shown: str) -> None:
    """A log line shows enough to recognise a receiver and not enough to reach it."""
    assert numbers.mask(receiver) == shown


@given(st.text(max_size=30) | st.text("0123456789+-. ()*#@U\u00a8\uff20\u0660", max_size=20))
def test_any_text(receiver: str) -> None:
    """Any text is a receiver or refused; what came out comes out again; a mask hides digits."""
    try:
        wire = ID.wire(receiver)
    except InvalidInput:
        return
    assert ID.wire(wire) == wire
    assert ID.key(wire) == ID.key(receiver)
    assert len(numbers.mask(wire)) > 0


@given(st.from_regex(r"0[0-9]{8,12}", fullmatch=True), st.lists(st.sampled_from(" .-()/"), max_size=6), st.randoms())
def test_fillers_change_nothing(number: str, fillers: list[str], random: Any) -> None:
    """Wherever fillers stand, the number is the same."""
    spelled = list(number)
    for filler in fillers:
        spelled.insert(random.randint(1, len(spelled)), filler)
    assert ID.key("".join(spelled)) == ID.key(number)
