"""The broker as a whole: where it listens, what a reload changes, how it ends."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from broker import WSMessageBroker
from broker import drain as drain_module
from broker import server as server_module
from broker.config import load_settings
from broker.frames import CLOSE
from broker.listener import ListenError, bind_hosts
from tests.broker.conftest import Ask, Dial, http
from tests.broker.doubles import Clock
from tests.conftest import MakeBroker, until
from tests.wire.raw import Frame, Wire, client_frame, text, upgrade_request

both_loops = pytest.mark.both_loops


async def connect_to(address: Any, family: int, wires: list[Wire]) -> Wire:
    """Connect to any kind of address and upgrade."""
    sock = socket.socket(family)
    sock.setblocking(False)
    wire = Wire(sock)
    wires.append(wire)
    await asyncio.get_running_loop().sock_connect(sock, address)
    await wire.upgrade(upgrade_request())
    return wire


async def stay(wire: Wire, last_words: str = "") -> list[Frame]:
    """Listen until the broker says Close, say something more if wanted, answer the Close, and return what was heard."""
    frames: list[Frame] = []
    while not frames or frames[-1].first != CLOSE:
        frames.append(await wire.frame())
    if last_words:
        await wire.send_text(last_words)
    await wire.send(client_frame(CLOSE, frames[-1].payload[:2]))
    assert await wire.to_end() == b""
    return frames


# -- where it listens


@both_loops
async def test_localhost_is_reachable_on_both_loopbacks(
    make_broker: MakeBroker, free_port: int, wires: list[Wire]
) -> None:
    """Clients of 127.0.0.1 and of ::1 meet on one topic."""
    broker = await make_broker(host="localhost", port=free_port)
    assert broker.addresses[0] == f"127.0.0.1:{free_port}"
    if len(broker.addresses) == 1:
        pytest.skip("this machine has no ::1")
    assert broker.addresses[1] == f"[::1]:{free_port}"
    four = await connect_to(("127.0.0.1", free_port), socket.AF_INET, wires)
    six = await connect_to(("::1", free_port), socket.AF_INET6, wires)
    await four.send_text("hello")
    assert await six.frame() == text("hello")
    assert broker.core.census.by_address.counts == {"127.0.0.1": 1, "::/64": 1}


@both_loops
async def test_unix_socket_and_tcp_clients_meet(
    make_broker: MakeBroker, dial: Dial, wires: list[Wire], tmp_path: Path
) -> None:
    """A local service may come by the Unix socket; the file goes with the broker."""
    path = str(tmp_path / "broker.sock")
    broker = await make_broker(socket_path=path)
    local = await connect_to(path, socket.AF_UNIX, wires)
    remote = await dial(broker)
    await local.send_text("hello")
    assert await remote.frame() == text("hello")
    assert broker.addresses[-1] == path
    assert broker.core.census.by_address["unix"] == 1
    local.close()
    remote.close()
    await broker.stop()
    assert not await asyncio.to_thread(os.path.exists, path)


async def test_unix_socket_alone_needs_no_port(make_broker: MakeBroker, wires: list[Wire], tmp_path: Path) -> None:
    """With `host` empty nothing listens on TCP."""
    path = str(tmp_path / "broker.sock")
    broker = await make_broker(host=[], socket_path=path)
    assert (broker.port, broker.addresses) == (0, [path])
    await (await connect_to(path, socket.AF_UNIX, wires)).settled()


async def test_urls_tell_where_it_is(make_broker: MakeBroker, free_port: int) -> None:
    """`url` and `admin_url` can be handed to a client; an admin listener that is off has none."""
    broker = await make_broker(admin_port=free_port, path="/relay")
    assert broker.url == f"ws://127.0.0.1:{broker.port}/relay"
    assert broker.admin_url == f"http://127.0.0.1:{free_port}"
    assert broker.admin_port == free_port
    other = await make_broker()
    assert (other.admin_url, other.admin_port) == ("", 0)


async def test_admin_listener_on_ipv6_has_brackets_in_its_url(make_broker: MakeBroker, free_port: int) -> None:
    """RFC 3986, 3.2.2."""
    if len(bound := bind_hosts(["localhost"], 0)) == 1:
        pytest.skip("this machine has no ::1")
    for each in bound:
        each.close()
    broker = await make_broker(admin_host="::1", admin_port=free_port)
    assert broker.admin_url == f"http://[::1]:{free_port}"


@both_loops
async def test_loop_name_is_that_of_the_loop(make_broker: MakeBroker) -> None:
    """`build_info` tells uvloop and asyncio apart."""
    broker = await make_broker()
    assert broker.loop_name == type(asyncio.get_running_loop()).__module__.partition(".")[0]
    assert broker.loop_name in {"uvloop", "asyncio"}


@both_loops
@pytest.mark.parametrize("taken", ["port", "admin_port", "socket_path"])
async def test_start_where_somebody_listens_fails_and_leaves_nothing(
    accounts: Path, free_port: int, taken: str, tmp_path: Path
) -> None:
    """Whichever of its places is taken, none of the others stays bound."""
    place: Any = str(tmp_path / "broker.sock") if taken == "socket_path" else free_port
    with socket.socket(socket.AF_UNIX if taken == "socket_path" else socket.AF_INET) as other, socket.socket() as probe:
        other.bind(place if taken == "socket_path" else ("127.0.0.1", place))
        other.listen()
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        values = {"port": port, "admin_port": 0, "socket_path": "", "host": "127.0.0.1"} | {taken: place}
        broker = WSMessageBroker(password_file=str(accounts), **values)
        with pytest.raises(ListenError, match="listens there"):
            await broker.start()
        await broker.stop()
        if taken != "port":
            for each in bind_hosts(["127.0.0.1"], port):
                each.close()


# -- relaying, over real sockets


@both_loops
async def test_publish_and_reset_loses_nothing_while_the_topic_is_busy(make_broker: MakeBroker, dial: Dial) -> None:
    """A client that sends one message and drops TCP at once is relayed, though unread bytes make it an RST."""
    broker = await make_broker()
    listener = await dial(broker, "t", "bob:geheim")
    chatter = await dial(broker)
    expected = set()
    for number in range(100):
        sender = await dial(broker)
        await chatter.send_text(f"noise {number}")
        await sender.send_text(f"message {number}")
        (sender.reset if number % 2 else sender.close)()
        expected |= {f"noise {number}".encode(), f"message {number}".encode()}
    assert {(await listener.frame()).payload for _ in range(200)} == expected


@both_loops
async def test_slow_reader_is_closed_and_the_others_lose_nothing(make_broker: MakeBroker, dial: Dial) -> None:
    """A reader that never reads is 1013; its neighbour gets every message in order."""
    broker = await make_broker(max_message_size="64KiB", max_queued_bytes="256KiB")
    slow = await dial(broker, "t", "bob:geheim", receive_buffer=4096)
    reader = await dial(broker, "t", "bob:geheim")
    sender = await dial(broker)
    number = 0
    while not broker.core.counters.slow_consumers:
        number += 1
        await sender.send_text(f"{number:05}" + "x" * 60_000)
        assert (await reader.frame()).payload[:5] == f"{number:05}".encode()
    assert broker.core.counters.closed == {"1013": 1}
    frames = await slow.frames_to_end()
    assert (frames[-1].code, frames[-1].reason.split(":")[0]) == (1013, "slow_consumer")
    assert [int(frame.payload[:5]) for frame in frames[:-1]] == list(range(1, len(frames)))


@both_loops
async def test_settling_client_gets_what_was_published_meanwhile(make_broker: MakeBroker, dial: Dial) -> None:
    """With a real clock: what is sent within `settle_time` of the 101 arrives after it, in order."""
    broker = await make_broker(settle_time="50ms")
    sender = await dial(broker)
    reader = await dial(broker, "t", "bob:geheim")
    for number in range(5):
        await sender.send_text(str(number))
    assert await reader.frames(5) == [text(str(number)) for number in range(5)]


@both_loops
async def test_flood_on_one_connection_lets_others_through(make_broker: MakeBroker, dial: Dial) -> None:
    """While one client's megabytes of tiny frames wait their turn, a stranger's ping is answered."""
    broker = await make_broker()
    flooder = await dial(broker, "flood")
    pair = await dial(broker), await dial(broker, "t", "bob:geheim")
    flood = asyncio.create_task(flooder.send(client_frame(0x81, b"x") * 300_000))
    for number in range(20):
        await pair[0].send_text(str(number))
        assert await pair[1].frame() == text(str(number))
    await flood
    await flooder.settled()
    assert broker.core.topics.received == 300_000 + 20


# -- reloading


@both_loops
async def test_reload_takes_over_what_can_be_changed_and_names_what_cannot(
    make_broker: MakeBroker, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """HUP takes the new limits, warns of what needs a restart, and keeps everyone connected."""
    broker = await make_broker()
    alice = await dial(broker)
    wanted = broker.settings.model_dump() | {"port": 1, "max_topics": 7, "log_level": "warning"}
    broker.reload_settings = lambda: load_settings(wanted)
    assert await broker.reload()
    assert broker.core.topics.max_topics == 7
    assert broker.settings.port == 0
    assert "setting_needs_restart setting=port" in caplog.text
    assert "setting=max_topics" not in caplog.text
    await alice.settled()


async def test_reload_of_bad_settings_keeps_the_old_and_reloads_the_rest(
    make_broker: MakeBroker, caplog: pytest.LogCaptureFixture, accounts: Path
) -> None:
    """The fault is logged with its place and counted; the accounts are read all the same."""
    broker = await make_broker()
    broker.reload_settings = lambda: load_settings({"prot": 1})
    assert not await broker.reload()
    assert "settings_not_taken" in caplog.text
    assert "unknown setting prot; did you mean port?" in caplog.text
    assert broker.core.counters.reloads == {"ok": 2, "error": 1}


@both_loops
async def test_reload_closes_pages_whose_origin_is_no_longer_listed(make_broker: MakeBroker, dial: Dial) -> None:
    """3003 forbidden for the page that came in by the list; clients without origin and own pages stay."""
    broker = await make_broker(allowed_origins="https://one.example,https://two.example")
    gone = await dial(broker, "t", "alice:secret", "Origin: https://one.example")
    kept = [
        await dial(broker, "t", "alice:secret", "Origin: https://two.example"),
        await dial(broker, "t", "alice:secret", "Origin: http://127.0.0.1"),
        await dial(broker),
    ]
    wanted = broker.settings.model_dump() | {"allowed_origins": ["https://two.example"]}
    broker.reload_settings = lambda: load_settings(wanted)
    assert await broker.reload()
    frame = await gone.frame()
    assert (frame.code, frame.reason.split(":")[0]) == (3003, "forbidden")
    for wire in kept:
        await wire.settled()


# -- descriptors


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A descriptor limit that the test can change."""
    limits = [1024]
    monkeypatch.setattr(server_module, "descriptor_limit", lambda: limits[0])
    return limits


async def test_max_connections_is_what_the_descriptors_allow(
    make_broker: MakeBroker, limit: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """By default the limit less 64; a setting above it is cut with a warning."""
    assert (await make_broker()).core.census.max_connections == 1024 - 64
    assert (await make_broker(max_connections=100)).core.census.max_connections == 100
    assert "max_connections_cut" not in caplog.text
    assert (await make_broker(max_connections=5000)).core.census.max_connections == 1024 - 64
    assert "max_connections_cut wanted=5000 possible=960" in caplog.text
    limit[0] = 10
    assert (await make_broker()).core.census.max_connections == 1


@both_loops
async def test_accepting_pauses_when_descriptors_run_out_and_goes_on_when_they_are_back(
    make_broker: MakeBroker, dial: Dial, limit: list[int], wires: list[Wire], caplog: pytest.LogCaptureFixture
) -> None:
    """Who is in stays, who comes waits in the kernel, and one log line tells."""
    broker = await make_broker()
    first = await dial(broker)
    limit[0] = 25
    second = await dial(broker)
    await until(lambda: not broker.listener.accepting)
    waiting = await Wire.connect(broker.port)
    wires.append(waiting)
    await waiting.send(upgrade_request())
    await first.send_text("still here")
    assert await second.frame() == text("still here")
    assert broker.core.census.open == 2
    assert caplog.text.count("accepting_paused open=") == 1
    limit[0] = 1024
    second.close()
    assert (await waiting.head()).status == 101
    assert broker.listener.accepting


async def test_accepting_that_cannot_go_on_says_so_and_tries_again(
    make_broker: MakeBroker,
    dial: Dial,
    limit: list[int],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a descriptor for the listener itself, the next departure is the next chance."""
    broker = await make_broker()
    guests = [await dial(broker) for _ in range(3)]
    broker.listener.pause()

    def fail() -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(broker.listener, "resume", fail)
        guests[0].close()
        await until(lambda: "accepting_failed" in caplog.text)
    guests[1].close()
    await until(lambda: broker.listener.accepting)


# -- ticking


async def test_tick_that_fails_is_followed_by_the_next(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in what runs every second stops neither pings nor timeouts."""
    broker = await make_broker()
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context))
    monkeypatch.setattr(broker.accounts, "watch", lambda *_, **__: 1 // 0)
    broker._next_second = 0.0
    await until(lambda: reports)
    ticked = broker.core.deadlines.ticked
    await until(lambda: broker.core.deadlines.ticked > ticked)
    assert isinstance(reports[0]["exception"], ZeroDivisionError)


async def test_lag_is_the_worst_of_the_last_ten_seconds(make_broker: MakeBroker) -> None:
    """A loop that stood still shows in the metric, and is forgotten after a while."""
    broker = await make_broker()
    broker._note_lag(0.5, 1000.0)
    broker._note_lag(0.1, 1001.0)
    assert broker.core.counters.lag == 0.5
    broker._note_lag(0.2, 1011.0)
    assert broker.core.counters.lag == 0.2


# -- ending


@both_loops
async def test_drain_closes_publishers_first_and_receivers_get_their_last_words(
    make_broker: MakeBroker, dial: Dial
) -> None:
    """1001 to who has published, then, behind their last messages, 1001 to the pure receivers."""
    broker = await make_broker(drain_time="20s")
    broker.core.clock = clock = Clock(broker.core.clock())
    publisher = await dial(broker)
    receivers = [await dial(broker, "t", "bob:geheim") for _ in range(3)]
    await publisher.send_text("first")
    await publisher.settled()
    ends = [asyncio.create_task(stay(receiver)) for receiver in receivers]
    stopping = asyncio.create_task(broker.stop())
    assert [frame.code for frame in await stay(publisher, "last words")] == [1001]
    clock.turn(20)
    for frames in await asyncio.gather(*ends):
        assert frames[:2] == [text("first"), text("last words")]
        assert (frames[2].code, frames[2].reason) == (1001, "shutdown")
    await stopping


@both_loops
async def test_drain_does_not_wait_for_ever_for_a_publisher(
    make_broker: MakeBroker, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of `drain_time`, then the receivers are told; who never answers is cut in the end."""
    monkeypatch.setattr(drain_module, "GRACE", 0.1)
    broker = await make_broker(drain_time="200ms")
    stubborn = await dial(broker)
    receiver = await dial(broker, "t", "bob:geheim")
    await stubborn.send_text("x")
    await stubborn.settled()
    end = asyncio.create_task(stay(receiver))
    await broker.stop()
    assert [frame.first == CLOSE for frame in await end] == [False, True]
    assert (await stubborn.frames_to_end())[-1].code == 1001
    assert broker.core.census.open == 0


@both_loops
async def test_drain_tells_who_comes_when_to_come_back(
    make_broker: MakeBroker, dial: Dial, ask: Ask, free_port: int
) -> None:
    """503 draining with Retry-After for new upgrades and for /publish, while the rest is let go."""
    broker = await make_broker(drain_time="30s", admin_port=free_port)
    slow = await dial(broker)
    await slow.send_text("x")
    await slow.settled()
    stopping = asyncio.create_task(broker.stop())
    assert (await slow.frame()).code == 1001
    refused = await ask(broker, upgrade_request())
    assert (refused.status, refused.token, refused.headers["retry-after"]) == (503, "draining", "31")
    published = await http(broker, "/publish?topic=t", method="POST", body=b"x")
    assert (published.status, published.headers["retry-after"]) == (503, "31")
    assert (await http(broker, "/readyz")).status == 503
    assert (await http(broker, "/livez")).status == 200
    await slow.send(client_frame(CLOSE, b"\x03\xe9"))
    await stopping


@both_loops
async def test_drain_with_an_inherited_socket_leaves_who_comes_to_the_next_process(
    make_broker: MakeBroker, dial: Dial, wires: list[Wire]
) -> None:
    """1012 restart; a client that comes meanwhile waits in the kernel, and the next broker serves it."""
    (shared,) = bind_hosts(["127.0.0.1"], 0)
    successor = shared.dup()
    old = await make_broker(inherited=[shared], drain_time="20s")
    port = old.port
    client = await dial(old)
    stopping = asyncio.create_task(old.stop())
    frame = await client.frame()
    assert (frame.code, frame.reason) == (1012, "restart")
    early = await Wire.connect(port)
    wires.append(early)
    await early.send(upgrade_request())
    await client.send(client_frame(CLOSE, frame.payload[:2]))
    await stopping
    assert await client.to_end() == b""
    new = await make_broker(inherited=[successor])
    assert new.port == port
    assert (await early.head()).status == 101


@both_loops
async def test_end_now_cuts_whoever_is_left(make_broker: MakeBroker, dial: Dial, wires: list[Wire]) -> None:
    """`end` waits for nobody: open WebSockets, handshakes and refused clients are let go at once."""
    broker = await make_broker()
    open_one = await dial(broker)
    silent = await Wire.connect(broker.port)
    wires.append(silent)
    refused = await Wire.connect(broker.port)
    wires.append(refused)
    await refused.send(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    await refused.head()
    await until(lambda: broker.core.census.open == 3)
    await broker.end()
    assert broker.core.census.open == 0
    for wire in (open_one, silent, refused):
        await wire.to_end()
    await broker.end()


async def test_stop_is_safe_before_start_and_twice(accounts: Path) -> None:
    """Whoever cleans up need not know how far it came."""
    broker = WSMessageBroker(password_file=str(accounts), port=0, admin_port=0, drain_time=0)
    await broker.stop()
    await broker.start()
    assert broker.listener.accepting
    await broker.stop()
    await broker.stop()
    assert not broker.listener.accepting


async def test_drain_of_nobody_is_over_at_once(make_broker: MakeBroker) -> None:
    """A broker without clients does not use up its `drain_time`."""
    broker = await make_broker(drain_time="1h")
    async with asyncio.timeout(10):
        await broker.stop()
    assert broker.listener.sockets == []
