"""Odd input to the store: every kind has its answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.codes import ResponseCode
from otp.errors import InvalidInput, OtpError
from otp.limits import Window
from otp.numbers import NumberPolicy, Numbers
from otp.store import OtpPolicy, OtpStore, SecretKey, memory_store
from otp.store.memory import MemoryBackend
from otp.store.otps import typed_code

if TYPE_CHECKING:
    from collections.abc import Callable

RECEIVER = "+628126666666"
SUCCESS, INVALID = ResponseCode.SUCCESS, ResponseCode.INVALID_OTP


def store_with_code(starting: str, digits: int = 6) -> tuple[OtpStore, str]:
    """Return a store whose reference ``r`` has a code that starts like this."""
    store = memory_store(policy=OtpPolicy(digits=digits, windows=()))
    while True:
        code = store.create(receiver=RECEIVER, reference="r").code
        if code.startswith(starting):
            return store, code
        store.cancel(receiver=RECEIVER, reference="r")


def answer(store: OtpStore, otp: Any) -> ResponseCode:
    return store.verify(receiver=RECEIVER, reference="r", otp=otp)


@pytest.mark.parametrize("starting", ["0", "00", "1"])
def test_code_as_number(starting: str) -> None:
    """A code that became a number on its way gets its leading zeros back."""
    store, code = store_with_code(starting)
    assert answer(store, int(code)) is SUCCESS


def test_code_as_text_without_its_zeros() -> None:
    """A text is what was typed: without its zeros it is wrong, and costs a try."""
    store, code = store_with_code("0")
    assert [answer(store, code.lstrip("0")) for _ in range(5)] == [INVALID] * 5
    assert answer(store, code) is INVALID


@pytest.mark.parametrize(
    "spelling",
    [
        "{0}{1}",
        " {0}{1}\n",
        "{0} {1}",
        "{0}-{1}",
        "{0}\u2011{1}",
        "{0}\u00a0{1}",
        "{0}\u2009{1}",
        "\u202a\ufeff{0}{1}\u200f",
    ],
)
def test_code_with_fillers(spelling: str) -> None:
    """Blanks and dashes around and between the digits are what people and mail programs put there."""
    store, code = store_with_code("")
    assert answer(store, spelling.format(code[:3], code[3:])) is SUCCESS


@pytest.mark.parametrize("zero", ["\N{ARABIC-INDIC DIGIT ZERO}", "\N{FULLWIDTH DIGIT ZERO}", "\N{BENGALI DIGIT ZERO}"])
def test_code_in_other_digits(zero: str) -> None:
    """The digits of every script count."""
    store, code = store_with_code("")
    assert answer(store, "".join(chr(ord(zero) + int(digit)) for digit in code)) is SUCCESS


@pytest.mark.parametrize(
    "otp", ["", " ", "abc", "12345", "1234567", "x" * 10_000, "\ud83d", "%s", "12345x", "1e5", "①②③④⑤⑥"]
)
def test_code_that_is_none(otp: str) -> None:
    """Whatever a user types that is no code is a wrong code, not an error."""
    store, _ = store_with_code("")
    assert answer(store, otp) is INVALID


@pytest.mark.parametrize("otp", [-1, 10**6, 10**100, pytest.param(10**5000, id="5000 digits"), 0])
def test_code_as_number_out_of_range(otp: int) -> None:
    """Numbers that can be no code are wrong codes."""
    store, _ = store_with_code("1")
    assert answer(store, otp) is INVALID


@pytest.mark.parametrize("otp", [None, 1.0, True, b"123456", ["1"], {}])
def test_code_of_wrong_type(otp: Any) -> None:
    """A code that is neither text nor whole number is refused without costing a try."""
    store, code = store_with_code("")
    for _ in range(6):
        with pytest.raises(InvalidInput, match=r"^otp must be text, not "):
            answer(store, otp)
    assert answer(store, code) is SUCCESS


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"reference": ""}, "reference is empty."),
        ({"reference": " \t "}, "reference is empty."),
        ({"reference": None}, "reference must be text, not nothing."),
        ({"reference": 1.5}, "reference must be text, not a number with a fraction."),
        ({"reference": True}, "reference must be text, not true or false."),
        ({"reference": "r" * 1025}, "reference has 1025 characters; at most 1024 are allowed."),
        ({"reference": 10**5000}, "reference is a number of more than 40 digits."),
        ({"reference": "\udc00"}, "reference holds half a surrogate pair, which is no character."),
        ({"receiver": ""}, "receiver is empty."),
        ({"receiver": None}, "receiver must be text, not nothing."),
        ({"receiver": 8126666666}, "receiver must be text: as a number it loses its leading zero or plus."),
        ({"receiver": "a@b@c"}, "receiver is not a mail address of the form name@example.com."),
        ({"params": "1234"}, "params must be a list of up to four values, not text."),
        ({"params": None}, "params must be a list of up to four values, not nothing."),
        ({"params": [1, 2, 3, 4, 5]}, "params has 5 values; there are only param1 to param4."),
        ({"params": [1.5]}, "param1 must be text, not a number with a fraction."),
        ({"params": ["", "x" * 1025]}, "param2 has 1025 characters; at most 1024 are allowed."),
    ],
)
def test_field_is_named(changed: dict[str, Any], text: str) -> None:
    """What is wrong with a field is said in one sentence, by create and by verify alike, and changes nothing."""
    store = memory_store()
    fields = {"receiver": RECEIVER, "reference": "r", **changed}
    for call in (lambda: store.create(**fields), lambda: store.verify(otp="123456", **fields)):
        with pytest.raises(InvalidInput) as refusal:
            call()
        assert str(refusal.value) == text
    store.create(receiver=RECEIVER, reference="r")


@pytest.mark.parametrize("lifetime", [0, -1, 1.5, "soon", "", True, [60], float("nan"), float("inf")])
def test_lifetime_of_no_kind(lifetime: Any) -> None:
    """A lifetime is whole seconds above zero."""
    with pytest.raises(InvalidInput, match=r"^lifetime "):
        memory_store().create(receiver=RECEIVER, reference="r", lifetime=lifetime)


def test_lifetime_as_text() -> None:
    """A lifetime may be the text of a number."""
    assert memory_store().create(receiver=RECEIVER, reference="r", lifetime="60").lifetime == 60


@pytest.mark.parametrize(
    "reference", ["ünïcödé", "漢字", "\N{MOBILE PHONE}", "a:b", "%s", "' OR 1=1 --", "\x00", "r" * 1024]
)
def test_reference_of_every_kind(reference: str) -> None:
    """Any text is a reference."""
    store = memory_store()
    code = store.create(receiver=RECEIVER, reference=reference, params=[reference]).code
    assert store.verify(receiver=RECEIVER, reference=reference, params=[reference], otp=code) is SUCCESS


def test_reference_is_compared_as_it_is() -> None:
    """Blanks, capitals and Unicode forms make different references."""
    store = memory_store()
    for reference in ("r", "R", "r ", "\u00e9", "e\u0301"):
        store.create(receiver=RECEIVER, reference=reference)


def test_receiver_under_strict_policy() -> None:
    """Under the strict policy no code is made for a number that is none."""
    store = memory_store(numbers=Numbers(NumberPolicy.STRICT))
    with pytest.raises(InvalidInput, match="not a valid telephone number"):
        store.create(receiver="12345", reference="r")


def test_receiver_on_the_wire() -> None:
    """The answer to create says how the receiver is written, under the policy."""
    fields = {"receiver": "0812-6666-666", "reference": "r"}
    assert memory_store().create(**fields).receiver == "08126666666"
    assert memory_store(numbers=Numbers(region="62")).create(**fields).receiver == RECEIVER
    assert memory_store(numbers=Numbers(NumberPolicy.RAW)).create(**fields).receiver == "0812-6666-666"


@given(st.text(max_size=20) | st.integers())
def test_typed_code_of_anything(otp: str | int) -> None:
    """Anything typed becomes a text, and a code stays itself."""
    assert isinstance(typed_code(otp, 6), str)
    assert typed_code(typed_code(otp, 6), 6) == typed_code(otp, 6)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"digits": 3}, "digits must be a whole number from 4 to 10."),
        ({"digits": 11}, "digits must be a whole number from 4 to 10."),
        ({"digits": "6"}, "digits must be a whole number from 4 to 10."),
        ({"tries": 0}, "tries must be a whole number from 1 to 100."),
        ({"lifetime": 601}, "lifetime must be a whole number from 1 to 600."),
        ({"max_lifetime": 86_401}, "max_lifetime must be a whole number from 1 to 86400."),
        ({"keep": -1}, "keep must be a whole number from 0 to 604800."),
        ({"cooldowns": (30, -1)}, "cooldowns must be a whole number from 0 to 86400."),
        ({"windows": (Window(0, 1),)}, "windows: seconds must be a whole number from 1 to 2592000."),
        ({"windows": (Window(1, 0),)}, "windows: codes must be a whole number from 1 to 100000."),
        ({"tries": True}, "tries must be a whole number from 1 to 100."),
    ],
)
def test_policy_out_of_range(settings: dict[str, Any], text: str) -> None:
    """A setting out of range is named with its range."""
    with pytest.raises(InvalidInput) as refusal:
        OtpPolicy(**settings)
    assert str(refusal.value) == text


def test_nothing_shown(caplog: pytest.LogCaptureFixture) -> None:
    """No log line, no error and nothing printed has a code, a receiver, a reference or a parameter in it."""
    caplog.set_level(logging.DEBUG)
    store = OtpStore(MemoryBackend(), SecretKey(b"k" * 32))
    fields: dict[str, Any] = {"receiver": "canary@example.com", "reference": "canary-r", "params": ["canary-p"]}
    issued = store.create(**fields)
    shown = [repr(issued), repr(issued.record), repr(store), repr(store.policy)]
    calls: list[Callable[[], object]] = [
        lambda: store.create(**fields),
        lambda: store.resend(receiver="canary@example.com", reference="canary-r"),
        lambda: store.create(receiver="canary", reference="canary-x"),
        lambda: store.create(receiver="canary@", reference="canary-x"),
    ]
    for call in calls:
        try:
            call()
        except OtpError as error:
            shown += [str(error), repr(error)]
    assert len(shown) >= 4 + 2 * 3
    text = "\n".join([*shown, caplog.text])
    assert "canary" not in text
    assert issued.code not in text
