"""The command line: ``python -m htpasswd add|remove|verify|list``.

Exit status: 0 done, 1 no (wrong password, unknown user), 2 the command or the file is at fault.
"""

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from htpasswd.file import PasswordFileError, edit, read
from htpasswd.hashes import DEFAULT_COST, HIGHEST_COST, LOWEST_COST, hash_password
from htpasswd.hashes import verify as verify_hash
from htpasswd.lines import Entry, judge, name_fault

NO, FAULT = 1, 2

_LONGEST_LINE = 8192  # bytes read from standard input: far above any password, far below the memory

app = typer.Typer(
    name="htpasswd",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a plain traceback shows no values, so no password
    rich_markup_mode=None,  # plain text: the examples must survive copy and paste
)

File = Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="The password file.")]
User = Annotated[str, typer.Argument(metavar="USER", help="The user name.", show_default=False)]
Stdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input, one line.")]
Cost = Annotated[
    int,
    typer.Option(
        "--cost",
        min=LOWEST_COST,
        max=HIGHEST_COST,
        help="bcrypt cost; each step doubles the time of a check.",
    ),
]
Plaintext = Annotated[
    bool,
    typer.Option("--allow-plaintext", help="Take what does not look like a hash as a plain-text password."),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON array, the unusable lines included.")]

DEFAULT_FILE = Path(".htpasswd")


def _examples(*commands: str) -> str:
    """Return the end of a help text; the backspace keeps its lines from being filled."""
    return "\n  ".join(["\b\nExample:", *commands])


@app.callback(
    epilog=_examples(
        "python -m htpasswd add --file .htpasswd alice",
        "python -m htpasswd list --file .htpasswd",
    )
)
def group() -> None:
    """Add, remove, verify and list the users of a password file."""


@app.command(
    epilog=_examples(
        "python -m htpasswd add --file .htpasswd alice",
        "echo 'a long pass phrase' | python -m htpasswd add --file .htpasswd --stdin alice",
    )
)
def add(user: User, file: File = DEFAULT_FILE, stdin: Stdin = False, cost: Cost = DEFAULT_COST) -> None:
    """Add USER, or change the password.

    The file is created where there is none, with mode 0600. Comments, order and line ends of the others stay.
    """
    if fault := name_fault(user):
        _fail(fault, FAULT)
    try:
        stored = hash_password(_password(stdin=stdin, twice=True), cost=cost)
    except ValueError as error:
        _fail(str(error), FAULT)
    with _clear_errors(), edit(file, create=True) as document:
        new = document.set(user, stored)
    typer.echo(f"{'added' if new else 'updated'} {user} in {file}")


@app.command(epilog=_examples("python -m htpasswd remove --file .htpasswd alice"))
def remove(user: User, file: File = DEFAULT_FILE) -> None:
    """Remove USER."""
    with _clear_errors(), edit(file) as document:
        try:
            document.remove(user)
        except KeyError:
            _fail(f"there is no user {_quoted(user)} in {file}", NO)
    typer.echo(f"removed {user} from {file}")


@app.command(epilog=_examples("python -m htpasswd verify --file .htpasswd alice"))
def verify(
    user: User,
    file: File = DEFAULT_FILE,
    stdin: Stdin = False,
    allow_plaintext: Plaintext = False,
) -> None:
    """Check a password of USER.

    The exit status is 0 when it is right, 1 when it is wrong or there is no such user, 2 when the file is
    at fault.
    """
    with _clear_errors():
        entries = list(judge(read(file), allow_plaintext=allow_plaintext))
    password = _password(stdin=stdin, twice=False)
    found = next((entry for entry in entries if entry.user == user), None)
    if found is None:
        _fail(f"there is no user {_quoted(user)} in {file}", NO)
    if found.reason is not None:
        _fail(f"{file}, line {found.number}: {found.reason}", NO)
    if not verify_hash(password, found.stored, allow_plaintext=allow_plaintext):
        _fail(f"wrong password for {_quoted(user)}", NO)
    typer.echo(f"the password of {user} is right")


@app.command("list", epilog=_examples("python -m htpasswd list --file .htpasswd"))
def list_users(file: File = DEFAULT_FILE, as_json: Json = False, allow_plaintext: Plaintext = False) -> None:
    """Print users and hash schemes.

    One user per line, then a tab and the scheme; never a hash. Lines that cannot be used go to standard
    error, each with its reason.
    """
    with _clear_errors():
        entries = list(judge(read(file), allow_plaintext=allow_plaintext))
    if as_json:
        typer.echo(json.dumps([_as_json(entry) for entry in entries], indent=2))
        return
    for entry in entries:
        if entry.reason is None:
            typer.echo(f"{entry.user}\t{entry.scheme.name}")
        else:
            who = "" if entry.user is None else f" (user {_quoted(entry.user)})"
            typer.echo(f"{file}, line {entry.number}{who}: {entry.reason}", err=True)


def main() -> None:
    """Run the command line and exit."""
    app(prog_name="python -m htpasswd")


def _as_json(entry: Entry) -> dict[str, str | int | bool | None]:
    """Return what may be told of an entry."""
    return {
        "line": entry.number,
        "user": entry.user,
        "scheme": entry.scheme.name,
        "cost": entry.scheme.cost,
        "usable": entry.reason is None,
        "reason": entry.reason,
    }


def _password(*, stdin: bool, twice: bool) -> str:
    """Return the password from standard input or from the terminal; exit when there is none."""
    try:
        password = _from_stdin() if stdin else _from_terminal(twice=twice)
    except UnicodeDecodeError:
        _fail("the password is not valid UTF-8", FAULT)
    if not password:
        _fail("the password is empty", FAULT)
    return password


def _from_stdin() -> str:
    """Read one line, without its line end."""
    line = sys.stdin.buffer.readline(_LONGEST_LINE)
    return line.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")


def _from_terminal(*, twice: bool) -> str:
    """Ask without echo."""
    if not sys.stdin.isatty():  # getpass would fall back to reading it with echo
        _fail("no terminal to ask for the password; pipe it in with --stdin", FAULT)
    password = getpass.getpass("Password: ")
    if twice and getpass.getpass("Same password again: ") != password:
        _fail("the two passwords differ; nothing was changed", FAULT)
    return password


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn a failing password file into one line on standard error."""
    try:
        yield
    except PasswordFileError as error:
        _fail(str(error), FAULT)


def _fail(message: str, status: int) -> NoReturn:
    """Print one line on standard error and exit."""
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(status)


def _quoted(user: str) -> str:
    """Return a name as one printable, quoted word."""
    return repr(user)
