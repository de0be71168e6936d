"""Message texts: one place for the code, and nothing else is ever formatted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.errors import InvalidInput
from otp.templates import Template

CODE = "012345"
HASH = "FA+9qCX9VSu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Your OTP is %s", "Your OTP is 012345"),
        ("%s", "012345"),
        ("{code} is your code", "012345 is your code"),
        ("100% %s", "100% 012345"),
        ("100%% %s", "100% 012345"),
        ("%%s %s", "%s 012345"),
        ("%%%s", "%012345"),
        ("%d %n %1$x %(name)s %s", "%d %n %1$x %(name)s 012345"),
        ("{0} {name} {} {code}", "{0} {name} {} 012345"),
        ("{{code}}", "{012345}"),
        ("ends in a percent sign %s%", "ends in a percent sign 012345%"),
        ("Kode é 漢字 \N{MOBILE PHONE} %s\n", "Kode é 漢字 \N{MOBILE PHONE} 012345\n"),
        ("$1 \\1 \\g<0> %s", "$1 \\1 \\g<0> 012345"),
    ],
)
def test_render(text: str, message: str) -> None:
    """The code takes its place, ``%%`` is one percent sign, and everything else is itself."""
    assert Template(text).render(CODE) == message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no place", "no place"),
        ("%%s", "no place"),
        ("%S {CODE} % s", "no place"),
        ("%1$s", "no place"),
        ("%s and %s", "2 places"),
        ("%s and {code}", "2 places"),
        ("{code}{code}{code}", "3 places"),
    ],
)
def test_places(text: str, found: str) -> None:
    """A text without its one place for the code is refused before a code is made."""
    with pytest.raises(InvalidInput) as refusal:
        Template(text)
    assert str(refusal.value) == f"message has {found} for the code; write %s (or {{code}}) exactly once."


@pytest.mark.parametrize("text", [None, 5, b"%s", "", "   ", "half \ud800 %s", "x" * 100_000 + "%s"])
def test_text_of_no_kind(text: Any) -> None:
    """What is no text, empty, not encodable or endless is refused."""
    with pytest.raises(InvalidInput, match=r"^message "):
        Template(text)


def test_long_text() -> None:
    """10 kB are fine in a mail; as an SMS, of which they would be 66, they are refused."""
    template = Template("x" * 10_000 + "%s")
    assert len(template.render(CODE, sms=False)) == 10_006
    with pytest.raises(InvalidInput, match=r"message has 10006 characters; at most 1600 are allowed\."):
        template.render(CODE)


def test_webotp() -> None:
    """A browser finds site and code on the last line; a mail does not get that line."""
    template = Template("Your code is %s.", webotp_domain="login.example.com")
    assert template.render(CODE) == "Your code is 012345.\n\n@login.example.com #012345"
    assert template.render(CODE, sms=False) == "Your code is 012345."


@pytest.mark.parametrize(
    "domain",
    ["", "https://example.com", "example.com/", "example.com:443", "a b.com", "-a.com", "a..b", "é.com", "a\n"],
)
def test_webotp_domain_malformed(domain: str) -> None:
    """What is no host name is refused: a browser would ignore the message in silence."""
    with pytest.raises(InvalidInput, match=r"webotp_domain must be a host name such as example\.com"):
        Template("%s", webotp_domain=domain)


def test_sms_retriever() -> None:
    """An app finds its hash on the last line."""
    assert Template("Code: %s", app_hash=HASH).render(CODE) == f"Code: 012345\n{HASH}"


def test_sms_retriever_length() -> None:
    """The SMS Retriever reads 140 bytes, bytes and not characters; a mail may be longer."""
    room = 140 - len(f"\n{HASH}") - len(CODE)
    Template("x" * room + "%s", app_hash=HASH).render(CODE)
    with pytest.raises(InvalidInput, match=r"message has 141 bytes; the SMS Retriever reads at most 140\."):
        Template("x" * (room + 1) + "%s", app_hash=HASH).render(CODE)
    with pytest.raises(InvalidInput, match="message has 141 bytes"):
        Template("x" * (room - 1) + "é%s", app_hash=HASH).render(CODE)
    Template("x" * 1000 + "%s", app_hash=HASH).render(CODE, sms=False)


@pytest.mark.parametrize("app_hash", ["", "short", HASH + "x", "FA+9qCX9VS!", HASH + "\n"])
def test_sms_retriever_hash_malformed(app_hash: str) -> None:
    """What is no app hash is refused."""
    with pytest.raises(InvalidInput, match="app_hash must be the app's 11-character hash"):
        Template("%s", app_hash=app_hash)


def test_one_last_line() -> None:
    """Only one of the two fits on the last line."""
    with pytest.raises(InvalidInput, match=r"both claim the last line; give one of them\."):
        Template("%s", webotp_domain="example.com", app_hash=HASH)


def test_repr_shows_no_text() -> None:
    """What a template is printed as has none of its text."""
    assert repr(Template("canary %s")) == "<Template of 9 characters>"


@given(st.text(alphabet=st.sampled_from("%s{}code x1$"), max_size=20), st.text("0123456789", min_size=4, max_size=10))
def test_wire_form_is_printf(text: str, code: str) -> None:
    """What ``request-otp`` carries gives the same message under printf rules as the text gives here."""
    try:
        template = Template(text)
    except InvalidInput:
        return
    assert template.wire_form() % code == template.render(code)
    assert Template(template.wire_form()).render(code) == template.render(code)
