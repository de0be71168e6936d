"""PHP's INI rules; the expected values were read off PHP 8.2's ``parse_ini_file``."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.publisher import ConfigError
from otp.publisher.ini import parse

ENVIRONMENT = {"HOME": "/root", "SECRET": "p;w"}


def value(line: str) -> str:
    """Return what a line's value is read as."""
    return parse(f"[S]\n{line}\n", "otp.ini", ENVIRONMENT).sections["S"]["a"].value


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a = kamshory ", "kamshory"),
        ("a=\ttab\t", "tab"),
        ("a =", ""),
        ("  a = x", "x"),
        ("a = abc ; comment", "abc"),
        ("a = abc;comment", "abc"),
        ("a = abc;", "abc"),
        ("a = a\\;b", "a\\"),
        ("a = a#b", "a#b"),
        ('a = "x ; y"', "x ; y"),
        ("a = 'a;b'", "a;b"),
        ('a = "a" ; b', "a"),
        ('a = " pad "', " pad "),
        ("a = on", "1"),
        ("a = Yes", "1"),
        ("a = tRuE", "1"),
        ("a = yes ; x", "1"),
        ("a = off", ""),
        ("a = No", ""),
        ("a = None", ""),
        ("a = null", ""),
        ("a = false", ""),
        ('a = "on"', "on"),
        ("a = 'off'", "off"),
        ("a = 010", "010"),
        ("a = 5 0", "5 0"),
        (r"a = C:\cache\otp", r"C:\cache\otp"),
        (r'a = "C:\cache\otp"', r"C:\cache\otp"),
        (r'a = "C:\cache\otp\\x"', r"C:\cache\otp\x"),
        (r'a = "C:\cache\"', "C:\\cache\\"),
        (r"a = 'C:\cache\'", "C:\\cache\\"),
        (r'a = "a\"b"', 'a"b'),
        (r'a = "a\nb"', r"a\nb"),
        ("a = 100%", "100%"),
        ("a = %(x)s", "%(x)s"),
        ("a = user@host:1/x?y,z.w", "user@host:1/x?y,z.w"),
        ("a = éü", "éü"),
        ("a = a$b", "a$b"),
        ("a = ${HOME}/x", "/root/x"),
        ('a = "${SECRET}"', "p;w"),
        ("a = '${HOME}'", "${HOME}"),
        ("a = a[b]", "a[b]"),
    ],
)
def test_value_as_php_reads_it(line: str, expected: str) -> None:
    """A value is what PHP makes of it."""
    assert value(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"), [("a = /ws/?x=1", "/ws/?x=1"), ("a = p!w(d", "p!w(d"), ('a = p"w', 'p"w'), ("a = a|b", "a|b")]
)
def test_value_that_php_cannot_read(line: str, expected: str) -> None:
    """What PHP refuses or computes with is taken as it stands."""
    assert value(line) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a = "open', r"otp\.ini, line 1: the quote is not closed"),
        ("a = 'open", r"line 1: the quote is not closed"),
        ('\n\na = "x" y', r"line 3: there is text after the closing quote"),
        ("[GENERAL", r"line 1: a section must look like \[NAME\]"),
        ("a = ${NOT_THERE}", r"line 1: the environment variable NOT_THERE is not set"),
    ],
)
def test_mistake_is_named_with_its_line(text: str, message: str) -> None:
    """A file that cannot be read says where and why."""
    with pytest.raises(ConfigError, match=message):
        parse(text, "otp.ini", ENVIRONMENT)


def test_comments_sections_and_strays() -> None:
    """Comments and blank lines are nothing; a line that is neither section nor setting is warned of."""
    text = "\ufeff; one\r\n# two\r\n\r\n[A] ; note\r\na = 1\r\nstray\r\n[B]\r\na = 2\r\na = 3\r\n[A]\r\nb = 4\r\n"
    ini = parse(text, "otp.ini", {})
    assert {name: {key: entry.value for key, entry in found.items()} for name, found in ini.sections.items()} == {
        "A": {"a": "1", "b": "4"},
        "B": {"a": "3"},
    }
    assert ini.sections["B"]["a"].where == "otp.ini, line 9"
    assert [warning[:16] for warning in ini.warnings] == ["otp.ini, line 6:"]


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text ends in another error than ours."""
    with suppress(ConfigError):
        parse(text, "otp.ini", {})


@given(st.text(st.characters(exclude_characters="'", exclude_categories=["C", "Z"])))
def test_single_quotes_keep_everything(text: str) -> None:
    """Between single quotes every character stands for itself."""
    assert value(f"a = '{text}'") == text


def test_entries_do_not_show_their_values() -> None:
    """A value may be a password: it is in no representation."""
    ini = parse("[WS]\npassword = canary\n", "otp.ini", {})
    assert "canary" not in repr(ini) + repr(ini.sections["WS"]["password"])
