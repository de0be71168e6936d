"""Basic credentials become a user: remembered, shared, verified off the loop."""

import asyncio

import pytest

from broker import auth as auth_module
from broker.auth import worker_count
from broker.errors import INTERNAL_ERROR, Refused
from broker.frames import TEXT
from broker.request import Credentials
from htpasswd import scheme
from tests.broker.conftest import Ask, Dial
from tests.broker.door import ACCOUNTS, ALICE, BOB, WRONG, Door, Verifications, make_door
from tests.conftest import MakeBroker, stored, until
from tests.wire.raw import Wire, client_frame, text, upgrade_request

# -- right and wrong


async def test_verify_of_right_and_wrong_passwords(doors: list[Door]) -> None:
    """The account's own password passes, nothing else does: real hashes."""
    door = make_door(doors, {"alice": stored("secret"), "bob": stored("geheim")})
    assert await door.lets_in(ALICE)
    assert not await door.lets_in(WRONG)
    assert not await door.lets_in(Credentials("alice", "geheim"))
    assert not await door.lets_in(Credentials("carol", "secret"))
    assert not await door.lets_in(Credentials("alice", "sec\0ret"))
    assert not await door.lets_in(Credentials("", ""))
    assert door.counters.auth_failures["wrong"] == 5


async def test_verify_of_an_unknown_user_costs_what_the_costliest_line_costs(
    doors: list[Door], verifications: Verifications
) -> None:
    """An unknown user is verified against a dummy of the same scheme and cost: time tells nothing."""
    door = make_door(doors, {"alice": stored("secret", 4), "bob": stored("geheim", 5), "eve": "{SHA}" + "A" * 27 + "="})
    assert not await door.lets_in(Credentials("carol", "x"))
    ((_, dummy),) = verifications.calls
    assert (scheme(dummy).name, scheme(dummy).cost) == ("bcrypt", 5)
    assert dummy not in door.auth.accounts.values()


async def test_verify_without_any_account_refuses_everyone_at_a_price(
    doors: list[Door], verifications: Verifications
) -> None:
    """With nobody in the file, a guess is still verified against something."""
    door = make_door(doors, {})
    assert not await door.lets_in(ALICE)
    assert scheme(verifications.calls[0][1]).usable


# -- remembered


async def test_verified_password_is_remembered_and_not_verified_again(
    doors: list[Door], verifications: Verifications
) -> None:
    """Who was verified once is let in at once, and nobody else is."""
    door = make_door(doors)
    assert not door.auth.remembered(ALICE)
    assert await door.lets_in(ALICE)
    assert await door.lets_in(ALICE)
    assert len(verifications.calls) == 1
    assert not door.auth.remembered(WRONG)
    assert not door.auth.remembered(Credentials("alices", "ecret"))
    assert not door.auth.remembered(Credentials("bob", "secret"))


async def test_remembered_password_is_forgotten_after_auth_cache(
    doors: list[Door], verifications: Verifications
) -> None:
    """Memory ends with `auth_cache`, and takes no place after it."""
    door = make_door(doors, auth_cache="2m")
    await door.lets_in(ALICE)
    door.clock.turn(119.9)
    assert door.auth.remembered(ALICE)
    door.clock.turn(0.1)
    assert not door.auth.remembered(ALICE)
    assert await door.lets_in(ALICE)
    assert len(verifications.calls) == 2


async def test_auth_cache_off_verifies_each_time(doors: list[Door], verifications: Verifications) -> None:
    """0 remembers nobody."""
    door = make_door(doors, auth_cache=0)
    assert await door.lets_in(ALICE)
    assert await door.lets_in(ALICE)
    assert len(verifications.calls) == 2


async def test_wrong_password_is_never_remembered(doors: list[Door], verifications: Verifications) -> None:
    """A wrong password costs its price each time."""
    door = make_door(doors)
    for _ in range(3):
        assert not await door.lets_in(WRONG)
    assert len(verifications.calls) == 3


async def test_changed_hash_forgets_its_user_and_no_other(doors: list[Door], verifications: Verifications) -> None:
    """A new password in the file counts at once; the other accounts stay remembered."""
    door = make_door(doors)
    await door.lets_in(ALICE)
    await door.lets_in(BOB)
    door.auth.replace(ACCOUNTS | {"alice": "hash of fresh"})
    assert not door.auth.remembered(ALICE)
    assert not await door.lets_in(ALICE)
    assert await door.lets_in(Credentials("alice", "fresh"))
    assert door.auth.remembered(BOB)


async def test_removed_user_is_forgotten_and_back_again_is_remembered(
    doors: list[Door], verifications: Verifications
) -> None:
    """What is remembered is bound to the stored hash, not to the file's history."""
    door = make_door(doors)
    await door.lets_in(ALICE)
    door.auth.replace({"bob": ACCOUNTS["bob"]})
    assert not door.auth.remembered(ALICE)
    door.auth.replace(ACCOUNTS)
    assert door.auth.remembered(ALICE)


async def test_memory_of_credentials_is_bounded(
    doors: list[Door], verifications: Verifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(auth_module, "REMEMBERED", 2)
    users = [Credentials(name, name) for name in ("a", "b", "c")]
    door = make_door(doors, {user.user: f"hash of {user.password}" for user in users})
    for user in users:
        assert await door.lets_in(user)
    assert [door.auth.remembered(user) for user in users] == [False, True, True]


# -- shared


async def test_thousand_clients_of_one_account_cost_one_verification(
    doors: list[Door], verifications: Verifications
) -> None:
    """Whoever shows the same credentials meanwhile waits for the one verdict."""
    verifications.go_on.clear()
    door = make_door(doors)
    clients = [asyncio.create_task(door.lets_in(ALICE)) for _ in range(1000)]
    await until(lambda: verifications.inside == 1)
    verifications.go_on.set()
    assert all(await asyncio.gather(*clients))
    assert len(verifications.calls) == 1


async def test_thousand_clients_with_one_wrong_password_all_get_their_refusal(
    doors: list[Door], verifications: Verifications
) -> None:
    """A shared verdict is shared both ways, and each refusal is counted."""
    verifications.go_on.clear()
    door = make_door(doors)
    clients = [asyncio.create_task(door.lets_in(WRONG)) for _ in range(1000)]
    await until(lambda: verifications.inside == 1)
    verifications.go_on.set()
    assert not any(await asyncio.gather(*clients))
    assert len(verifications.calls) == 1
    assert door.counters.auth_failures["wrong"] == 1000


async def test_one_verification_per_account_is_under_way(
    doors: list[Door], verifications: Verifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guesses at one account wait for each other; another account does not wait for them."""
    monkeypatch.setattr(auth_module, "worker_count", lambda: 4)
    verifications.go_on.clear()
    door = make_door(doors)
    guesses = [asyncio.create_task(door.lets_in(Credentials("alice", f"guess {n}"))) for n in range(5)]
    bob = asyncio.create_task(door.lets_in(BOB))
    await until(lambda: verifications.inside == 2)
    assert sorted(password for password, _ in verifications.calls) == ["geheim", "guess 0"]
    verifications.go_on.set()
    assert await bob
    assert not any(await asyncio.gather(*guesses))
    assert len(verifications.calls) == 6
    assert door.auth._turns == {}
    assert door.auth._flights == {}


async def test_verifications_in_all_are_capped(
    doors: list[Door], verifications: Verifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many accounts at once use so many threads and no more."""
    monkeypatch.setattr(auth_module, "worker_count", lambda: 2)
    verifications.go_on.clear()
    users = [Credentials(f"user{n}", "x") for n in range(10)]
    door = make_door(doors, {user.user: "hash of x" for user in users})
    clients = [asyncio.create_task(door.lets_in(user)) for user in users]
    await until(lambda: verifications.inside == 2)
    verifications.go_on.set()
    assert all(await asyncio.gather(*clients))
    assert verifications.most_inside == 2


@pytest.mark.parametrize(("cores", "threads"), [(None, 1), (1, 1), (2, 1), (4, 3), (64, 4)])
def test_worker_count_leaves_a_core_to_the_relay(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, threads: int
) -> None:
    """At least one thread, at most four."""
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert worker_count() == threads


async def test_client_that_hangs_up_leaves_the_verification_to_the_others(
    doors: list[Door], verifications: Verifications
) -> None:
    """Cancelling one waiter ends neither the verification nor the others' wait."""
    verifications.go_on.clear()
    door = make_door(doors)
    first = asyncio.create_task(door.lets_in(ALICE))
    second = asyncio.create_task(door.lets_in(ALICE))
    await until(lambda: verifications.inside == 1)
    first.cancel()
    verifications.go_on.set()
    assert await second
    assert first.cancelled()
    assert len(verifications.calls) == 1


async def test_password_changed_while_it_is_verified_is_not_let_in(
    doors: list[Door], verifications: Verifications
) -> None:
    """A verdict about a line that is gone is void."""
    verifications.go_on.clear()
    door = make_door(doors)
    client = asyncio.create_task(door.lets_in(ALICE))
    await until(lambda: verifications.inside == 1)
    door.auth.replace(ACCOUNTS | {"alice": "hash of fresh"})
    verifications.go_on.set()
    assert not await client
    assert not door.auth.remembered(ALICE)


async def test_password_changed_between_verdict_and_answer_is_not_let_in(
    doors: list[Door], verifications: Verifications
) -> None:
    """Not even in the one turn of the loop between the two."""
    verifications.go_on.clear()
    door = make_door(doors)
    client = asyncio.create_task(door.lets_in(ALICE))
    await until(lambda: verifications.inside == 1)
    (flight,) = door.auth._flights.values()
    flight.add_done_callback(lambda _: door.auth.replace({}))
    verifications.go_on.set()
    assert not await client


async def test_verification_that_fails_is_told_without_what_it_quotes(
    doors: list[Door], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 for whoever waits, one log line with the place and not the text, and the next try begins anew."""

    def broken(password: str, *_: object, **__: object) -> bool:
        raise RuntimeError(password)

    monkeypatch.setattr(auth_module, "verify", broken)
    door = make_door(doors)
    for _ in range(2):
        with pytest.raises(Refused) as caught:
            await door.lets_in(ALICE)
        assert caught.value.refusal is INTERNAL_ERROR
    assert caplog.text.count("RuntimeError at broken:") == 2
    assert "secret" not in caplog.text
    assert door.auth._flights == {}
    assert door.auth._turns == {}


# -- through a broker


@pytest.mark.both_loops
async def test_verification_never_blocks_the_loop(
    make_broker: MakeBroker, dial: Dial, verifications: Verifications, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a password is verified for as long as it takes, others are served."""
    broker = await make_broker()
    broker.core.auth.replace(ACCOUNTS)
    alice = await dial(broker)
    verifications.go_on.clear()
    bob = asyncio.create_task(dial(broker, "t", "bob:geheim"))
    await until(lambda: verifications.inside == 1)
    for _ in range(10):
        await alice.settled()
    await dial(broker)
    assert not bob.done()
    verifications.go_on.set()
    await (await bob).settled()


@pytest.mark.both_loops
async def test_missing_and_malformed_credentials_cost_nothing(
    make_broker: MakeBroker, dial: Dial, ask: Ask, verifications: Verifications
) -> None:
    """They are 401 at once, without verification and without counting against the throttle."""
    broker = await make_broker(auth_failures=1)
    plain = upgrade_request().decode()
    line = next(line for line in plain.split("\r\n") if line.startswith("Authorization"))
    for replacement in ("", "Authorization: Basic !!\r\n", f"{line}\r\n{line}\r\n", "Authorization: Bearer x\r\n"):
        response = await ask(broker, plain.replace(line + "\r\n", replacement).encode())
        assert (response.status, response.token) == (401, "unauthorized")
        assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert verifications.calls == []
    assert broker.core.counters.auth_failures == {"missing": 1, "malformed": 3}


@pytest.mark.both_loops
async def test_client_that_hangs_up_while_it_is_verified_is_forgotten(
    make_broker: MakeBroker, dial: Dial, verifications: Verifications
) -> None:
    """A connection lost during its verification is counted out, and its verdict is kept for the next."""
    broker = await make_broker()
    broker.core.auth.replace(ACCOUNTS)
    verifications.go_on.clear()
    client = asyncio.create_task(dial(broker))
    await until(lambda: verifications.inside == 1)
    (handshake,) = broker.core.transients
    handshake.transport.abort()
    await until(lambda: broker.core.census.open == 0)
    with pytest.raises(EOFError):
        await client
    verifications.go_on.set()
    await until(lambda: broker.core.auth.remembered(ALICE))
    assert broker.core.census.unauthenticated == 0


@pytest.mark.both_loops
async def test_frames_sent_while_the_password_is_verified_are_relayed(
    make_broker: MakeBroker, dial: Dial, wires: list[Wire], verifications: Verifications
) -> None:
    """A client need not wait for the 101: what it sent meanwhile is relayed in order, although it hung up its side."""
    broker = await make_broker()
    broker.core.auth.replace(ACCOUNTS)
    bob = await dial(broker, "t", "bob:geheim")
    verifications.go_on.clear()
    alice = await Wire.connect(broker.port)
    wires.append(alice)
    await alice.send(upgrade_request() + client_frame(TEXT, b"with the request"))
    await until(lambda: verifications.inside == 1)
    await alice.send(client_frame(TEXT, b"while it waits"))
    alice.fin()
    verifications.go_on.set()
    assert await bob.frames(2) == [text("with the request"), text("while it waits")]
    assert (await alice.head()).status == 101
    await until(lambda: broker.core.census.open == 1)
