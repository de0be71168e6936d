"""What is derived from the key: checked against published vectors and against a second derivation."""

import hashlib
import hmac
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.store import SecretKey
from otp.store.digests import same, truncate

KEY = bytes(range(32))
texts = st.text(max_size=20)


@pytest.mark.parametrize(
    ("counter", "code"),
    [
        *[(0, "755224"), (1, "287082"), (2, "359152"), (3, "969429"), (4, "338314")],
        *[(5, "254676"), (6, "287922"), (7, "162583"), (8, "399871"), (9, "520489")],
    ],
)
def test_truncate_rfc_4226(counter: int, code: str) -> None:
    """RFC 4226, appendix D: the ten HOTP values."""
    digest = hmac.digest(b"12345678901234567890", counter.to_bytes(8, "big"), "sha1")
    assert truncate(digest, 6) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "46119246"),
        (1111111109, "68084774"),
        (1111111111, "67062674"),
        (1234567890, "91819424"),
        (2000000000, "90698825"),
        (20000000000, "77737706"),
    ],
)
def test_truncate_rfc_6238(seconds: int, code: str) -> None:
    """RFC 6238, appendix B: the values for SHA-256, eight digits."""
    digest = hmac.digest(b"12345678901234567890123456789012", (seconds // 30).to_bytes(8, "big"), "sha256")
    assert truncate(digest, 8) == code


@given(st.binary(min_size=32, max_size=32), st.integers(4, 10))
def test_truncate_length(digest: bytes, digits: int) -> None:
    """A code has exactly its digits, leading zeros included."""
    code = truncate(digest, digits)
    assert len(code) == digits
    assert code.isascii()
    assert code.isdecimal()


@pytest.mark.parametrize("digits", range(4, 11))
def test_code_first_digits_are_even(digits: int) -> None:
    """Every first digit is about as frequent, also with ten digits, for which 31 bits would not do."""
    key = SecretKey(KEY)
    counts = Counter(key.code(number.to_bytes(16, "big"), digits)[0] for number in range(5000))
    assert set(counts) == set("0123456789")
    assert min(counts.values()) > 400
    assert max(counts.values()) < 600


def test_code_repeats() -> None:
    """The same nonce gives the same code, so that it can be sent again; another key gives another."""
    nonce = bytes(16)
    assert SecretKey(KEY).code(nonce, 10) == SecretKey(KEY).code(nonce, 10)
    assert SecretKey(KEY).code(nonce, 10) != SecretKey(KEY[::-1]).code(nonce, 10)


def test_mac_layout() -> None:
    """The MAC covers each field behind its length in four bytes, and the code last."""
    subkey = hmac.new(KEY, b"otp record", hashlib.sha256).digest()
    data = b"\0\0\0\x03ref" + b"\0\0\0\x04\xf0\x9f\x93\xb1" + b"\0\0\0\0" + b"\0\0\0\x06123456"
    expected = hmac.new(subkey, data, hashlib.sha256).digest()
    assert SecretKey(KEY).mac(["ref", "\N{MOBILE PHONE}", ""], "123456") == expected


@given(st.lists(texts, min_size=6, max_size=6), st.lists(texts, min_size=6, max_size=6), texts, texts)
def test_mac_tells_fields_apart(one: list[str], two: list[str], code: str, other: str) -> None:
    """Different fields never have the same MAC."""
    key = SecretKey(KEY)
    assert (key.mac(one, code) == key.mac(two, other)) == ((one, code) == (two, other))


@given(texts)
def test_names_and_owners_are_of_different_worlds(text: str) -> None:
    """The same text as a reference and as a receiver gives two values that say nothing about each other."""
    key = SecretKey(KEY)
    assert key.name(text) != key.owner(text)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_key_size(size: int) -> None:
    """A key has 32 bytes."""
    with pytest.raises(ValueError, match="must have 32 bytes"):
        SecretKey(b"k" * size)


def test_same() -> None:
    """Equal is equal."""
    assert same(b"abc", b"abc")
    assert not same(b"abc", b"abd")
