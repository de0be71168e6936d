"""The PHP publisher, the Java subscriber and their relatives work unchanged, with all their habits."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from broker import WSMessageBroker
from broker.deadlines import RESOLUTION
from broker.frames import BINARY, CLOSE, PING, PONG, TEXT
from broker.settings import Settings
from tests.conftest import MakeBroker, stored, until
from tests.wire.conftest import Advance, Dial, Knock
from tests.wire.family import (
    PHP_PONG,
    READ_SIZE,
    JavaClient,
    PhpClient,
    java_request,
    php_json,
    php_request,
    wsmb_frame,
)
from tests.wire.raw import CONTINUATION, Frame, Wire, basic, binary, client_frame, close_payload, pong, text

SMS = php_json("send-message", {"receiver": "+62812/34", "message": "Kode: 123456 € é 😀", "expiration": "1"})


# -- from the publisher to the subscriber


async def test_php_publisher_reaches_java_subscriber(make_broker: MakeBroker, knock: Knock) -> None:
    """One masked text frame, then FIN without Close: delivered byte for byte, and ended as 1006 without a complaint."""
    broker = await make_broker()
    java, php = JavaClient(await knock(broker)), PhpClient(await knock(broker))
    await java.connect(broker)
    assert await php.connect()
    await php.publish(SMS)
    assert await java.text() == SMS
    await until(lambda: broker.core.counters.closed["1006"] == 1)
    assert b"\\u20ac" in SMS
    assert b"+62812\\/34" in SMS


async def test_java_answer_reaches_php_callback(make_broker: MakeBroker, knock: Knock) -> None:
    """The answer comes on a connection of its own, to the callback topic, and is what the PHP client reads next."""
    broker = await make_broker()
    php, java = PhpClient(await knock(broker)), JavaClient(await knock(broker))
    assert await php.connect("/ws/?topic=cb%20/1")
    await java.connect(broker, "/ws?topic=cb+%2F1")
    await java.wire.send(client_frame(TEXT, b'{"response_code":"0000"}'))
    java.wire.close()
    assert await php.callback() == b'{"response_code":"0000"}'


async def test_sixty_publishers_that_hang_up_lose_nothing(make_broker: MakeBroker, knock: Knock) -> None:
    """Sixty connections that send one frame and close at once deliver sixty messages."""
    broker = await make_broker()
    java = JavaClient(await knock(broker))
    await java.connect(broker)
    sent = [b"%d" % number for number in range(60)]
    for payload in sent:
        php = PhpClient(await knock(broker))
        assert await php.connect()
        await php.publish(payload)
    assert [await java.text() for _ in sent] == sent


@pytest.mark.parametrize("size", [1, 125, 126, 40_000, 65_535, 65_536, 200_000])
async def test_every_length_encoding_of_the_originals(size: int, make_broker: MakeBroker, knock: Knock) -> None:
    """PHP's shortest encoding and WSMB's 64 bits at 65535 are both read; what comes out is the shortest."""
    broker = await make_broker()
    java, php, wsmb = [JavaClient(await knock(broker)) for _ in range(3)]
    await java.connect(broker)
    await php.connect(broker)
    await wsmb.connect(broker)
    payload = b"x" * size
    await php.wire.send(client_frame(TEXT, payload))
    assert await java.text() == payload
    await wsmb.wire.send(wsmb_frame(payload))
    assert await java.wire.frame() == binary(payload)


async def test_wsmb_examples_meet_at_the_root(make_broker: MakeBroker, knock: Knock) -> None:
    """They connect to `/` without a query and send binary JSON; `binary_as_text` hands it to text-only receivers."""
    broker = await make_broker(binary_as_text=True)
    java, wsmb = JavaClient(await knock(broker)), await knock(broker)
    await java.connect(broker, "/ws")
    await wsmb.upgrade(php_request("/", "alice:secret"))
    await wsmb.send(wsmb_frame(SMS))
    assert await java.text() == SMS
    await wsmb.send(client_frame(BINARY, SMS[:9], fin=False) + client_frame(CONTINUATION, SMS[9:]))
    assert await java.text() == SMS
    await wsmb.send(client_frame(BINARY, b"\xff\xfe"))
    assert await java.wire.frame() == binary(b"\xff\xfe")


async def test_binary_stays_binary_by_default(make_broker: MakeBroker, knock: Knock) -> None:
    """Without the setting nothing is reinterpreted."""
    broker = await make_broker()
    java, wsmb = JavaClient(await knock(broker)), await knock(broker)
    await java.connect(broker, "/ws")
    await wsmb.upgrade(php_request("/", "alice:secret"))
    await wsmb.send(wsmb_frame(SMS))
    assert await java.wire.frame() == binary(SMS)


@pytest.mark.parametrize(
    ("php", "java"),
    [
        ("/ws/?topic=m-1%20x%2F%C3%A9", "/ws?topic=m-1+x%2F%C3%A9"),  # RFC 3986 and form encoding
        ("/ws/?a=1&topic=sms&b=2", "/ws?b=2&topic=sms&a=1"),  # replaced in place, or out of a hash map
        ("/ws/?flag&topic=sms", "/?topic=sms&flag="),
        ("/?topic=sms", "/ws?channel=sms"),
        ("/ws/", "/?topic="),
    ],
)
async def test_spellings_of_both_clients_meet(php: str, java: str, make_broker: MakeBroker, knock: Knock) -> None:
    """However each writes path and query, the topic is the same."""
    broker = await make_broker()
    publisher, subscriber = PhpClient(await knock(broker)), JavaClient(await knock(broker))
    await subscriber.connect(broker, java)
    assert await publisher.connect(php)
    await publisher.publish(SMS)
    assert await subscriber.text() == SMS


@pytest.mark.parametrize("credentials", ["alice:secret", "bob:geheim"])
async def test_frame_in_the_segment_of_the_php_request(credentials: str, make_broker: MakeBroker, knock: Knock) -> None:
    """A request and a frame in one write, then FIN: delivered, before the password was ever remembered or after."""
    broker = await make_broker()
    java = JavaClient(await knock(broker))
    await java.connect(broker)
    wire = await knock(broker)
    await wire.send(php_request("/ws/?topic=sms", credentials) + client_frame(TEXT, SMS))
    wire.fin()
    assert await java.text() == SMS


# -- what the PHP client demands of the answer


async def test_answer_is_one_short_read(make_broker: MakeBroker, knock: Knock) -> None:
    """The 101 is whole in one read of 1024 bytes, with the two strings that the PHP client looks for, and no more."""
    broker = await make_broker()
    for credentials in ("alice:secret", "alice:secret", "bob:geheim"):  # verified, remembered, another
        php = PhpClient(await knock(broker))
        assert await php.connect(credentials=credentials)
        assert php.answer.endswith(b"\r\n\r\n")
        assert php.answer.startswith(b"HTTP/1.1 101 ")
        assert len(php.answer) <= 256 < READ_SIZE


async def test_nothing_follows_the_answer_while_it_settles(make_broker: MakeBroker, knock: Knock, dial: Dial) -> None:
    """What a busy topic publishes meanwhile is not in the read of the 101; answers to its own frames go out."""
    broker = await make_broker(settle_time="1h")
    publisher = await dial(broker, "/ws?topic=sms")
    wire = await knock(broker)
    await wire.send(php_request("/ws/?topic=sms", "alice:secret"))
    await until(lambda: broker.core.counters.opened == 2)
    for number in range(3):
        await publisher.send_text(f"held {number}")
    await publisher.settled()
    php = PhpClient(wire)
    php.answer = await asyncio.get_running_loop().sock_recv(wire.sock, READ_SIZE)
    assert php.answer.endswith(b"\r\n\r\n")
    await wire.settled()
    await wire.send(client_frame(CLOSE, close_payload(1000)))
    assert await wire.frames_to_end() == [
        *(text(f"held {number}") for number in range(3)),
        Frame(CLOSE, close_payload(1000)),
    ]


async def test_messages_held_while_settling_come_in_order(make_broker: MakeBroker, knock: Knock, dial: Dial) -> None:
    """What was published before and after the settle time reaches the new client in order, and nothing is lost."""
    broker = await make_broker(settle_time="50ms")
    publisher = await dial(broker, "/ws?topic=sms")
    java = JavaClient(await knock(broker))
    await java.connect(broker)
    expected = [b"%d" % number for number in range(200)]
    received: list[bytes] = []

    async def read() -> None:
        received.extend([await java.text() for _ in expected])

    reading = asyncio.create_task(read())
    for payload in expected:
        await publisher.send(client_frame(TEXT, payload))
        await asyncio.sleep(0.001)
    await reading
    assert received == expected


def test_settle_time_is_long_enough_for_php() -> None:
    """The default leaves 100 ms between the 101 and the first frame."""
    assert Settings().settle_time == 0.1


async def test_no_ping_while_php_may_wait(make_broker: MakeBroker, knock: Knock, clock: Advance) -> None:
    """The first ping comes 20 s after the handshake at the earliest, and pings are never empty."""
    broker = await make_broker()
    wires = [await knock(broker) for _ in range(20)]
    for wire in wires:
        await wire.upgrade(php_request("/ws/", "alice:secret"))
    clock(broker, 19.0)
    await until(lambda: broker.core.deadlines.ticked * RESOLUTION >= time.monotonic() + 18.5)
    for wire in wires:
        await wire.settled()  # its pong is the first that comes
    clock(broker, 7.0)
    for wire in wires:
        ping = await wire.frame()
        assert ping.first == PING
        assert ping.payload


async def test_empty_pong_counts_as_life(make_broker: MakeBroker, knock: Knock, clock: Advance) -> None:
    """A PHP listener that answers every ping with an empty pong stays; once it is silent it is given up with 3008."""
    broker = await make_broker()
    wire = await knock(broker)
    await wire.upgrade(php_request("/ws/", "alice:secret"))
    for _ in range(15):  # 15 times 26 s are more than `ping_timeout`
        clock(broker, 26.0)
        assert (await wire.frame()).first == PING
        await wire.send(PHP_PONG)
        await wire.settled()
    silent = 0
    while (frame := await _next_after(wire, broker, clock)).first == PING:
        silent += 1
    assert (frame.code, frame.reason.partition(":")[0]) == (3008, "ping_timeout")
    assert 10 <= silent <= 12


async def _next_after(wire: Wire, broker: WSMessageBroker, clock: Advance) -> Frame:
    clock(broker, 26.0)
    return await wire.frame()


async def test_empty_close_is_answered_with_a_code(make_broker: MakeBroker, knock: Knock) -> None:
    """No Close of ours is empty, even in answer to an empty one."""
    wire = await knock(await make_broker())
    await wire.upgrade(php_request("/ws/", "alice:secret"))
    await wire.send(client_frame(CLOSE))
    assert await wire.frames_to_end() == [Frame(CLOSE, close_payload(1000))]


@pytest.mark.parametrize("drop", [False, True])
async def test_empty_messages(drop: bool, make_broker: MakeBroker, knock: Knock) -> None:
    """Empty messages are relayed, or dropped and counted where PHP listens, fragmented ones as well."""
    broker = await make_broker(drop_empty_messages=drop)
    java, sender = JavaClient(await knock(broker)), JavaClient(await knock(broker))
    await java.connect(broker)
    await sender.connect(broker)
    await sender.wire.send(client_frame(TEXT) + client_frame(BINARY, fin=False) + client_frame(CONTINUATION))
    await sender.wire.send_text("full")
    expected = [text("full")] if drop else [text(""), binary(b""), text("full")]
    assert await java.wire.frames(len(expected)) == expected
    assert broker.core.counters.dropped["empty"] == (2 if drop else 0)


async def test_fragments_arrive_whole_and_uninterrupted(make_broker: MakeBroker, knock: Knock) -> None:
    """A message in fragments with a ping between comes out as one unmasked frame; the pong goes to its sender only."""
    broker = await make_broker()
    php, sender = PhpClient(await knock(broker)), JavaClient(await knock(broker))
    assert await php.connect()
    await sender.connect(broker)
    payload = b"long " * 8000
    first, ping = client_frame(TEXT, payload[:17], fin=False), client_frame(PING, b"between")
    await sender.wire.send(first + ping + client_frame(CONTINUATION, payload[17:]))
    assert await php.callback() == payload
    assert await sender.wire.frame() == pong(b"between")


# -- what the Java client demands


async def test_java_ping_is_echoed(make_broker: MakeBroker, knock: Knock) -> None:
    """Its empty ping of every 60 s is answered at once with an empty pong, while settling too."""
    broker = await make_broker(settle_time="1h")
    java = JavaClient(await knock(broker))
    await java.connect(broker)
    assert await java.ping() == pong(b"")


async def test_java_pong_is_no_event(make_broker: MakeBroker, knock: Knock) -> None:
    """A pong that echoes our ping is taken in silence."""
    broker = await make_broker()
    java = JavaClient(await knock(broker))
    await java.connect(broker)
    await java.wire.send(client_frame(PONG, b"wsbroker"))
    await java.wire.settled()


async def test_java_client_with_a_wrong_password_is_never_throttled(
    make_broker: MakeBroker, knock: Knock, clock: Advance
) -> None:
    """It tries again every 10 s for ever: each time 401, never 429; with the right password it is in at once."""
    broker = await make_broker()
    for _ in range(60):
        wire = await knock(broker)
        await wire.send(java_request("/ws?topic=sms", "alice:wrong", broker.port))
        assert (await wire.response()).status == 401
        wire.close()
        clock(broker, 10.0)
    java = JavaClient(await knock(broker))
    await java.connect(broker)


# -- how the original servers answered, and how this one must


@pytest.fixture
def family_accounts(tmp_path: Path) -> Path:
    """Accounts as the family ships them, and one whose password holds colons."""
    file = tmp_path / "family.htpasswd"
    pairs = (("kamshory", "kamshory"), ("user", "pass"), ("colon", "a:b:c"), ("é", "ü€"))
    file.write_text("".join(f"{user}:{stored(password)}\n" for user, password in pairs))
    return file


@pytest.mark.parametrize(
    "authorization",
    [
        basic("user:pass"),
        basic("kamshory:kamshory"),
        basic("user:pass").replace("Basic", "basic"),
        basic("colon:a:b:c"),
        basic("é:ü€"),
    ],
)
async def test_right_credentials_join(
    authorization: str, make_broker: MakeBroker, knock: Knock, family_accounts: Path
) -> None:
    """Good credentials get 101 and the topic: scheme in any case, colons in the password, UTF-8."""
    broker = await make_broker(password_file=str(family_accounts))
    wire, other = await knock(broker), await knock(broker)
    await wire.upgrade(php_request("/ws/", "user:pass").replace(basic("user:pass").encode(), authorization.encode()))
    await other.upgrade(php_request("/ws/", "user:pass"))
    await other.send_text("joined")
    assert await wire.frame() == text("joined")


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        basic("user:wrong"),
        basic("user:pass:junk"),
        basic("user:pas"),
        basic("userpass"),
        basic("colon:a"),
        "Basic !!!",
        "Bearer " + basic("user:pass").removeprefix("Basic "),
    ],
)
async def test_wrong_credentials_are_refused_before_the_upgrade(
    authorization: str | None, make_broker: MakeBroker, knock: Knock, family_accounts: Path
) -> None:
    """The PHP client takes 101 with a Close behind it for success: 401 and no upgrade, so that it reports 1102."""
    broker = await make_broker(password_file=str(family_accounts))
    line = f"Authorization: {basic('user:pass')}\r\n".encode()
    other = f"Authorization: {authorization}\r\n".encode() if authorization else b""
    wire = await knock(broker)
    await wire.send(php_request("/ws/", "user:pass").replace(line, other) + client_frame(TEXT, b"never"))
    response = await wire.response()
    assert (response.status, response.token) == (401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert broker.core.topics.received == 0


async def test_members_of_a_topic_are_connections(make_broker: MakeBroker, dial: Dial) -> None:
    """Two connections of one account both receive; the sender and the other topics do not."""
    broker = await make_broker()
    sender, twin, bob = [await dial(broker, credentials=who) for who in ("alice:secret", "alice:secret", "bob:geheim")]
    stranger = await dial(broker, "/ws?topic=other")
    await sender.send_text("to the topic")
    assert await twin.frame() == await bob.frame() == text("to the topic")
    for left_out in (sender, stranger):
        await left_out.settled()


async def test_frame_without_a_mask_is_refused(make_broker: MakeBroker, dial: Dial) -> None:
    """Close 1002, and nothing is relayed."""
    broker = await make_broker()
    wire, other = await dial(broker), await dial(broker)
    await wire.send(client_frame(TEXT, b"no mask", mask=None))
    (close,) = await wire.frames_to_end()
    assert (close.code, close.reason.partition(":")[0]) == (1002, "protocol_error")
    await other.settled()


async def test_close_with_a_reason_is_clean(make_broker: MakeBroker, dial: Dial) -> None:
    """The answer is unmasked and carries the code, and the broker ends TCP."""
    broker = await make_broker()
    wire = await dial(broker)
    await wire.send(client_frame(CLOSE, close_payload(1000, b"done")))
    assert await wire.frames_to_end() == [Frame(CLOSE, close_payload(1000))]
    await until(lambda: broker.core.counters.closed["1000"] == 1)


async def test_header_of_nearly_8_kib_is_accepted(make_broker: MakeBroker, knock: Knock) -> None:
    """Heads up to `max_header_size` pass; one byte more is 431."""
    broker = await make_broker()
    fixed = len(php_request("/ws/?", "alice:secret"))
    wire = await knock(broker)
    await wire.upgrade(php_request("/ws/?" + "p" * (8192 - fixed), "alice:secret"))
    wire = await knock(broker)
    await wire.send(php_request("/ws/?" + "p" * (8193 - fixed), "alice:secret"))
    assert (await wire.response()).status == 431


async def test_masks_of_any_value(make_broker: MakeBroker, knock: Knock) -> None:
    """Each client masks in its own way, with zeros too."""
    broker = await make_broker()
    java, sender = JavaClient(await knock(broker)), JavaClient(await knock(broker))
    await java.connect(broker)
    await sender.connect(broker)
    chance = random.Random(6455)
    for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", *(chance.randbytes(4) for _ in range(20))):
        await sender.wire.send(client_frame(TEXT, SMS, mask=mask))
        assert await java.text() == SMS
