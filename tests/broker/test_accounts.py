"""The password file as the broker follows it: taken over when it is whole, kept when it is no good."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from broker import WSMessageBroker
from broker.accounts import AccountFile
from broker.config import load_settings
from broker.metrics import Counters
from htpasswd.lines import Accounts
from tests.broker.conftest import Ask, Dial
from tests.conftest import ACCOUNTS, MakeBroker, stored, until
from tests.wire.raw import Wire, text, upgrade_request


class Follower:
    """An account file that is looked at once a second, as the broker does, and what it handed over."""

    def __init__(self, path: Path) -> None:
        self.now = 1000.0
        self.taken: list[Accounts] = []
        self.counters = Counters()
        self.file = AccountFile(path, self.counters, self.taken.append)

    def start(self) -> "Follower":
        self.file.start(self.now, allow_plaintext=False)
        return self

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += 1.0
            self.file.watch(self.now, allow_plaintext=False)

    @property
    def users(self) -> list[str]:
        """The users that are let in now."""
        return sorted(self.taken[-1]) if self.taken else []


@pytest.fixture
def lines(accounts: Path) -> str:
    """The accounts as they stand in the file."""
    return accounts.read_text()


@pytest.fixture
def save(accounts: Path) -> Callable[[str], object]:
    """Write the password file."""
    return accounts.write_text


@pytest.fixture
def follower(accounts: Path) -> Follower:
    return Follower(accounts).start()


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """Return the log lines of an event."""
    caplog.set_level("DEBUG", "broker")
    return lambda event: [record.getMessage() for record in caplog.records if record.getMessage().startswith(event)]


# -- taken over


def test_start_takes_the_accounts(follower: Follower) -> None:
    """The file is read once at start."""
    assert follower.users == sorted(ACCOUNTS)
    assert follower.file.usable
    assert follower.counters.reloads == {"ok": 1}


def test_watch_of_an_unchanged_file_reads_nothing(follower: Follower) -> None:
    """Looking is cheap: size, time and inode."""
    follower.look(100)
    assert len(follower.taken) == 1


def test_watch_takes_a_changed_file_at_the_second_look(follower: Follower, accounts: Path, lines: str) -> None:
    """Two looks in a row have to agree: nobody is still writing."""
    accounts.write_text(lines + f"carol:{stored('x')}\n")
    follower.look()
    assert follower.users == ["alice", "bob"]
    follower.look()
    assert follower.users == ["alice", "bob", "carol"]
    follower.look(10)
    assert len(follower.taken) == 2


def test_watch_takes_a_file_whose_time_went_back(follower: Follower, accounts: Path, lines: str) -> None:
    """An older file put in place is a change too, whatever its size."""
    accounts.write_text(lines.replace("alice", "carol"))
    os.utime(accounts, (1_000_000_000, 1_000_000_000))
    follower.look(2)
    assert follower.users == ["bob", "carol"]


def test_watch_takes_a_file_of_the_same_size_and_time_that_was_renamed_into_place(
    follower: Follower, accounts: Path, lines: str
) -> None:
    """An atomic save shows in the inode, when nothing else changed."""
    status = accounts.stat()
    fresh = accounts.with_name("fresh")
    fresh.write_text(lines.replace("alice", "carol"))
    os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
    fresh.rename(accounts)
    follower.look(2)
    assert follower.users == ["bob", "carol"]


def test_watch_while_somebody_writes_waits_until_the_file_is_whole(
    follower: Follower, accounts: Path, lines: str
) -> None:
    """Half a file is never taken, however long its writer needs."""
    whole = lines + f"carol:{stored('x')}\n"
    for part in range(10, len(whole), 20):
        accounts.write_text(whole[:part])
        os.utime(accounts, (part, part))
        follower.look()
    assert len(follower.taken) == 1
    accounts.write_text(whole)
    follower.look(2)
    assert follower.users == ["alice", "bob", "carol"]


def test_reload_reads_at_once(follower: Follower, accounts: Path, lines: str) -> None:
    """HUP does not wait for a second look, and the looks after it do not read again."""
    accounts.write_text(lines.replace("alice", "carol"))
    assert follower.file.reload(follower.now, allow_plaintext=False)
    assert follower.users == ["bob", "carol"]
    follower.look(5)
    assert len(follower.taken) == 2


def test_comments_only_is_deliberately_nobody(follower: Follower, accounts: Path) -> None:
    """Who writes a comment and nothing else wants to let nobody in."""
    accounts.write_text("# closed\n")
    follower.look(2)
    assert follower.users == []
    assert len(follower.taken) == 2
    assert follower.counters.reloads == {"ok": 2}


def test_unusable_line_is_named_and_refuses_its_user_only(
    accounts: Path, warnings: Callable[[str], list[str]], lines: str
) -> None:
    """The log says which line and why; the others come in."""
    accounts.write_text(lines + "carol:$2y$10$cutshort\ndave\n")
    follower = Follower(accounts).start()
    assert follower.users == ["alice", "bob"]
    first, second = warnings("account_unusable")
    assert "line 3 (user 'carol'): malformed bcrypt hash" in first
    assert "line 4: no colon" in second
    assert "cutshort" not in first


def test_duplicate_user_is_the_first_line_with_a_warning(
    accounts: Path, warnings: Callable[[str], list[str]], lines: str
) -> None:
    """The later line does not count."""
    accounts.write_text(lines + f"alice:{stored('other')}\n")
    follower = Follower(accounts).start()
    assert follower.taken[0]["alice"] == lines.splitlines()[0].partition(":")[2]
    (warning,) = warnings("account_unusable")
    assert "line 3 (user 'alice'): the same user stands in line 1, which wins" in warning


# -- kept


def break_file(accounts: Path, how: str) -> None:
    """Make a password file useless in one of many ways."""
    accounts.unlink()
    if how == "directory":
        accounts.mkdir()
    elif how != "missing":
        accounts.write_bytes(
            {"empty": b"", "blank": b"\n \n", "no usable line": b"alice:$9$x\n", "binary": b"\xff\xfe\0"}[how]
        )


HOW = ["missing", "directory", "empty", "blank", "no usable line", "binary"]


@pytest.mark.parametrize("how", HOW)
def test_useless_file_keeps_the_old_accounts_and_is_counted(
    follower: Follower, accounts: Path, how: str, warnings: Callable[[str], list[str]]
) -> None:
    """Whatever happened to the file, nobody is locked out by it."""
    break_file(accounts, how)
    follower.look(2)
    assert follower.users == ["alice", "bob"]
    assert len(follower.taken) == 1
    assert follower.counters.reloads == {"ok": 1, "error": 1}
    (warning,) = warnings("accounts_not_taken")
    assert str(accounts) in warning


@pytest.mark.parametrize("how", HOW)
def test_useless_file_is_warned_of_once_a_minute(
    follower: Follower, accounts: Path, how: str, warnings: Callable[[str], list[str]], lines: str
) -> None:
    """As long as the file is no good the log says so, at most once a minute, and stops when it is mended."""
    break_file(accounts, how)
    follower.look(150)
    assert len(warnings("accounts_not_taken")) == 3
    if accounts.is_dir():
        accounts.rmdir()
    accounts.write_text(lines)
    follower.look(180)
    assert len(warnings("accounts_not_taken")) == 3
    assert follower.counters.reloads["ok"] == 2


def test_useless_file_that_keeps_changing_is_warned_of_once_a_minute_too(
    follower: Follower, accounts: Path, warnings: Callable[[str], list[str]]
) -> None:
    """Something that truncates the file every few seconds does not fill the log."""
    for step in range(60):
        accounts.write_text("")
        os.utime(accounts, (step, step))
        follower.look(2)
    assert follower.users == ["alice", "bob"]
    assert 2 <= len(warnings("accounts_not_taken")) <= 3


@pytest.mark.parametrize("how", HOW)
def test_start_with_a_useless_file_refuses_everyone_and_recovers(
    accounts: Path, how: str, warnings: Callable[[str], list[str]], lines: str
) -> None:
    """The broker starts, says clearly that it lets nobody in, and takes the file once it is there."""
    break_file(accounts, how)
    follower = Follower(accounts).start()
    assert follower.taken == []
    assert not follower.file.usable
    assert "everyone is refused" in warnings("accounts_missing")[0]
    if accounts.is_dir():
        accounts.rmdir()
    accounts.write_text(lines)
    follower.look(2)
    assert follower.users == ["alice", "bob"]
    assert follower.file.usable


# -- through a broker


def looking(broker: WSMessageBroker, condition: Callable[[], object]) -> Callable[[], object]:
    """Let the broker look at its file with every tick instead of every second."""

    def check() -> object:
        broker._next_second = 0.0
        return condition()

    return check


@pytest.mark.both_loops
async def test_broker_closes_only_connections_whose_line_changed(
    make_broker: MakeBroker, dial: Dial, ask: Ask, save: Callable[[str], object], lines: str
) -> None:
    """A new password for alice is 3000 credentials_revoked for her connections; bob notices nothing."""
    broker = await make_broker()
    alices = [await dial(broker), await dial(broker, "other")]
    bobs = [await dial(broker, "t", "bob:geheim") for _ in range(2)]
    save(lines.split("\n")[1] + f"\nalice:{stored('fresh')}\n")
    await until(looking(broker, lambda: broker.core.census.by_user["alice"] == 0))
    for wire in alices:
        frame = await wire.frame()
        assert frame.code == 3000
        assert frame.reason.startswith("credentials_revoked")
    await bobs[0].send_text("still here")
    assert await bobs[1].frame() == text("still here")
    assert (await ask(broker, upgrade_request())).status == 401
    await dial(broker, "t", "alice:fresh")


@pytest.mark.both_loops
async def test_broker_with_a_truncated_file_goes_on_as_before(
    make_broker: MakeBroker, dial: Dial, wires: list[Wire], save: Callable[[str], object]
) -> None:
    """An editor that failed to save costs nobody a connection, and the metric tells."""
    broker = await make_broker()
    alice = await dial(broker)
    save("")
    await until(looking(broker, lambda: broker.core.counters.reloads["error"]))
    await alice.settled()
    await (await dial(broker, "t", "bob:geheim")).settled()
    assert broker.core.census.by_user.counts == {"alice": 1, "bob": 1}


async def test_broker_with_comments_only_sends_everybody_away(
    make_broker: MakeBroker, dial: Dial, ask: Ask, save: Callable[[str], object]
) -> None:
    """Deliberately nobody: whoever is connected goes, nobody new comes in."""
    broker = await make_broker()
    alice = await dial(broker)
    save("# nobody\n")
    await until(looking(broker, lambda: broker.core.census.by_user.total == 0))
    assert (await alice.frame()).code == 3000
    assert (await ask(broker, upgrade_request())).status == 401


async def test_broker_with_allow_plaintext_takes_bare_passwords_and_forgets_them_without(
    make_broker: MakeBroker, dial: Dial, ask: Ask, save: Callable[[str], object], lines: str
) -> None:
    """Plain text only with the explicit setting: a reload that takes it away revokes such accounts."""
    save(lines + "carol:plainword\n")
    broker = await make_broker(allow_plaintext=True)
    carol = await dial(broker, "t", "carol:plainword")
    broker.reload_settings = lambda: load_settings(broker.settings.model_dump() | {"allow_plaintext": False})
    assert await broker.reload()
    assert (await carol.frame()).code == 3000
    assert (await ask(broker, upgrade_request("/ws", "carol:plainword"))).status == 401
