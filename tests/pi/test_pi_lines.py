"""Bytes of a modem become lines and the prompt, whatever the pieces they come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.pi.modems.lines import MAX_LINE, PROMPT, Lines

SAMPLES = [
    (b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n", ["+CSQ: 20,99", "OK"]),
    (b"AT+CSQ\r\r\n+CSQ: 20,99\r\n", ["AT+CSQ", "+CSQ: 20,99"]),
    (b"\r\n^RSSI:20\r\n\r\n> ", ["^RSSI:20", PROMPT]),
    (b"\r\n>\r\n^BOOT:1,2\r\n", [PROMPT, "^BOOT:1,2"]),
    (b"\r\n> 0001AB\x1a\r\n+CMGS: 7\r\nOK\n", [PROMPT, "0001AB\x1a", "+CMGS: 7", "OK"]),
    (
        b'+CUSD: 1,"Menu\r\n1 Balance, now\r\n2 "Data"",15\r\nOK\r\n',
        ['+CUSD: 1,"Menu\n1 Balance, now\n2 "Data"",15', "OK"],
    ),
    (b'+CUSD: 0,"",15\r\n+CUSD: 2\r\n', ['+CUSD: 0,"",15', "+CUSD: 2"]),
    (b"\0\0\r\nO\0K\r\n", ["OK"]),
    (b"\xe9t\xe9\r\n", ["été"]),
]


def lines_expecting_a_prompt() -> Lines:
    lines = Lines()
    lines.expect_prompt = True
    return lines


@pytest.mark.parametrize(("sent", "expected"), SAMPLES)
def test_lines_whole(sent: bytes, expected: list[str]) -> None:
    """A sample that comes at once is split at its ends of lines."""
    assert lines_expecting_a_prompt().feed(sent) == expected


@pytest.mark.parametrize(("sent", "expected"), SAMPLES)
def test_lines_byte_by_byte(sent: bytes, expected: list[str]) -> None:
    """A sample that comes in single bytes gives the same lines."""
    lines = lines_expecting_a_prompt()
    assert [line for byte in sent for line in lines.feed(bytes([byte]))] == expected


def test_prompt_unasked_is_the_beginning_of_a_line() -> None:
    """Nothing is a prompt while none is expected, and the second is none either."""
    assert Lines().feed(b"> \r\n> 1 Balance\r\n") == ["> 1 Balance"]
    assert lines_expecting_a_prompt().feed(b"> \r\n> x\r\n") == [PROMPT, "> x"]


def test_lines_too_long_are_cut_off() -> None:
    """A modem gone mad takes no more memory than the longest line."""
    lines = Lines()
    assert lines.feed(b"x" * (MAX_LINE + 1000)) == []
    assert lines.feed(b"y\r\nOK\r\n") == ["x" * MAX_LINE, "OK"]


def test_quote_that_never_closes_ends_at_the_longest_line() -> None:
    """A text whose closing quote got lost takes no more than the longest line."""
    found = Lines().feed(b'+CUSD: 0,"' + b"line\r\n" * MAX_LINE)
    assert len(found[0]) == MAX_LINE
    assert set(found[1:]) == {"line"}


def test_quote_that_was_lost_can_be_given_up() -> None:
    """After giving up on a quote the next line stands alone."""
    lines = Lines()
    assert lines.feed(b'+CUSD: 0,"half\r\n') == []
    lines.give_up_quotes()
    assert lines.feed(b"OK\r\n") == ["OK"]


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_lines_any_bytes(pieces: list[bytes], prompt: bool) -> None:
    """Whatever comes, each line is whole, not empty and short enough, and pieces make no difference."""
    split, whole = Lines(), Lines()
    split.expect_prompt = whole.expect_prompt = prompt
    found = [line for piece in pieces for line in split.feed(piece)]
    assert found == whole.feed(b"".join(pieces))
    assert all(line == line.strip() and 0 < len(line) <= MAX_LINE for line in found)
    assert found.count(PROMPT) <= prompt
