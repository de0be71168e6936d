"""The grammar of a password file, as bytes and values: no file is touched here.

    # comment                          skipped, like a blank line
    alice:$2y$10$...                   user, first colon, hash; blanks around the line are trimmed
    bob:$apr1$...:the night shift      what follows a second colon is a comment (nginx); a hash has no colon
    alice:{SHA}...                     a second line of a user: the first one wins
    carol                              unusable: a problem is recorded and the other lines stand

UTF-8, with or without a byte order mark; lines end in LF, CRLF or CR. Whatever the bytes, reading them raises
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest

from htpasswd.hashes import Scheme, looks_hashed, scheme

BOM = b"\xef\xbb\xbf"
LONGEST_NAME = 255
"""Bytes of a user name; Apache's htpasswd takes no more."""

_BLANKS = " \t\v\f"
_LINE_END = re.compile(rb"(\r\n|\n|\r)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # categories Cc, Zl and Zp
_SHOWN = 32  # characters of a user name in a problem

_NAME_RULES: tuple[tuple[Callable[[str], bool], str], ...] = (  # in this order: the third encodes
    (lambda name: not name, "the user name is empty"),
    (lambda name: _SURROGATE.search(name) is not None, "the user name is not valid UTF-8"),
    (lambda name: len(name.encode()) > LONGEST_NAME, f"the user name is longer than {LONGEST_NAME} bytes"),
    (
        lambda name: ":" in name,
        "the user name holds a colon, which ends the name in the file and in HTTP Basic",
    ),
    (
        lambda name: _CONTROL.search(name) is not None,
        "the user name holds a control character or line separator",
    ),
    (lambda name: name.startswith("#"), "the user name starts with '#', which marks a comment"),
    (lambda name: name.startswith("\ufeff"), "the user name starts with a byte order mark"),
    (lambda name: name != name.strip(), "the user name starts or ends with a blank"),
    (lambda name: looks_hashed(name) and scheme(name).usable, "a hash stands where the user name belongs"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line, so split that joining `raw` and `end` of all lines gives the file back."""

    raw: bytes = field(repr=False)
    """Its bytes without the line end."""
    end: bytes = b""
    """LF, CRLF, CR, or nothing on a last line."""
    user: str | None = field(default=None, repr=False)
    """None on a comment, on a blank line and on a line with a fault. Not shown: it may be half a hash."""
    stored: str = field(default="", repr=False)
    """The hash."""
    comment: str = field(default="", repr=False)
    """What follows the hash from a second colon on, that colon included."""
    fault: str | None = None
    """Why the line, meant to hold an account, holds none."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that is meant to hold an account, judged."""

    number: int
    """Of its line, from 1."""
    user: str | None = field(repr=False)
    stored: str = field(repr=False)
    scheme: Scheme
    reason: str | None
    """Why it cannot be used, in words without the hash; None when it can."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One line that cannot be used, fit to be logged."""

    line: int
    """Its number, from 1."""
    user: str | None
    """The name it is about, shortened and printable; None when none can be told."""
    reason: str

    def __str__(self) -> str:
        who = "" if self.user is None else f" (user '{self.user}')"
        return f"line {self.line}{who}: {self.reason}"


class Content(StrEnum):
    """What a password file holds, taken as a whole."""

    ACCOUNTS = "accounts"
    """At least one usable line."""
    COMMENTS = "comments"
    """Comments only: deliberately nobody."""
    EMPTY = "empty"
    """Nothing, or blank lines: perhaps a write that failed."""
    UNUSABLE = "unusable"
    """Lines, and none that can be used."""


class Accounts(Mapping[str, str]):
    """The usable accounts of a file: user -> stored hash. Its repr shows neither."""

    __slots__ = ("_hashes", "content", "problems")

    content: Content
    problems: tuple[Problem, ...]
    """The lines that were left out, in order."""

    def __init__(self, hashes: Mapping[str, str], problems: tuple[Problem, ...], content: Content) -> None:
        self._hashes = dict(hashes)
        self.problems = problems
        self.content = content

    def __getitem__(self, user: str) -> str:
        return self._hashes[user]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def __repr__(self) -> str:
        return f"<Accounts: {self.content}, {len(self)} users, {len(self.problems)} problems>"


def parse(data: bytes | str, *, allow_plaintext: bool = False) -> Accounts:
    """Read the accounts out of the text of a password file.

    A line that cannot be used refuses its user and no one else; a later line of that user does not count.

    Args:
        data: the whole file.
        allow_plaintext: as for `htpasswd.hashes.scheme`.
    """
    text = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    entries = list(judge(text, allow_plaintext=allow_plaintext))
    hashes: dict[str, str] = {}
    problems: list[Problem] = []
    for entry in entries:
        if entry.reason is not None:
            problems.append(Problem(entry.number, _shown(entry.user), entry.reason))
        elif entry.user is not None:
            hashes[entry.user] = entry.stored
    return Accounts(hashes, tuple(problems), _content(text, usable=bool(hashes), meant=bool(entries)))


def judge(data: bytes, *, allow_plaintext: bool = False) -> Iterator[Entry]:
    """Yield one entry for each line that is neither blank nor a comment, in order."""
    if wrong := wrong_encoding(data):
        yield Entry(1, None, "", Scheme("unknown", reason=wrong), wrong)
        return
    first: dict[str, int] = {}
    for number, line in enumerate(split(data)[1], start=1):
        if line.user is None and line.fault is None:
            continue
        found = scheme(line.stored, allow_plaintext=allow_plaintext)
        reason = line.fault or found.reason
        if line.user is not None and (earlier := first.setdefault(line.user, number)) != number:
            reason = f"the same user stands in line {earlier}, which wins; remove one of the two"
        yield Entry(number, line.user, line.stored, found, reason)


def split(data: bytes) -> tuple[bytes, list[Line]]:
    """Split a file into its byte order mark, if any, and its lines."""
    bom = BOM if data.startswith(BOM) else b""
    parts = _LINE_END.split(data[len(bom) :])
    pairs = zip_longest(parts[::2], parts[1::2], fillvalue=b"")
    return bom, [_line(raw, end) for raw, end in pairs if raw or end]


def name_fault(user: str) -> str | None:
    """Return why `user` cannot be a user name in a password file, None when it can."""
    return next((fault for broken, fault in _NAME_RULES if broken(user)), None)


def wrong_encoding(data: bytes) -> str | None:
    """Return what is wrong with the encoding of the whole file, None when it can be read line by line."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "the file is UTF-16; save it as UTF-8"
    return None


def _line(raw: bytes, end: bytes) -> Line:
    """Take one line apart."""
    try:
        text = raw.decode("utf-8").strip(_BLANKS)
    except UnicodeDecodeError:
        return Line(raw, end, fault="not UTF-8; save the file as UTF-8")
    if not text or text.startswith("#"):
        return Line(raw, end)
    user, colon, stored = text.partition(":")
    if not colon:
        return Line(raw, end, fault="no colon between user and hash")
    if fault := name_fault(user):
        return Line(raw, end, fault=fault)
    comment = ""
    if looks_hashed(stored):
        stored, colon, comment = stored.partition(":")
        comment = colon + comment
    return Line(raw, end, user, stored.rstrip(_BLANKS), comment)


def _content(data: bytes, *, usable: bool, meant: bool) -> Content:
    """Classify a file by whether it has usable lines and lines meant to be used."""
    if usable:
        return Content.ACCOUNTS
    if meant:
        return Content.UNUSABLE
    return Content.COMMENTS if b"#" in data else Content.EMPTY


def _shown(user: str | None) -> str | None:
    """Shorten a user name for a log, and hide one that may be a hash on the wrong side of the colon."""
    if user is None or looks_hashed(user):
        return None
    printable = "".join(character if character.isprintable() else "?" for character in user)
    return printable if len(printable) <= _SHOWN else printable[: _SHOWN - 1] + "…"
