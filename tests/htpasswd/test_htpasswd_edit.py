"""The lines of a password file under edit: what is not changed stays byte for byte."""

import re

import pytest

from htpasswd.file import PasswordFile

SHA = "{SHA}PUkSovNmiq8EkRemJdSniuPfezM="
APR1 = "$apr1$WZivYkZP$2BP4HoAQvzqdrDT36IoI01"
BCRYPT = "$2y$04$Y9oE3Ux8B/P3Hxw16Z5xMujbwCWgMx77gP4dUvkjT3x/yHSP5C1xC"


def test_set_new_user() -> None:
    """A new user gets a line at the end."""
    document = PasswordFile(f"alice:{SHA}\n".encode())
    assert document.set("bob", APR1) is True
    assert bytes(document) == f"alice:{SHA}\nbob:{APR1}\n".encode()
    assert document.users() == ["alice", "bob"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_set_keeps_everything_else(end: str) -> None:
    """Comments, order, blank lines, unknown lines and line ends survive byte for byte."""
    lines = [
        "\ufeff# accounts\t",
        "",
        f"  alice:{SHA}  ",
        "what is this?",
        f"bob:{APR1}:night shift",
        "# end ",
        "",
    ]
    document = PasswordFile(end.join(lines).encode())
    assert document.set("bob", BCRYPT) is False
    assert document.set("carol", SHA) is True
    lines[4] = f"bob:{BCRYPT}:night shift"
    lines[6:] = [f"carol:{SHA}", ""]
    assert bytes(document) == end.join(lines).encode()


def test_set_beside_bytes_that_are_not_utf_8() -> None:
    """A line in another encoding is not ours to mend: it stays as it is."""
    line = b"m\xfcller:" + SHA.encode() + b"\n"
    document = PasswordFile(line)
    document.set("alice", SHA)
    assert bytes(document) == line + f"alice:{SHA}\n".encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_set_after_an_open_line(end: str) -> None:
    """A last line without its end gets one, or two accounts would run together."""
    document = PasswordFile(f"# x{end}alice:{SHA}".encode())
    document.set("bob", APR1)
    assert bytes(document) == f"# x{end}alice:{SHA}{end}bob:{APR1}{end}".encode()


def test_set_replaces_an_open_last_line() -> None:
    """Replacing the last line leaves its end as it was: none."""
    document = PasswordFile(f"alice:{SHA}".encode())
    document.set("alice", APR1)
    assert bytes(document) == f"alice:{APR1}".encode()


def test_set_drops_duplicates() -> None:
    """The old password of a duplicate line does not survive for readers that take the last one."""
    document = PasswordFile(f"alice:{SHA}\nbob:{SHA}\nalice:{APR1}\nalice:x\n".encode())
    assert document.set("alice", BCRYPT) is False
    assert bytes(document) == f"alice:{BCRYPT}\nbob:{SHA}\n".encode()


def test_set_mends_an_unusable_line() -> None:
    """A user with an unusable line gets a good one in its place."""
    document = PasswordFile(f"alice:{BCRYPT[:20]}\nbob:{SHA}\n".encode())
    assert document.set("alice", BCRYPT) is False
    assert bytes(document) == f"alice:{BCRYPT}\nbob:{SHA}\n".encode()


@pytest.mark.parametrize(
    ("user", "stored", "message"),
    [
        ("a:b", SHA, "the user name holds a colon, which ends the name in the file and in HTTP Basic"),
        ("a\nroot", SHA, "the user name holds a control character or line separator"),
        ("alice", f"{SHA}\nroot:{SHA}", "malformed sha1 hash (cut short or altered)"),
        (
            "alice",
            "secret",
            "neither a known hash nor plain text that was allowed (allow_plaintext)",
        ),
    ],
)
def test_set_refuses(user: str, stored: str, message: str) -> None:
    """Nothing that would read back as something else gets into a file."""
    document = PasswordFile()
    with pytest.raises(ValueError, match=re.escape(message)):
        document.set(user, stored)
    assert bytes(document) == b""


def test_remove_every_line() -> None:
    """Removing a user removes the duplicates too: none of them comes to life."""
    document = PasswordFile(f"\ufeffalice:{SHA}\r\n# x\r\nalice:{APR1}\r\nbob:{SHA}".encode())
    document.remove("alice")
    assert bytes(document) == f"\ufeff# x\r\nbob:{SHA}".encode()


def test_remove_unknown_user() -> None:
    """Removing nobody is an error of its own, and changes nothing."""
    document = PasswordFile(f"alice:{SHA}\n".encode())
    with pytest.raises(KeyError):
        document.remove("Alice")
    assert bytes(document) == f"alice:{SHA}\n".encode()


def test_repr_of_an_edit() -> None:
    """The repr of a file under edit shows no line of it."""
    assert repr(PasswordFile(f"alice:{SHA}\n".encode())) == "<PasswordFile: 1 lines>"
