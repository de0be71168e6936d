"""Handshakes that are broken, mistaken or slow: each gets an exact answer that can be read, and harms nobody."""

import asyncio
import itertools
import logging
import socket

import pytest

from broker.errors import UNAUTHORIZED, Refused
from broker.frames import TEXT
from broker.handshake import Handshake
from tests.conftest import MakeBroker, until
from tests.wire.conftest import Advance, Dial, Knock
from tests.wire.hostile import GOOD, Turned, turned, welcome
from tests.wire.raw import Wire, basic, client_frame, parse_response, text, upgrade_request

MAX_ANSWER = 1024
"""PHP clients read the answer with one read of so many bytes."""


async def ask(wire: Wire, case: Turned) -> None:
    """Send a request in one piece and check the whole answer."""
    await wire.send(case.request)
    raw = await wire.to_end()
    response = parse_response(raw)
    assert len(raw) <= MAX_ANSWER
    assert response.status == case.status
    assert response.token == case.token
    assert set(response.json()) == {"error", "message"}
    assert response.headers["content-length"] == str(len(response.body))
    assert "close" in response.headers["connection"]
    assert "retry-after" not in response.headers
    assert response.headers.items() >= case.headers.items()
    for owed in ("www-authenticate", "allow", "sec-websocket-version"):
        assert (owed in response.headers) == (owed in case.headers)


@pytest.mark.parametrize("case", tuple(turned()), ids=lambda case: f"{case.status} {case.name}")
async def test_hostile_request_is_refused_exactly(
    case: Turned, make_broker: MakeBroker, knock: Knock, caplog: pytest.LogCaptureFixture
) -> None:
    """Status, token and headers are those of the mistake; it is counted once, and nothing in the broker fails."""
    broker = await make_broker()
    with caplog.at_level(logging.INFO, logger="broker"):
        wire = await knock(broker)
        await ask(wire, case)
        wire.close()
        await until(lambda: broker.core.census.open == 0)
    assert sum(broker.core.counters.rejected.values()) == 1
    assert broker.core.counters.opened == 0
    assert [record.levelno for record in caplog.records if record.levelno > logging.WARNING] == []


@pytest.mark.parametrize("request_bytes", [raw for _, raw in welcome()], ids=[name for name, _ in welcome()])
async def test_odd_but_right_request_is_welcome(request_bytes: bytes, make_broker: MakeBroker, knock: Knock) -> None:
    """What looks odd and is legal gets its 101: no extension, no subprotocol, at most 1024 bytes."""
    wire = await knock(await make_broker())
    response = await wire.upgrade(request_bytes)
    assert set(response.headers) <= {"date", "server", "upgrade", "connection", "sec-websocket-accept"}
    await wire.settled()


async def test_head_gets_headers_only(make_broker: MakeBroker, knock: Knock) -> None:
    """A HEAD request is answered 405 without a body (RFC 9110, 9.3.2)."""
    wire = await knock(await make_broker())
    await wire.send(GOOD.replace(b"GET", b"HEAD"))
    response = parse_response(await wire.to_end())
    assert (response.status, response.headers["allow"], response.body) == (405, "GET", b"")


@pytest.mark.parametrize("paths", [("/", "/ws", "/ws/")])
async def test_paths_mean_the_same(paths: tuple[str, ...], make_broker: MakeBroker, dial: Dial) -> None:
    """Clients of every accepted path meet on one topic, and none is redirected."""
    broker = await make_broker()
    wires = [await dial(broker, f"{path}?topic=t") for path in paths]
    for sender in wires:
        await sender.send_text("to all")
        for receiver in wires:
            if receiver is not sender:
                assert await receiver.frame() == text("to all")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("topic=m-1%20x/%C3%A9", "topic=m-1+x%2F%c3%a9"),
        ("topic=sms&unknown=1&flag", "flag&%74opic=sms"),
        ("channel=sms", "topic=sms"),
        ("channel=other&topic=sms", "topic=sms"),
        ("topic=", "topic"),
        ("", "unknown=1"),
        ("topic=%2B", "topic=%2b"),
    ],
)
async def test_spellings_of_one_topic_meet(first: str, second: str, make_broker: MakeBroker, dial: Dial) -> None:
    """Escapes, order and unknown parameters make no difference."""
    broker = await make_broker()
    one, two = await dial(broker, f"/ws?{first}"), await dial(broker, f"/ws?{second}")
    await one.send_text("hello")
    assert await two.frame() == text("hello")


async def test_similar_topics_stay_apart(make_broker: MakeBroker, dial: Dial) -> None:
    """Topics compare byte by byte: no number is equal to another spelling of it, no accent to its decomposition."""
    broker = await make_broker()
    names = ("10", "1e1", "010", "10%20", "+10", "10.0", "%C3%A9", "e%CC%81", "E%CC%81", "%EF%BF%BD", "")
    wires = [await dial(broker, f"/ws?topic={name}") for name in names]
    for name, wire in zip(names, wires, strict=True):
        await wire.send_text(name)
    for wire in wires:
        await wire.settled()  # the pong is the first it hears: nothing came before it


async def test_request_byte_by_byte_is_welcome(make_broker: MakeBroker, knock: Knock) -> None:
    """A request may come one byte at a time, and the first frame behind it as well."""
    broker = await make_broker()
    other = await knock(broker)
    await other.upgrade(GOOD)
    wire = await knock(broker)
    await wire.send(GOOD + client_frame(TEXT, b"early"), chop=1)
    assert (await wire.head()).status == 101
    assert await other.frame() == text("early")


@pytest.mark.parametrize("cut", [1, 3, len(GOOD) - 2, len(GOOD) - 1])
async def test_end_of_head_across_segments(cut: int, make_broker: MakeBroker, knock: Knock) -> None:
    """The blank line that ends the head is found wherever TCP cuts it."""
    wire = await knock(await make_broker())
    await wire.send(GOOD[:cut], chop=len(GOOD))
    await wire.upgrade(GOOD[cut:])
    await wire.settled()


async def test_frames_in_the_segment_of_the_request_are_relayed(
    make_broker: MakeBroker, dial: Dial, knock: Knock
) -> None:
    """A client need not wait for the 101: what comes with the request is relayed, remembered credentials or not."""
    broker = await make_broker()
    listener = await dial(broker)
    for credentials in ("bob:geheim", "bob:geheim", "alice:secret"):
        wire = await knock(broker)
        await wire.upgrade(upgrade_request("/ws?topic=t", credentials) + client_frame(TEXT, credentials.encode()))
        assert await listener.frame() == text(credentials)
        await wire.say_goodbye()


async def test_frames_while_the_password_is_verified_are_relayed(
    make_broker: MakeBroker, dial: Dial, knock: Knock
) -> None:
    """What a client sends and ends with FIN while its password is still being verified is relayed all the same."""
    broker = await make_broker()
    listener = await dial(broker)
    wire = await knock(broker)
    await wire.send(upgrade_request("/ws?topic=t", "bob:geheim"), chop=10_000)
    await wire.send(client_frame(TEXT, b"late"), chop=10_000)
    wire.fin()
    assert await listener.frame() == text("late")
    assert (await wire.head()).status == 101


async def test_flood_before_the_password_is_verified_waits_in_the_kernel(
    make_broker: MakeBroker, knock: Knock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger fills no memory of ours while a thread works on its password: we do not read on."""
    broker, verified = await make_broker(), asyncio.Event()

    async def verify(*_: object) -> None:
        await verified.wait()
        raise Refused(UNAUTHORIZED, "user or password is wrong")

    monkeypatch.setattr(broker.core.auth, "verify", verify)
    wire = await knock(broker)
    flood = asyncio.create_task(wire.send(GOOD + client_frame(TEXT, b"x" * 2**24)))
    await until(lambda: broker.core.transients)
    (handshake,) = broker.core.transients
    assert isinstance(handshake, Handshake)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(handshake.rest) <= 2**19
    verified.set()
    await flood
    wire.fin()
    assert (await wire.response()).status == 401


async def test_request_that_trickles_is_timed_out(make_broker: MakeBroker, knock: Knock) -> None:
    """The time for the whole request runs from the connect: no byte on its way starts it anew (slowloris)."""
    broker = await make_broker(handshake_timeout="200ms")
    wire = await knock(broker)

    async def trickle() -> None:
        for byte in itertools.chain(GOOD[:-2], itertools.repeat(ord("x"))):
            await wire.send(bytes((byte,)))
            await asyncio.sleep(0.01)

    sending = asyncio.create_task(trickle())
    response = await wire.response()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert (response.status, response.token) == (408, "handshake_timeout")
    wire.close()
    await until(lambda: broker.core.census.open == 0)


async def test_silence_is_timed_out(make_broker: MakeBroker, knock: Knock) -> None:
    """Connections that say nothing are answered and closed; those that are open do not notice."""
    broker = await make_broker(handshake_timeout="200ms")
    talker = await knock(broker)
    await talker.upgrade(GOOD)
    for wire in [await knock(broker) for _ in range(5)]:
        assert (await wire.response()).status == 408
    assert broker.core.counters.rejected["handshake_timeout"] == 5
    await talker.settled()


async def test_refusal_of_a_huge_head_stays_readable(make_broker: MakeBroker, knock: Knock) -> None:
    """A client that pushes a megabyte of headers can read why it is refused, every time."""
    broker = await make_broker()
    request = b"GET /ws HTTP/1.1\r\nX-Long: " + b"l" * 2**20
    for _ in range(30):
        wire = await knock(broker)
        await wire.send(request)
        wire.fin()
        response = await wire.response()
        assert (response.status, response.token) == (431, "header_too_large")
        wire.close()
    await until(lambda: broker.core.census.open == 0)


@pytest.mark.parametrize("last_word", ["refusal", "Close"])
async def test_client_that_does_not_hang_up_is_cut(
    last_word: str, make_broker: MakeBroker, knock: Knock, clock: Advance
) -> None:
    """Once our last word is out, the other side has its time to end TCP, and no more: no descriptor lingers."""
    broker = await make_broker()
    wire = await knock(broker)
    if last_word == "refusal":
        await wire.send(GOOD.replace(b"GET", b"PUT"))
        assert (await wire.response()).status == 405
    else:
        await wire.upgrade(GOOD)
        await wire.say_goodbye()
    assert broker.core.census.open == 1
    clock(broker, 1.0)
    await wire.send(b"still here")
    assert broker.core.census.open == 1
    clock(broker, broker.settings.close_timeout)
    await until(lambda: broker.core.census.open == 0)


async def test_client_reset_before_it_was_accepted_passes_for_nobody(
    make_broker: MakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel no longer knows its address: it is not taken for a proxy on the Unix socket, whose word counts."""
    broker = await make_broker(trusted_proxies="unix")
    with caplog.at_level(logging.INFO, logger="broker"):
        sock = socket.create_connection(("127.0.0.1", broker.port))
        sock.sendall(upgrade_request("/ws?topic=t", "alice:wrong", "X-Forwarded-For: 192.0.2.66"))
        Wire(sock).reset()  # nothing was awaited: the broker has not accepted it yet
        await until(lambda: "phase=handshake" in caplog.text or "refused" in caplog.text)
    assert "192.0.2.66" not in caplog.text
    assert "address=unix" not in caplog.text


async def test_handshake_leaves_no_credential_and_no_payload_in_the_log(
    make_broker: MakeBroker, knock: Knock, caplog: pytest.LogCaptureFixture
) -> None:
    """With every logger at DEBUG no line holds a password, its encoding, or a payload."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="broker")
    broker = await make_broker()
    frames = client_frame(TEXT, b"payload-canary") + client_frame(0x83, b"payload-canary")
    for credentials in ("alice:secret", "alice:wrong-canary", "nobody:canary"):
        wire = await knock(broker)
        await wire.send(upgrade_request("/ws?topic=t", credentials) + frames)
        await wire.to_end()
        assert basic(credentials).removeprefix("Basic ") not in caplog.text
    assert "user=nobody" in caplog.text
    assert "canary" not in caplog.text
    assert "secret" not in caplog.text
