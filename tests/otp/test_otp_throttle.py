"""How often wrong passwords may be tried."""

import asyncio
import base64
import threading
from pathlib import Path

import bcrypt
import pytest

from htpasswd import hashes
from otp import accounts as accounts_module
from otp import throttle
from otp.accounts import Accounts, ThrottledError
from otp.throttle import Throttle, network


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Accounts:
    file = tmp_path / ".htpasswd"
    file.write_text("".join(f"{user}:{bcrypt.hashpw(b'right', bcrypt.gensalt(4)).decode()}\n" for user in ("app", "b")))
    return Accounts(file, clock=clock)


async def exhaust(accounts: Accounts, user: str = "app", address: str = "192.0.2.1") -> None:
    """Use up every wrong password of a minute."""
    for number in range(20):
        assert await accounts.user(basic(user, f"wrong {number}"), address) is None


async def test_twenty_wrong_passwords_a_minute(accounts: Accounts, clock: Clock) -> None:
    """The 21st is refused unchecked, a right one too, and says when it would be checked."""
    await exhaust(accounts)
    with pytest.raises(ThrottledError, match="in 3 s") as caught:
        await accounts.user(basic("app", "right"), "192.0.2.1")
    assert caught.value.retry_after == 3.0
    clock.now += 3.0
    assert await accounts.user(basic("app", "right"), "192.0.2.1") == "app"


async def test_others_are_not_throttled(accounts: Accounts) -> None:
    """Another user, and another address, may go on."""
    await exhaust(accounts)
    assert await accounts.user(basic("b", "right"), "192.0.2.1") == "b"
    assert await accounts.user(basic("app", "right"), "192.0.2.2") == "app"


async def test_remembered_is_never_throttled(accounts: Accounts, clock: Clock) -> None:
    """Who is remembered stays in while somebody guesses from the same address, as long as he keeps coming."""
    right = basic("app", "right")
    assert await accounts.user(right, "192.0.2.1") == "app"
    for _ in range(3):
        await exhaust(accounts)
        with pytest.raises(ThrottledError):
            await accounts.user(basic("app", "wrong"), "192.0.2.1")
        assert await accounts.user(right, "192.0.2.1") == "app"
        clock.now += 299.0


async def test_right_passwords_are_not_counted(accounts: Accounts, clock: Clock) -> None:
    """A client that is forgotten and comes back again and again is never throttled for it."""
    for _ in range(50):
        assert await accounts.user(basic("app", "right"), "192.0.2.1") == "app"
        clock.now += 0.001
        accounts._remembered.clear()


async def test_one_address_guessing_names(accounts: Accounts) -> None:
    """Ten times as many from one address end it for that address, whatever the names; IPv6 counts by network."""
    for number in range(200):
        assert await accounts.user(basic(f"name {number}", "x"), f"2001:db8::{number:x}") is None
    with pytest.raises(ThrottledError):
        await accounts.user(basic("b", "right"), "2001:db8::ffff")
    assert await accounts.user(basic("b", "right"), "2001:db8:0:1::1") == "b"


async def test_herd_of_clients_shares_one_check(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred clients of one account at once cost one check and are all let in; one who leaves spoils nothing."""
    checks: list[str] = []
    go = threading.Event()
    original = hashes.verify

    def counted(password: str, stored: str) -> bool:
        checks.append(stored)
        go.wait(10)
        return original(password, stored)

    monkeypatch.setattr(hashes, "verify", counted)
    herd = [asyncio.create_task(accounts.user(basic("app", "right"), "192.0.2.1")) for _ in range(100)]
    await asyncio.sleep(0)
    herd[0].cancel()
    go.set()
    assert await asyncio.gather(*herd[1:]) == ["app"] * 99
    assert len(checks) == 1


async def test_only_so_many_are_remembered(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the cap the one that was used longest ago is forgotten, and only costs a check."""
    checks: list[str] = []
    original = hashes.verify

    def counted(password: str, stored: str) -> bool:
        checks.append(stored)
        return original(password, stored)

    monkeypatch.setattr(hashes, "verify", counted)
    monkeypatch.setattr(accounts_module, "MAX_REMEMBERED", 1)
    for user, checked in (("app", 1), ("app", 1), ("b", 2), ("b", 2), ("app", 3)):
        assert await accounts.user(basic(user, "right")) == user
        assert len(checks) == checked


async def test_file_that_goes_away(accounts: Accounts, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Without its file the accounts stay as they were, and the log says so once."""
    accounts._path.unlink()
    for _ in range(3):
        clock.now += 1
        assert await accounts.user(basic("app", "right")) == "app"
    assert caplog.text.count("the accounts stay as they were") == 1


async def test_hash_that_changes_while_it_is_checked(
    accounts: Accounts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that is replaced while the old one is being checked lets nobody in any more."""
    begun, go = threading.Event(), threading.Event()

    def slow(_password: str, _stored: str) -> bool:
        begun.set()
        return go.wait(10)

    monkeypatch.setattr(hashes, "verify", slow)
    asking = asyncio.create_task(accounts.user(basic("app", "right")))
    await asyncio.to_thread(begun.wait, 10)
    accounts._hashes = {**accounts._hashes, "app": "another"}
    go.set()
    assert await asking is None


def test_flood_of_keys_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, and who is forgotten starts afresh."""
    monkeypatch.setattr(throttle, "MAX_KEYS", 3)
    kept = Throttle()
    assert kept.charge({"a": 1}, 0.0) == 0.0
    assert kept.charge({"a": 1}, 0.0) == 60.0
    for key in "bcd":
        assert kept.charge({key: 1}, 0.0) == 0.0
    assert kept.charge({"a": 1}, 0.0) == 0.0


def test_refused_charge_charges_nobody() -> None:
    """When one key has none left the others keep theirs."""
    kept = Throttle()
    assert kept.charge({"a": 1}, 0.0) == 0.0
    assert kept.charge({"a": 1, "b": 1}, 0.0) == 60.0
    assert kept.charge({"b": 1}, 0.0) == 0.0


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_network(address: str, counted: str) -> None:
    """IPv4 counts whole, IPv6 by its /64, anything else as it is."""
    assert network(address) == counted
