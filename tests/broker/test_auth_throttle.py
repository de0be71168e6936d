"""Wrong passwords are counted per user and address, and lock nobody out who is remembered."""

import asyncio

import pytest

from broker.config import load_settings
from tests.broker.conftest import Ask, Dial
from tests.broker.door import ALICE, Door, Verifications, make_door, throttled
from tests.conftest import MakeBroker, until
from tests.wire.raw import upgrade_request


async def test_throttle_after_20_wrong_passwords_refuses_without_verifying(
    doors: list[Door], verifications: Verifications
) -> None:
    """The 21st try of one user from one address within a minute is 429 with Retry-After, and costs nothing."""
    door = make_door(doors)
    for number in range(20):
        assert await throttled(door, "alice", password=f"guess {number}") is None
    assert await throttled(door, "alice") == pytest.approx(3.0)
    assert len(verifications.calls) == 20
    assert door.counters.auth_failures == {"wrong": 20, "throttled": 1}
    door.clock.turn(3.0)
    assert await throttled(door, "alice") is None
    assert await throttled(door, "alice") is not None


async def test_throttle_counts_user_and_address_together(doors: list[Door], verifications: Verifications) -> None:
    """Another user, or another address, has tries of its own."""
    door = make_door(doors)
    for number in range(20):
        await throttled(door, "alice", password=f"guess {number}")
    assert await throttled(door, "alice", "192.0.2.2") is None
    assert await throttled(door, "bob") is None


async def test_throttle_after_200_wrong_passwords_refuses_the_address(
    doors: list[Door], verifications: Verifications
) -> None:
    """Whatever users it names, one address has ten times as many tries as one user."""
    door = make_door(doors)
    for number in range(200):
        assert await throttled(door, f"user{number}") is None
    assert await throttled(door, "another") == pytest.approx(0.3)
    assert await throttled(door, "another", "192.0.2.2") is None


async def test_throttle_gives_the_try_back_when_the_password_was_right(
    doors: list[Door], verifications: Verifications
) -> None:
    """A thousand right passwords count as none."""
    door = make_door(doors, auth_cache=0)
    for _ in range(100):
        assert await door.lets_in(ALICE)
    for number in range(20):
        assert await throttled(door, "alice", password=f"guess {number}") is None


async def test_throttle_counts_a_burst_of_guesses_before_it_verifies_them(
    doors: list[Door], verifications: Verifications
) -> None:
    """A hundred guesses at once are twenty verified guesses and eighty refusals."""
    verifications.go_on.clear()
    door = make_door(doors)
    guesses = [asyncio.create_task(throttled(door, "alice", password=f"guess {n}")) for n in range(100)]
    await until(lambda: sum(guess.done() for guess in guesses) == 80)
    verifications.go_on.set()
    assert sum(wait is not None for wait in await asyncio.gather(*guesses)) == 80
    assert len(verifications.calls) == 20


async def test_throttle_locks_no_remembered_credential_out(doors: list[Door], verifications: Verifications) -> None:
    """An attacker at the same address, behind the same NAT, cannot keep the account's owner out."""
    door = make_door(doors)
    assert await door.lets_in(ALICE)
    for number in range(30):
        await throttled(door, "alice", password=f"guess {number}")
    assert await throttled(door, "alice") is not None
    assert await door.lets_in(ALICE)


async def test_throttle_lets_nobody_wait_who_shares_a_flight(doors: list[Door], verifications: Verifications) -> None:
    """Clients that share one verification use up one try."""
    verifications.go_on.clear()
    door = make_door(doors)
    clients = [asyncio.create_task(door.lets_in(ALICE)) for _ in range(300)]
    await until(lambda: verifications.inside == 1)
    verifications.go_on.set()
    assert all(await asyncio.gather(*clients))
    assert await throttled(door, "alice") is None


async def test_throttle_off_verifies_every_guess(doors: list[Door], verifications: Verifications) -> None:
    """0 is no limit."""
    door = make_door(doors, auth_failures=0)
    for number in range(300):
        assert await throttled(door, "alice", password=f"guess {number}") is None
    assert len(verifications.calls) == 300


async def test_configure_with_the_same_rate_keeps_the_throttle_and_with_another_starts_afresh(
    doors: list[Door], verifications: Verifications
) -> None:
    """A reload is no way around the throttle, a new rate counts at once."""
    door = make_door(doors, auth_failures=2)
    for number in range(2):
        await throttled(door, "alice", password=f"guess {number}")
    door.auth.configure(load_settings({"auth_failures": 2, "auth_cache": 1}))
    assert await throttled(door, "alice") is not None
    door.auth.configure(load_settings({"auth_failures": 3}))
    assert await throttled(door, "alice") is None


@pytest.mark.both_loops
async def test_attacker_locks_nobody_out_and_gets_429_with_retry_after(
    make_broker: MakeBroker, dial: Dial, ask: Ask
) -> None:
    """Twenty wrong passwords later the owner, at the same address, still comes in at once."""
    broker = await make_broker(auth_failures=3)
    await dial(broker)
    for number in range(3):
        response = await ask(broker, upgrade_request("/ws", f"alice:guess{number}"))
        assert (response.status, response.token) == (401, "unauthorized")
    refused = await ask(broker, upgrade_request("/ws", "alice:guess"))
    assert (refused.status, refused.token) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    await dial(broker)
    assert broker.core.counters.rejected["auth_throttled"] == 1
