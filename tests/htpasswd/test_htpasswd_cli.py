"""The command line, in process, as a real program, and on a real terminal."""

import getpass
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import htpasswd
from htpasswd import cli
from htpasswd.cli import app
from htpasswd.file import load
from htpasswd.hashes import scheme, verify

SHA = "{SHA}PUkSovNmiq8EkRemJdSniuPfezM="  # of "kamshory"
APR1 = "$apr1$Dw5oVWvz$ncJIGg0afMY7sBZsARQ7V."
DES = "vJo0Sxp/6IGSs"
ROOT = Path(htpasswd.__file__).parent.parent
COMMAND = [sys.executable, "-m", "htpasswd"]
PATIENCE = 30.0  # seconds

# The first terminal that the leader of a session opens becomes its own: Ctrl-C and /dev/tty work as usual.
TAKE_TERMINAL = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty directory, with the package importable for programs started there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "100")


def run(*arguments: str, stdin: str | bytes | None = None) -> tuple[int, str, str]:
    """Run the command line in this process; return exit status, standard output and standard error."""
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def run_program(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Run the real program without a terminal."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        start_new_session=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def run_on_terminal(command: list[str], *answers: str) -> tuple[int, str]:
    """Run a program on a terminal of its own and answer its prompts; return exit status and what was shown.

    Each answer is typed once a further prompt, ending in ": ", is there: by then echo is off.
    """
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", TAKE_TERMINAL, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown, waiting = b"", list(answers)
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            assert select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0], shown
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # EIO: the program has ended and closed its side
                break
            shown += chunk
            if waiting and shown.endswith(b": "):
                os.write(ours, waiting.pop(0).encode())
        status = program.wait(PATIENCE)
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    assert not waiting, shown
    return status, shown.decode()


def test_life_of_an_account() -> None:
    """The real program adds, verifies, lists, changes and removes; each step says what it did."""
    assert run_program("add", "alice", "--stdin", "--cost", "4", stdin="first\n") == (
        0,
        "added alice in .htpasswd\n",
        "",
    )
    assert run_program("verify", "alice", "--stdin", stdin="first\n") == (
        0,
        "the password of alice is right\n",
        "",
    )
    assert run_program("add", "alice", "--stdin", "--cost", "4", stdin="second")[:2] == (
        0,
        "updated alice in .htpasswd\n",
    )
    assert run_program("verify", "alice", "--stdin", stdin="first\n") == (
        1,
        "",
        "Error: wrong password for 'alice'\n",
    )
    assert run_program("list") == (0, "alice\tbcrypt\n", "")
    assert run_program("remove", "alice") == (0, "removed alice from .htpasswd\n", "")
    assert Path(".htpasswd").read_bytes() == b""


def test_add_asks_twice_without_echo() -> None:
    """On a terminal the password is asked for twice, and never shown."""
    status, shown = run_on_terminal([*COMMAND, "add", "alice", "--cost", "4"], "pässwörd\n", "pässwörd\n")
    assert status == 0
    assert shown.split("\r\n") == ["Password: ", "Same password again: ", "added alice in .htpasswd", ""]
    assert verify("pässwörd", load(".htpasswd")["alice"])


def test_add_two_different_answers() -> None:
    """A typing error is noticed before anything is written."""
    status, shown = run_on_terminal([*COMMAND, "add", "alice", "--cost", "4"], "canary1\n", "canary2\n")
    assert status == 2
    assert shown.endswith("Error: the two passwords differ; nothing was changed\r\n")
    assert "canary" not in shown
    assert not Path(".htpasswd").exists()


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_add_given_up(key: str) -> None:
    """Giving up at the prompt ends without a traceback and without a file."""
    status, shown = run_on_terminal([*COMMAND, "add", "alice"], key)
    assert status != 0
    assert "Traceback" not in shown
    assert not Path(".htpasswd").exists()


def test_verify_asks_once() -> None:
    """Verifying asks once."""
    Path(".htpasswd").write_text(f"kamshory:{SHA}\n")
    status, shown = run_on_terminal([*COMMAND, "verify", "kamshory"], "kamshory\n")
    assert (status, shown) == (0, "Password: \r\nthe password of kamshory is right\r\n")


def test_add_without_a_terminal() -> None:
    """Without a terminal nothing is read by surprise: the error names the option."""
    status, stdout, stderr = run_program("add", "alice", stdin="secret\n")
    assert (status, stdout) == (2, "")
    assert stderr == "Error: no terminal to ask for the password; pipe it in with --stdin\n"
    assert not Path(".htpasswd").exists()


def test_answer_in_latin_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a terminal sends in another encoding is an error in words."""

    def undecodable(_: str) -> str:
        return b"\xff".decode("utf-8")

    monkeypatch.setattr(getpass, "getpass", undecodable)
    monkeypatch.setattr("htpasswd.cli.sys.stdin.isatty", lambda: True)
    with pytest.raises(typer.Exit):
        cli._password(stdin=False, twice=False)
    assert capsys.readouterr().err == "Error: the password is not valid UTF-8\n"


@pytest.mark.parametrize(
    ("stdin", "password"),
    [
        ("plain\n", "plain"),
        ("no line end", "no line end"),
        ("windows\r\n", "windows"),
        ("with:colon\n", "with:colon"),
        ("  blanks  \n", "  blanks  "),
        ("pässwörd€😀\n", "pässwörd€😀"),
        ("first\nsecond\n", "first"),
        ("x" * 72 + "\n", "x" * 72),
    ],
)
def test_add_from_stdin(stdin: str, password: str) -> None:
    """One line is read; only its line end is not part of the password."""
    assert run("add", "alice", "--stdin", "--cost", "4", stdin=stdin) == (0, "added alice in .htpasswd\n", "")
    stored = load(".htpasswd")["alice"]
    assert verify(password, stored)
    assert not verify(password + " ", stored) or len(password) == 72
    assert run("verify", "alice", "--stdin", stdin=stdin)[0] == 0


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "the password is empty"),
        (b"\n", "the password is empty"),
        (b"\r\n", "the password is empty"),
        (b"canary\0\n", "the password holds a control character, which HTTP Basic cannot carry (RFC 7617)"),
        (b"canary" * 13, "the password has 78 bytes, bcrypt reads 72: shorten it"),
        (b"canary" * 10_000, "the password has 8192 bytes, bcrypt reads 72: shorten it"),
        (b"canary\xff\n", "the password is not valid UTF-8"),
    ],
)
def test_add_impossible_password(stdin: bytes, message: str) -> None:
    """A password that cannot be kept is refused in one line that does not repeat it; no file is made."""
    assert run("add", "alice", "--stdin", stdin=stdin) == (2, "", f"Error: {message}\n")
    assert not Path(".htpasswd").exists()


@pytest.mark.parametrize("user", ["", "a:b", "#alice", " alice", "a\nb", "x" * 256])
def test_add_impossible_name(user: str) -> None:
    """A name that a line cannot hold is refused before a password is asked for."""
    status, stdout, stderr = run("add", user)
    assert (status, stdout) == (2, "")
    assert re.fullmatch(r"Error: the user name [^\n]+\n", stderr)
    assert not Path(".htpasswd").exists()


def test_add_uses_cost_and_file() -> None:
    """--cost and --file are obeyed; the default cost is the documented one."""
    assert run("add", "alice", "--file", "other", "--stdin", "--cost", "5", stdin="x")[0] == 0
    assert run("add", "bob", "-f", "other", "--stdin", stdin="x")[0] == 0
    assert [scheme(stored).cost for stored in load("other").values()] == [5, 10]


@pytest.mark.parametrize("cost", ["3", "18", "high"])
def test_add_impossible_cost(cost: str) -> None:
    """A cost out of range is a usage error."""
    status, stdout, stderr = run("add", "alice", "--stdin", "--cost", cost, stdin="x")
    assert (status, stdout) == (2, "")
    assert "Invalid value for '--cost'" in stderr
    assert not Path(".htpasswd").exists()


def test_add_keeps_the_rest_of_the_file() -> None:
    """Comments, order and line ends of the others survive an update."""
    Path(".htpasswd").write_bytes(f"# mine\r\nalice:{SHA}\r\nbob:{SHA}\r\n".encode())
    assert run("add", "alice", "--stdin", "--cost", "4", stdin="new")[1] == "updated alice in .htpasswd\n"
    assert re.fullmatch(
        rb"# mine\r\nalice:\$2y\$04\$[^\r\n]{53}\r\nbob:" + re.escape(SHA.encode()) + rb"\r\n",
        Path(".htpasswd").read_bytes(),
    )


@pytest.mark.parametrize("arguments", [("remove", "alice"), ("verify", "alice", "--stdin"), ("list",)])
def test_missing_file(arguments: tuple[str, ...]) -> None:
    """Only `add` makes a file: the others say that there is none and how to make it."""
    status, stdout, stderr = run(*arguments, "--file", "none", stdin="x")
    assert (status, stdout) == (2, "")
    hint = "Add an account: python -m htpasswd add --file none USER"
    assert stderr == f"Error: password file none: there is no such file. {hint}\n"
    assert not Path("none").exists()


@pytest.mark.parametrize("arguments", [("add", "a", "--stdin"), ("remove", "a"), ("verify", "a"), ("list",)])
def test_unreadable_file(arguments: tuple[str, ...]) -> None:
    """A directory in the place of the file is one line, exit status 2."""
    Path("folder").mkdir()
    status, stdout, stderr = run(*arguments, "--file", "folder", stdin="x")
    assert (status, stdout) == (2, "")
    assert stderr == "Error: password file folder: cannot be read: is a directory\n"


def test_remove_unknown_user() -> None:
    """Removing nobody is exit status 1, and the file stays as it was."""
    Path(".htpasswd").write_text(f"alice:{SHA}")
    assert run("remove", "bob") == (1, "", "Error: there is no user 'bob' in .htpasswd\n")
    assert Path(".htpasswd").read_text() == f"alice:{SHA}"


@pytest.mark.parametrize(
    ("user", "stdin", "status", "message"),
    [
        ("kamshory", "kamshory", 0, "the password of kamshory is right\n"),
        ("kamshory", "Kamshory", 1, "Error: wrong password for 'kamshory'\n"),
        ("kamshory", SHA, 1, "Error: wrong password for 'kamshory'\n"),
        ("Kamshory", "kamshory", 1, "Error: there is no user 'Kamshory' in .htpasswd\n"),
        (
            "old",
            "correct horse",
            1,
            "Error: .htpasswd, line 2: DES crypt is refused: it looks at 8 characters of a password\n",
        ),
        (
            "plain",
            "secret",
            1,
            f"Error: .htpasswd, line 3: {scheme('secret').reason}\n",
        ),
        ("kamshory", "", 2, "Error: the password is empty\n"),
    ],
)
def test_verify(user: str, stdin: str, *, status: int, message: str) -> None:
    """Right is 0; wrong, unknown and unusable are 1 with their reason; no password is 2."""
    Path(".htpasswd").write_text(f"kamshory:{SHA}\nold:{DES}\nplain:secret\n")
    code, stdout, stderr = run("verify", user, "--stdin", stdin=stdin)
    assert (code, stdout + stderr) == (status, message)


def test_verify_plaintext_when_allowed() -> None:
    """What a server with allow_plaintext takes can be checked too."""
    Path(".htpasswd").write_text("plain:secret\n")
    assert run("verify", "plain", "--stdin", "--allow-plaintext", stdin="secret")[0] == 0
    assert run("verify", "plain", "--stdin", "--allow-plaintext", stdin="Secret")[0] == 1


def test_list_lines() -> None:
    """Usable accounts go to standard output, one a line; the others to standard error; no hash to either."""
    Path(".htpasswd").write_text(f"# staff\nalice:{SHA}\nmüller:{APR1}\nold:{DES}\nx\n")
    assert run("list") == (
        0,
        "alice\tsha1\nmüller\tapr1\n",
        (
            ".htpasswd, line 4 (user 'old'): DES crypt is refused: it looks at 8 characters of a password\n"
            ".htpasswd, line 5: no colon between user and hash\n"
        ),
    )


def test_list_json() -> None:
    """The same as JSON, for scripts: one object for each line, usable or not, without a hash."""
    Path(".htpasswd").write_text(f"alice:{SHA}\nold:{DES}\n")
    status, stdout, stderr = run("list", "--json")
    assert (status, stderr) == (0, "")
    assert json.loads(stdout) == [
        {"line": 1, "user": "alice", "scheme": "sha1", "cost": 0, "usable": True, "reason": None},
        {
            "line": 2,
            "user": "old",
            "scheme": "des-crypt",
            "cost": 0,
            "usable": False,
            "reason": "DES crypt is refused: it looks at 8 characters of a password",
        },
    ]


def test_list_plaintext_when_allowed() -> None:
    """Plain text is listed by its scheme, never by its password."""
    Path(".htpasswd").write_text("plain:canary\n")
    assert run("list", "--allow-plaintext") == (0, "plain\tplain\n", "")
    assert "canary" not in "".join(map(str, run("list") + run("list", "--json")))


def test_list_nobody() -> None:
    """A file of comments lists nobody, and that is no error."""
    Path(".htpasswd").write_text("# nobody\n")
    assert run("list") == (0, "", "")
    assert run("list", "--json") == (0, "[]\n", "")


def test_help_shows_every_command() -> None:
    """Without arguments the program explains itself."""
    _, stdout, stderr = run()
    for command in ("add", "remove", "verify", "list"):
        assert re.search(rf"^  {command}  ", stdout + stderr, re.MULTILINE)


def test_examples_in_help_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line shown as an example works as it stands when pasted into a shell."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{python.parent}:{os.environ['PATH']}")
    answers = {"add": ("pass\n", "pass\n"), "verify": ("pass\n",), "list": (), "remove": ()}
    for command, typed in answers.items():
        text = run(command, "--help")[1]
        examples = [line.strip() for line in text.partition("Example:\n")[2].splitlines() if line.strip()]
        assert examples
        for example in reversed(examples):  # the piped one first, so that the typed password is the last
            asked = () if "|" in example else typed
            status, shown = run_on_terminal(["/bin/sh", "-c", example], *asked)
            assert status == 0, (example, shown)
    assert Path(".htpasswd").read_bytes() == b""


def test_mounted_under_another_program() -> None:
    """The commands work as a group of a larger program, and keep their examples."""
    parent = typer.Typer(rich_markup_mode=None)
    parent.callback()(lambda: None)
    parent.add_typer(app, name="passwd")
    result = CliRunner().invoke(
        parent, ["passwd", "add", "alice", "--stdin", "--cost", "4"], input="x", prog_name="wsbroker"
    )
    assert (result.exit_code, result.stdout) == (0, "added alice in .htpasswd\n")
    result = CliRunner().invoke(parent, ["passwd", "add", "--help"])
    assert "\n    python -m htpasswd add --file .htpasswd alice\n" in result.stdout


def test_unexpected_error_shows_no_values() -> None:
    """Even a fault of our own, with its traceback, shows neither the password nor its hash."""
    script = "from htpasswd import cli; cli.edit = None; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "add", "alice", "--stdin", "--cost", "4"],
        input="canary",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "TypeError" in done.stderr
    assert "canary" not in done.stderr
    assert "$2y$" not in done.stderr


def test_end_of_pipe() -> None:
    """A reader that closes the pipe early, like `head`, draws no traceback."""
    Path(".htpasswd").write_text("".join(f"user{number}:{SHA}\n" for number in range(20_000)))
    program = subprocess.Popen([*COMMAND, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert program.stdout is not None
    assert program.stdout.readline() == b"user0\tsha1\n"
    program.stdout.close()
    assert program.stderr is not None
    with program.stderr:
        assert b"Traceback" not in program.stderr.read()
    assert program.wait(PATIENCE) in {1, -signal.SIGPIPE}
