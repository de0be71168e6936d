"""Who is let in: caps, rates, origins, proxies, and what happens when a verification takes too long."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from broker import WSMessageBroker
from broker import auth as auth_module
from broker import handshake as handshake_module
from broker.config import load_settings
from broker.errors import FULL, Refused
from broker.frames import TEXT
from broker.handshake import Handshake
from tests.broker.conftest import Ask, Dial
from tests.broker.doubles import Clock
from tests.conftest import MakeBroker, until
from tests.wire.raw import Response, Wire, client_frame, text, upgrade_request

pytestmark = pytest.mark.both_loops


def assert_refused(response: Response, status: int, token: str, *, wait: bool) -> None:
    """Check status, token, and whether the client is told when to come back."""
    assert (response.status, response.token) == (status, token)
    assert ("retry-after" in response.headers) is wait


async def leave(wire: Wire, broker: WSMessageBroker) -> None:
    """Close a WebSocket and wait until its place is free."""
    before = broker.core.census.open
    wire.close()
    await until(lambda: broker.core.census.open < before)


# -- caps


async def test_max_connections_refuses_the_next_until_one_leaves(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """503 full with Retry-After; a place that becomes free is free at once."""
    broker = await make_broker(max_connections=2)
    first, _ = await dial(broker), await dial(broker)
    assert_refused(await ask(broker, upgrade_request()), 503, "full", wait=True)
    assert broker.core.counters.rejected["max_connections"] == 1
    await until(lambda: broker.core.census.open == 2)
    await leave(first, broker)
    await dial(broker)


async def test_max_connections_per_user_counts_one_account(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """429 too_many_connections for this account, others come in."""
    broker = await make_broker(max_connections_per_user=1)
    alice = await dial(broker)
    response = await ask(broker, upgrade_request())
    assert_refused(response, 429, "too_many_connections", wait=True)
    assert "max_connections_per_user" in response.json()["message"]
    await dial(broker, "t", "bob:geheim")
    await leave(alice, broker)
    await dial(broker)


async def test_max_connections_per_address_counts_one_address(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """429 too_many_connections for this address, whatever the account."""
    broker = await make_broker(max_connections_per_address=1)
    alice = await dial(broker)
    response = await ask(broker, upgrade_request("/ws", "bob:geheim"))
    assert_refused(response, 429, "too_many_connections", wait=True)
    assert "max_connections_per_address" in response.json()["message"]
    await leave(alice, broker)
    await dial(broker, "t", "bob:geheim")


async def test_caps_hold_when_many_come_at_once(make_broker: MakeBroker, dial: Dial) -> None:
    """Clients whose passwords are verified together are counted one by one when they open."""
    broker = await make_broker(max_connections_per_user=3)
    wires = [await Wire.connect(broker.port) for _ in range(10)]
    for wire in wires:
        await wire.send(upgrade_request())
    statuses = [(await wire.head()).status for wire in wires]
    assert sorted(statuses) == [101] * 3 + [429] * 7
    for wire in wires:
        wire.close()


async def test_max_unauthenticated_counts_unfinished_handshakes_only(
    make_broker: MakeBroker, dial: Dial, ask: Ask, wires: list[Wire]
) -> None:
    """Silent connections take the places of handshakes, not those of open WebSockets."""
    broker = await make_broker(max_unauthenticated=2)
    for _ in range(3):
        await dial(broker)
    silent = [await Wire.connect(broker.port) for _ in range(2)]
    wires += silent
    await until(lambda: broker.core.census.unauthenticated == 2)
    response = await ask(broker, upgrade_request())
    assert_refused(response, 503, "full", wait=True)
    assert "max_unauthenticated" in response.json()["message"]
    silent[0].close()
    await until(lambda: broker.core.census.unauthenticated == 1)
    await dial(broker)
    await until(lambda: broker.core.census.unauthenticated == 1)


async def test_max_subscribers_per_topic_fills_one_topic(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """503 full names the setting; other topics have room."""
    broker = await make_broker(max_subscribers_per_topic=2)
    await dial(broker, "full")
    await dial(broker, "full")
    response = await ask(broker, upgrade_request("/ws?topic=full"))
    assert_refused(response, 503, "full", wait=True)
    assert "max_subscribers_per_topic" in response.json()["message"]
    await dial(broker, "other")


async def test_max_topics_refuses_a_new_topic_and_admits_to_the_old(
    make_broker: MakeBroker, dial: Dial, ask: Ask
) -> None:
    """A topic ends with its last connection, and makes room for another."""
    broker = await make_broker(max_topics=1)
    first = await dial(broker, "one")
    await dial(broker, "one")
    response = await ask(broker, upgrade_request("/ws?topic=two"))
    assert_refused(response, 503, "full", wait=True)
    assert "max_topics" in response.json()["message"]
    await leave(first, broker)
    assert (await ask(broker, upgrade_request("/ws?topic=two"))).status == 503


async def test_refused_client_is_counted_nowhere(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """A refusal leaves neither a topic nor a count behind."""
    broker = await make_broker(max_connections_per_user=1)
    await dial(broker, "one")
    await ask(broker, upgrade_request("/ws?topic=two"))
    assert set(broker.core.topics.by_name) == {"one"}
    await until(lambda: broker.core.census.open == 1)
    assert broker.core.census.by_user.total == broker.core.counters.opened == 1


async def test_connection_rate_lets_two_seconds_worth_in_at_once(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """429 rate_limited with the seconds to wait; a second later the next comes in."""
    broker = await make_broker(connection_rate=2)
    broker.core.clock = clock = Clock()
    for _ in range(4):
        await dial(broker)
    response = await ask(broker, upgrade_request())
    assert_refused(response, 429, "rate_limited", wait=True)
    assert response.headers["retry-after"] == "1"
    assert broker.core.counters.rejected["connection_rate"] == 1
    clock.turn(0.5)
    await dial(broker)


async def test_connection_rate_counts_each_address_behind_a_proxy(
    make_broker: MakeBroker, dial: Dial, ask: Ask
) -> None:
    """A trusted proxy's clients have a rate each; an IPv6 client has one for its /64."""
    broker = await make_broker(connection_rate=1, trusted_proxies="127.0.0.0/8")
    broker.core.clock = Clock()
    first, neighbour, other = "2001:db8:1:2::1", "2001:db8:1:2::ffff", "198.51.100.1"
    for _ in range(2):
        await dial(broker, "t", "alice:secret", f"X-Forwarded-For: {first}")
    refused = await ask(broker, upgrade_request("/ws", "alice:secret", f"X-Forwarded-For: {neighbour}"))
    assert refused.status == 429
    await dial(broker, "t", "alice:secret", f"X-Forwarded-For: {other}")


# -- proxies


async def test_trusted_proxy_speaks_for_its_client(
    make_broker: MakeBroker, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """Counts and log lines show the client's address, not the proxy's."""
    caplog.set_level("INFO", "broker")
    broker = await make_broker(trusted_proxies="127.0.0.1")
    await dial(broker, "t", "alice:secret", "X-Forwarded-For: 203.0.113.9, 198.51.100.7")
    assert broker.core.census.by_address.counts == {"198.51.100.7": 1}
    assert "address=198.51.100.7" in caplog.text


async def test_stranger_is_not_believed_about_its_address(make_broker: MakeBroker, dial: Dial) -> None:
    """Without trusted_proxies the header counts for nothing."""
    broker = await make_broker()
    await dial(broker, "t", "alice:secret", "X-Forwarded-For: 198.51.100.7")
    assert broker.core.census.by_address.counts == {"127.0.0.1": 1}


# -- origins


async def test_foreign_page_is_refused_and_a_listed_one_let_in(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """By default pages of the same host only; allowed_origins adds others."""
    broker = await make_broker(allowed_origins="https://app.example")
    response = await ask(broker, upgrade_request("/ws", "alice:secret", "Origin: https://evil.example"))
    assert_refused(response, 403, "forbidden_origin", wait=False)
    await dial(broker, "t", "alice:secret", "Origin: https://app.example")
    await dial(broker, "t", "alice:secret", "Origin: http://127.0.0.1")
    await dial(broker)


# -- time


async def test_request_that_is_late_is_told_so(make_broker: MakeBroker, wires: list[Wire]) -> None:
    """408 handshake_timeout for who begins and does not end, and for who says nothing."""
    broker = await make_broker(handshake_timeout="200ms")
    for begun in (b"", b"GET /ws HTTP/1.1\r\nHost: x\r\n"):
        wire = await Wire.connect(broker.port)
        wires.append(wire)
        await wire.send(begun)
        assert_refused(await wire.response(), 408, "handshake_timeout", wait=False)
    assert broker.core.census.unauthenticated == 0


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold every verification up until the event is set."""
    go_on = threading.Event()
    monkeypatch.setattr(auth_module, "verify", lambda *_, **__: go_on.wait(20))
    yield go_on
    go_on.set()


async def test_verification_that_waits_too_long_is_given_up(
    make_broker: MakeBroker, ask: Ask, held_up: threading.Event, dial: Dial
) -> None:
    """503 full with Retry-After: the queue of passwords is too long. Its verdict is kept for the next try."""
    broker = await make_broker(handshake_timeout="200ms")
    assert_refused(await ask(broker, upgrade_request()), 503, "full", wait=True)
    assert broker.core.counters.rejected["verification"] == 1
    held_up.set()
    await until(lambda: not broker.core.auth._flights)
    await dial(broker)


async def test_refused_client_that_never_hangs_up_is_cut(
    make_broker: MakeBroker, wires: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal stays readable for a while, and then its descriptor is free again."""
    monkeypatch.setattr(handshake_module, "REFUSAL_PATIENCE", 0.2)
    broker = await make_broker()
    wire = await Wire.connect(broker.port)
    wires.append(wire)
    await wire.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await wire.response()).status == 404
    await until(lambda: broker.core.census.open == 0)


async def test_refusal_of_a_huge_request_can_be_read(make_broker: MakeBroker, wires: list[Wire]) -> None:
    """The answer to 4 MB of header is not lost in a reset."""
    broker = await make_broker()
    for _ in range(5):
        wire = await Wire.connect(broker.port)
        wires.append(wire)
        await wire.send(b"GET /ws HTTP/1.1\r\nX: " + b"x" * 4_000_000)
        assert_refused(await wire.response(), 431, "header_too_large", wait=False)


# -- faults


async def test_fault_of_ours_is_500_for_one_client(
    make_broker: MakeBroker, dial: Dial, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 internal_error without a traceback: the next client is served."""

    def broken(*_: object) -> None:
        raise RuntimeError("alice:secret")

    broker = await make_broker()
    with monkeypatch.context() as patch:
        patch.setattr(handshake_module, "check_path", broken)
        assert_refused(await ask(broker, upgrade_request()), 500, "internal_error", wait=False)
    assert "RuntimeError at broken:" in caplog.text
    assert "secret" not in caplog.text
    await dial(broker)


async def test_fault_in_the_verification_is_500_for_one_client(
    make_broker: MakeBroker, dial: Dial, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A hash that the library chokes on is one user's 500, not a hanging client."""

    def broken(password: str, *_: object, **__: object) -> bool:
        raise RuntimeError(password)

    broker = await make_broker()
    with monkeypatch.context() as patch:
        patch.setattr(auth_module, "verify", broken)
        assert_refused(await ask(broker, upgrade_request()), 500, "internal_error", wait=False)
    assert "RuntimeError at broken:" in caplog.text
    assert "secret" not in caplog.text
    await dial(broker)


async def test_client_that_hangs_up_before_its_request_is_forgotten(make_broker: MakeBroker) -> None:
    """A port scan leaves nothing behind."""
    broker = await make_broker()
    for begun in (b"", b"GET", upgrade_request()[:-2]):
        for end in (Wire.close, Wire.reset):
            wire = await Wire.connect(broker.port)
            await wire.send(begun)
            end(wire)
    await until(lambda: broker.core.census.open == 0 and broker.core.census.unauthenticated == 0)
    assert not broker.core.transients


# -- the new limits of a reload


async def test_reload_of_caps_counts_for_who_comes_next(make_broker: MakeBroker, dial: Dial, ask: Ask) -> None:
    """A lower cap cuts nobody who is in, and refuses who comes."""
    broker = await make_broker()
    alice, bob = await dial(broker), await dial(broker, "t", "bob:geheim")
    fewer = broker.settings.model_dump() | {"max_connections_per_address": 1}
    broker.reload_settings = lambda: load_settings(fewer)
    assert await broker.reload()
    assert (await ask(broker, upgrade_request())).status == 429
    await alice.send_text("still here")
    assert await bob.frame() == text("still here")


async def test_bytes_handed_over_in_spite_of_the_pause_are_kept_in_order(
    make_broker: MakeBroker, dial: Dial, wires: list[Wire], held_up: threading.Event
) -> None:
    """A transport may have read already when it is told to pause: nothing of it is lost."""
    broker = await make_broker()
    held_up.set()
    listener = await dial(broker)
    held_up.clear()
    wire = await Wire.connect(broker.port)
    wires.append(wire)
    await wire.send(upgrade_request("/ws?topic=t", "bob:geheim") + client_frame(TEXT, b"one"))
    await until(lambda: broker.core.auth._flights)
    (handshake,) = broker.core.transients
    assert isinstance(handshake, Handshake)
    handshake.data_received(client_frame(TEXT, b"two"))
    assert handshake.eof_received()
    held_up.set()
    assert await listener.frames(2) == [text("one"), text("two")]


async def test_verdict_about_a_client_that_hangs_up_in_that_moment_is_said_to_nobody(
    make_broker: MakeBroker, wires: list[Wire]
) -> None:
    """Neither a 101 nor a refusal is written to a line that is closing."""
    broker = await make_broker()
    wire = await Wire.connect(broker.port)
    wires.append(wire)
    await until(lambda: broker.core.transients)
    (handshake,) = broker.core.transients
    assert isinstance(handshake, Handshake)
    handshake.transport.abort()
    handshake._open("alice", b"101", None)
    handshake._refuse(Refused(FULL, "full"))
    await until(lambda: broker.core.census.open == 0)
    assert broker.core.counters.opened == 0
    assert broker.core.census.unauthenticated == 0


async def test_open_that_meets_the_end_of_the_broker_is_refused(
    make_broker: MakeBroker, ask: Ask, held_up: threading.Event
) -> None:
    """Who is being verified when the drain begins gets 503 draining, not a socket that is cut."""
    broker = await make_broker()
    client = asyncio.create_task(ask(broker, upgrade_request()))
    await until(lambda: broker.core.auth._flights)
    broker.core.draining = True
    held_up.set()
    assert_refused(await client, 503, "draining", wait=True)
