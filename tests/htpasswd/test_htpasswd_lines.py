"""The text of a password file: read, split, judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htpasswd.lines import BOM, Content, judge, name_fault, parse, split

SHA = "{SHA}PUkSovNmiq8EkRemJdSniuPfezM="
APR1 = "$apr1$WZivYkZP$2BP4HoAQvzqdrDT36IoI01"
BCRYPT = "$2y$04$Y9oE3Ux8B/P3Hxw16Z5xMujbwCWgMx77gP4dUvkjT3x/yHSP5C1xC"
HASHES = (SHA, APR1, BCRYPT)

SAMPLE = ["# accounts", "", f"alice:{SHA}", f"bob:{APR1}", "   # indented comment", f"müller:{BCRYPT}"]
ACCOUNTS = {"alice": SHA, "bob": APR1, "müller": BCRYPT}

line_ends = pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])


def reasons(data: bytes | str, *, allow_plaintext: bool = False) -> list[str]:
    """Return the problems of a file as they would be logged."""
    return [str(problem) for problem in parse(data, allow_plaintext=allow_plaintext).problems]


@line_ends
@pytest.mark.parametrize("bom", [b"", BOM], ids=["plain", "BOM"])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_parse_sample(end: str, bom: bytes, closed: bool) -> None:
    """Line ends, a byte order mark and a missing last line end change nothing."""
    accounts = parse(bom + (end.join(SAMPLE) + (end if closed else "")).encode())
    assert dict(accounts) == ACCOUNTS
    assert accounts.problems == ()
    assert accounts.content is Content.ACCOUNTS


def test_parse_mixed_line_ends() -> None:
    """Each line may end in its own way."""
    assert dict(parse(f"alice:{SHA}\rbob:{APR1}\r\nmüller:{BCRYPT}\n")) == ACCOUNTS


def test_parse_text() -> None:
    """Text is read as its UTF-8 bytes are, a leading byte order mark included."""
    assert dict(parse("\ufeff" + "\n".join(SAMPLE))) == ACCOUNTS


@pytest.mark.parametrize("blanks", [" ", "\t", " \t \f\v"])
def test_parse_blanks_around_a_line(blanks: str) -> None:
    """Blanks around a line are trimmed, as Apache does."""
    assert dict(parse(f"{blanks}alice:{SHA}{blanks}\n{blanks}\n")) == {"alice": SHA}


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_parse_other_separators(separator: str) -> None:
    """Only LF and CR end a line: nothing else can smuggle in an account."""
    accounts = parse(f"alice:{SHA}{separator}eve:{SHA}\n")
    assert "eve" not in accounts
    assert len(accounts) == 0


def test_parse_first_colon() -> None:
    """The name ends at the first colon; a plain-text password keeps its own colons."""
    assert dict(parse("alice:a:b:c\n", allow_plaintext=True)) == {"alice": "a:b:c"}


def test_parse_comment_after_a_hash() -> None:
    """What follows a hash from a second colon on is a comment, as nginx has it."""
    assert dict(parse(f"alice:{SHA}:night shift\nbob:{APR1} :x:y\n")) == {"alice": SHA, "bob": APR1}


def test_parse_inner_blanks() -> None:
    """Blanks inside a plain-text password belong to it, as do no-break spaces; blanks at its end do not."""
    text = "alice:correct horse \t\nbob:\u00a0x\u00a0\n"
    assert dict(parse(text, allow_plaintext=True)) == {"alice": "correct horse", "bob": "\u00a0x\u00a0"}


def test_parse_duplicate() -> None:
    """The first line of a user wins, and the second is told."""
    data = f"alice:{SHA}\n# \nalice:{APR1}\n"
    assert dict(parse(data)) == {"alice": SHA}
    reason = "the same user stands in line 1, which wins; remove one of the two"
    assert reasons(data) == [f"line 3 (user 'alice'): {reason}"]


def test_parse_duplicate_of_an_unusable_line() -> None:
    """A user whose first line cannot be used stays out: a later line is not what the operator looks at."""
    data = f"alice:{BCRYPT[:-1]}\nalice:{APR1}\nbob:{SHA}\n"
    assert dict(parse(data)) == {"bob": SHA}
    assert [problem.line for problem in parse(data).problems] == [1, 2]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"alice", "line 1: no colon between user and hash"),
        (b"alice:", "line 1 (user 'alice'): no hash after the colon"),
        (
            b"alice:" + BCRYPT[:40].encode(),
            "line 1 (user 'alice'): malformed bcrypt hash (cut short or altered)",
        ),
        (
            b"alice:secret",
            "line 1 (user 'alice'): neither a known hash nor plain text that was allowed (allow_plaintext)",
        ),
        (
            b"alice:vJo0Sxp/6IGSs",
            "line 1 (user 'alice'): DES crypt is refused: it looks at 8 characters of a password",
        ),
        (b":" + SHA.encode(), "line 1: the user name is empty"),
        (b"alice :" + SHA.encode(), "line 1: the user name starts or ends with a blank"),
        (b"al\0ice:" + SHA.encode(), "line 1: the user name holds a control character or line separator"),
        (
            b"al\x1b[2Jice:" + SHA.encode(),
            "line 1: the user name holds a control character or line separator",
        ),
        (b"x" * 256 + b":" + SHA.encode(), "line 1: the user name is longer than 255 bytes"),
        (b"m\xfcller:" + SHA.encode(), "line 1: not UTF-8; save the file as UTF-8"),
        (b"alice:\xff\xfe", "line 1: not UTF-8; save the file as UTF-8"),
    ],
)
def test_parse_unusable_line(line: bytes, problem: str) -> None:
    """A line that cannot be used is told by number, name and reason; the other lines stand."""
    data = line + b"\nbob:" + APR1.encode() + b"\n"
    assert dict(parse(data)) == {"bob": APR1}
    assert reasons(data) == [problem]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_parse_utf_16(codec: str) -> None:
    """A file that an editor saved as UTF-16 is one problem with its remedy, not one for each line."""
    data = ("\ufeff" + "\r\n".join(SAMPLE)).encode(codec)
    assert reasons(data) == ["line 1: the file is UTF-16; save it as UTF-8"]
    assert parse(data).content is Content.UNUSABLE


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b"", Content.EMPTY),
        (BOM, Content.EMPTY),
        (b"\n \r\n\t\r", Content.EMPTY),
        (b"# nobody\n", Content.COMMENTS),
        (b"\n  # nobody", Content.COMMENTS),
        (b"# x\nalice\n", Content.UNUSABLE),
        (b"alice:secret", Content.UNUSABLE),
        (b"alice\nbob:" + SHA.encode(), Content.ACCOUNTS),
    ],
)
def test_content(data: bytes, content: Content) -> None:
    """Nobody on purpose, nothing at all and nothing usable are three different things."""
    assert parse(data).content is content


def test_nothing_shows_a_hash() -> None:
    """No repr and no text of a read file holds a hash, a password or a name put in the wrong place."""
    canary = "kAnArY"
    data = (
        f"alice:{SHA}:{canary}\nbob:{canary}\n{APR1}:carol\n{canary}\n{SHA[:-1]}:dave\ngrace:{BCRYPT[:50]}\n"
        f"{SHA}:{BCRYPT}\n{APR1[:-1]}:{BCRYPT}"
    )
    accounts = parse(data)
    entries = list(judge(data.encode()))
    lines = split(data.encode())[1]
    views = (accounts, accounts.problems, accounts.items(), accounts.values(), entries, lines)
    shown = f"{views!r} {reasons(data)}"
    for secret in (canary, SHA[5:10], APR1[6:12], BCRYPT[7:20]):
        assert secret not in shown
    assert [problem.line for problem in accounts.problems] == [2, 3, 4, 5, 6, 7]


def test_problem_shortens_the_user() -> None:
    """A long name takes no more than 32 characters of a log line, and nothing unprintable gets there."""
    (long, odd) = parse("x" * 200 + ":\n" + "a\u202eb:\n").problems
    assert long.user == "x" * 31 + "…"
    assert odd.user == "a?b"


def test_accounts_compare_like_a_mapping() -> None:
    """Two readings of the same accounts are equal, whatever stands around them."""
    assert parse(f"alice:{SHA}\n") == parse(f"# comment\r\nalice:{SHA}\r\nbob") == {"alice": SHA}
    assert parse(f"alice:{SHA}\n") != parse(f"alice:{APR1}\n")
    assert parse(f"alice:{SHA}\n").get("bob") is None


@pytest.mark.parametrize("user", ["alice", "müller", "名前", "a b", "a#b", "x" * 255, "é" * 127, "$apr1$"])
def test_name_possible(user: str) -> None:
    """A name that a client can send and a line can hold is taken as it is."""
    assert name_fault(user) is None


@pytest.mark.parametrize(
    ("user", "fault"),
    [
        ("", "the user name is empty"),
        ("a:b", "the user name holds a colon, which ends the name in the file and in HTTP Basic"),
        ("a\nb", "the user name holds a control character or line separator"),
        ("a\rb", "the user name holds a control character or line separator"),
        ("a\0", "the user name holds a control character or line separator"),
        ("\x7f", "the user name holds a control character or line separator"),
        ("a\x9bb", "the user name holds a control character or line separator"),
        ("a\u2028b", "the user name holds a control character or line separator"),
        ("#alice", "the user name starts with '#', which marks a comment"),
        (" alice", "the user name starts or ends with a blank"),
        ("alice\u00a0", "the user name starts or ends with a blank"),
        ("\ufeffalice", "the user name starts with a byte order mark"),
        ("x" * 256, "the user name is longer than 255 bytes"),
        ("é" * 128, "the user name is longer than 255 bytes"),
        ("a\udcffb", "the user name is not valid UTF-8"),
        (SHA, "a hash stands where the user name belongs"),
        (BCRYPT, "a hash stands where the user name belongs"),
    ],
)
def test_name_fault(user: str, fault: str) -> None:
    """A name that a line could not hold, or that would read as another one, is refused in words."""
    assert name_fault(user) == fault


crumbs = st.lists(st.sampled_from([b"a", b":", b"#", b"\r", b"\n", b" ", BOM, b"{SHA}", SHA.encode()]))


@given(st.binary() | crumbs.map(b"".join))
def test_noise(data: bytes) -> None:
    """Whatever the bytes: reading raises nothing, loses no byte, and lets in no impossible name."""
    bom, lines = split(data)
    assert bom + b"".join(line.raw + line.end for line in lines) == data
    for allowed in (False, True):
        accounts = parse(data, allow_plaintext=allowed)
        assert not any(map(name_fault, accounts))
        assert all(1 <= problem.line <= len(lines) for problem in accounts.problems)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_noise_as_text(text: str) -> None:
    """Text is read without raising, lone surrogates included."""
    assert parse(text).content in Content


names = st.text(min_size=1, max_size=60).filter(lambda name: name_fault(name) is None)


@given(
    accounts=st.dictionaries(names, st.sampled_from(HASHES)),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    bom=st.sampled_from(["", "\ufeff"]),
)
def test_round_trip(accounts: dict[str, str], end: str, bom: str) -> None:
    """Every possible name with every kind of hash comes back as it was written."""
    text = bom + "".join(f"{user}:{stored}{end}" for user, stored in accounts.items())
    assert dict(parse(text)) == accounts
    assert parse(text.encode()).problems == ()
