"""JSON as leniently as existing senders need it, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.errors import InvalidMessage
from otp.json_reader import read_object


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ('{"a": 1 , \r\n\t}', {"a": 1}),
        ('{"a": [1, 2,], "b": {"c": 3,},}', {"a": [1, 2], "b": {"c": 3}}),
        ('{"a": ",}", "b": ",]",}', {"a": ",}", "b": ",]"}),
        (r'{"a": "\",}", "b": "\\",}', {"a": '",}', "b": "\\"}),
        ("\ufeff{}", {}),
        ('{"a": "\\/ \\u00e9 \\ud83d\\udcf1"}', {"a": "/ é \N{MOBILE PHONE}"}),
        ("{,}", {}),
    ],
)
def test_read(text: str, expected: dict[str, Any]) -> None:
    """Objects are read, with trailing commas and a byte order mark as well; texts are never changed."""
    assert read_object(text) == expected
    assert read_object(text.encode()) == expected
    assert read_object(bytearray(text.encode())) == expected


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "The message is not JSON: Expecting value, character 0."),
        (b"null", "The message is JSON but not an object."),
        (b"[]", "The message is JSON but not an object."),
        (b'"text"', "The message is JSON but not an object."),
        (b"{'a': 1}", "The message is not JSON: "),
        (b"{a: 1}", "The message is not JSON: "),
        (b'{"a": 1,,}', "The message is not JSON: "),
        (b'{"a": 1} trailing', "The message is not JSON: Extra data, character 9."),
        (b'{"a": 1, "a": 2}', "The message has a key twice."),
        (b'{"d": {"a": 1, "a": 1,},}', "The message has a key twice."),
        (b'{"a": NaN}', "The message holds NaN or Infinity, which JSON does not have."),
        (b'{"a": -Infinity,}', "The message holds NaN or Infinity, which JSON does not have."),
        (b'{"a": 1e999}', "The message holds a number that is too large."),
        (b'{"a": -1e999,}', "The message holds a number that is too large."),
        (b'{"a": ' + b"9" * 5000 + b"}", "The message holds a number that is too long."),
        (b"[" * 100_000, "The message is nested too deeply."),
        (b'{"a":' * 100_000, "The message is nested too deeply."),
        (b'{"a": "\xff"}', "The message is not UTF-8 (byte 7)."),
        ('{"a": 1}'.encode("utf-16"), "The message is not UTF-8 (byte 0)."),
    ],
)
def test_refused(payload: bytes, text: str) -> None:
    """What is no object is refused in one sentence that shows nothing of it."""
    with pytest.raises(InvalidMessage) as caught:
        read_object(payload)
    assert str(caught.value).startswith(text)


def test_refusal_shows_nothing() -> None:
    """A refusal says where, never what."""
    with pytest.raises(InvalidMessage) as caught:
        read_object('{"otp": "canary" "x"}')
    assert "canary" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("piece", ['"\\', '"', ",", ", ", ",\n\n\n", "\\\\", '\\"', '{"a":"', "}{"])
def test_long_nonsense_ends(piece: str) -> None:
    """No nonsense makes the reader crawl: in quadratic time this would outlast the suite's time limit."""
    with pytest.raises(InvalidMessage):
        read_object("{" + piece * 400_000)


objects = st.dictionaries(
    st.text(max_size=5),
    st.none()
    | st.integers()
    | st.text(alphabet=st.sampled_from('a",]}[{\\ '), max_size=12)
    | st.lists(st.text(), max_size=3),
    max_size=4,
)


@given(objects)
def test_trailing_commas_change_nothing(value: dict[str, Any]) -> None:
    """A document and the same document with a trailing comma are read as the same object."""
    text = json.dumps(value)
    assert read_object(text) == value
    assert read_object(text[:-1] + (",}" if value else "}")) == value
    assert read_object('{"list": [' + text + ",],}") == {"list": [value]}
