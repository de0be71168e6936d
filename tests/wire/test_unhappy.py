"""Clients that are killed, drop, stop reading or come in thousands: two that behave lose nothing, and no order."""

import asyncio
import random
import select
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from broker import WSMessageBroker
from broker.connection import Connection
from broker.frames import PING, PONG, TEXT, server_frame
from tests.conftest import MakeBroker, until
from tests.wire.conftest import Dial
from tests.wire.pair import END, Pair
from tests.wire.raw import Frame, Wire, client_frame, closing, pong, text, upgrade_request

DOOMED = Path(__file__).parent / "doomed.py"
AT_ONCE = 20
"""Misbehaving clients at the same time."""


async def pair_on(broker: WSMessageBroker, dial: Dial, topic: str = "t") -> Pair:
    """Connect a pair."""
    return Pair(await dial(broker, f"/ws?topic={topic}"), await dial(broker, f"/ws?topic={topic}"))


async def crowd(count: int, behave: Callable[[int], Awaitable[None]]) -> None:
    """Let so many clients do something, a few at a time."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await behave(number)

    await asyncio.gather(*(one(number) for number in range(count)))


async def all_gone(broker: WSMessageBroker, dial: Dial, left: int) -> None:
    """Wait until everybody has come and all but a few have gone; the kernel lets nobody in before their turn."""
    last = await dial(broker, "/ws?topic=last")
    await last.say_goodbye()
    last.close()
    await until(lambda: broker.core.census.open == left)


def open_descriptors() -> int:
    """Count this process's descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_clients_killed_in_the_middle(make_broker: MakeBroker, dial: Dial) -> None:
    """Processes killed with -9 leave nothing behind: no half message, no connection, no descriptor."""
    broker = await make_broker()
    async with await pair_on(broker, dial) as pair:
        before = open_descriptors()
        for _ in range(2):
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(DOOMED), str(broker.port), upgrade_request().hex(), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
            await pair.exchange(50)
            process.kill()
            await process.communicate()
            await until(lambda: broker.core.census.open == 2)
            await pair.exchange(50)
        await until(lambda: open_descriptors() <= before)
    assert pair.others == [b"whol"] * 6


@pytest.mark.parametrize("manner", ["fin", "reset", "reset with unread messages", "early, then reset"])
async def test_a_thousand_publish_and_hang_up(manner: str, make_broker: MakeBroker, dial: Dial) -> None:
    """However a thousand clients drop TCP right after their frame, on a busy topic, none of their messages is lost."""
    broker = await make_broker(connection_rate=0)
    frames = [client_frame(TEXT, b"%d" % number) for number in range(1000)]

    async def publish(number: int) -> None:
        with closing([await Wire.connect(broker.port)]) as (wire,):
            if manner == "early, then reset":
                await wire.send(upgrade_request() + frames[number])
                wire.reset()
                return
            await wire.upgrade(upgrade_request())
            if manner == "reset with unread messages":
                # Closing with bytes that nobody read makes the kernel send RST (RFC 1122, 4.2.2.13).
                await until(lambda: select.select([wire.sock], [], [], 0)[0])
            await wire.send(frames[number])
            if manner == "fin":
                wire.fin()
                await wire.to_end()
            elif manner == "reset":
                wire.reset()

    async with await pair_on(broker, dial) as pair:
        await crowd(1000, publish)
        await all_gone(broker, dial, 2)
    assert sorted(map(int, pair.others)) == list(range(1000))


@pytest.mark.parametrize("size", [1, 50])
async def test_burst_of_many_turns_and_fin(size: int, make_broker: MakeBroker, dial: Dial) -> None:
    """A burst that takes the broker many turns of its loop is relayed to its end, although FIN is in already."""
    broker = await make_broker()
    payloads = [b"%0*d" % (size, number % 10**size) for number in range(20_000)]
    listener, sender = await dial(broker), await dial(broker)
    await sender.send(b"".join(client_frame(TEXT, payload) for payload in payloads))
    sender.fin()
    relayed = b"".join(server_frame(TEXT, payload) for payload in payloads)
    assert await listener.exactly(len(relayed)) == relayed
    assert await sender.to_end() == b""


async def test_burst_of_many_turns_and_reset(make_broker: MakeBroker, dial: Dial) -> None:
    """What the kernel had taken before the RST is relayed to its end, even if a write fails between two turns."""
    broker = await make_broker()
    frame = client_frame(TEXT, b"x")
    async with await pair_on(broker, dial) as pair:
        for _ in range(10):
            sender = await dial(broker)
            await sender.send(frame * 4000)  # 28 kB: less than a fresh connection's window
            sender.reset()
            await pair.exchange(2)
        await until(lambda: broker.core.counters.closed["1006"] == 10)
        assert broker.core.census.open == len(list(broker.core.everyone())) == 2
    assert pair.others == [b"x"] * 10 * 4000


async def test_a_thousand_connect_and_drop(make_broker: MakeBroker, dial: Dial) -> None:
    """A thousand clients that come and go in every rude way leave no descriptor, and nobody else notices."""
    broker = await make_broker(connection_rate=0)
    request, frame = upgrade_request("/ws?topic=other"), client_frame(TEXT, b"never whole")

    async def drop(number: int) -> None:
        with closing([await Wire.connect(broker.port)]) as (wire,):
            match number % 8:
                case 0:
                    pass
                case 1:
                    wire.reset()
                case 2:
                    await wire.send(request[:-2])
                case 3:
                    await wire.send(request[:-2])
                    wire.reset()
                case 4:
                    await wire.send(b"GET / HTTP/1.1\r\n\r\n")  # refused, unread
                case 5:
                    await wire.send(request)
                    wire.reset()
                case 6:
                    await wire.upgrade(request)
                    await wire.send(frame[:-1])
                case 7:
                    await wire.upgrade(request)
                    await wire.send(frame[:1])
                    wire.reset()

    async with await pair_on(broker, dial) as pair:
        before = open_descriptors()
        await crowd(1000, drop)
        await all_gone(broker, dial, 2)
        await until(lambda: open_descriptors() <= before)
        assert not broker.core.transients
        assert set(broker.core.topics.by_name) == {"t"}
    assert pair.others == []


@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_reader_that_falls_behind_again_and_again_gets_everything_in_order(
    over: str, make_broker: MakeBroker, dial: Dial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that the kernel takes in part, pongs between them, and catching up: no byte is lost or out of place."""
    rests: list[int] = []
    spill = Connection.spill

    def note(self: Connection, rest: bytes) -> None:
        rests.append(len(rest))
        spill(self, rest)

    monkeypatch.setattr(Connection, "spill", note)
    path = tmp_path / "broker.sock"
    broker = await make_broker(socket_path=str(path))
    for listening in broker.listener.sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)  # what is accepted inherits it
    dice = random.Random(7)
    sender = await dial(broker)
    knocking = Wire.connect_unix(path) if over == "unix" else Wire.connect(broker.port, receive_buffer=65536)
    with closing([await knocking]) as (reader,):
        await reader.upgrade(upgrade_request("/ws?topic=t"))
        wanted: list[Frame] = []
        heard: list[Frame] = []
        for turn in range(40):
            messages = [b"%d " % turn + b"x" * dice.choice((0, 10, 1_000, 40_000)) for _ in range(dice.randint(1, 9))]
            await sender.send(b"".join(client_frame(TEXT, message) for message in messages))
            await sender.settled()
            await reader.send(client_frame(PING, b"%d" % turn))
            wanted += [*map(text, messages), pong(b"%d" % turn)]
            heard += await reader.frames(max(0, len(wanted) - len(heard) - dice.choice((2, 30, 60))))
        heard += await reader.frames(len(wanted) - len(heard))
        for kind in (TEXT, PONG):
            assert [each for each in heard if each.first == kind] == [each for each in wanted if each.first == kind]
    assert len(rests) > 2, "it hardly fell behind: this tests nothing"
    await until(lambda: not broker.core.behind)
    assert broker.core.counters.slow_consumers == 0
    sender.close()


async def test_reader_that_stops_is_closed(make_broker: MakeBroker, dial: Dial) -> None:
    """It costs at most `max_queued_bytes`, is closed with 1013, and on waking finds its messages, then the reason."""
    limit = 2**20
    broker = await make_broker(max_message_size="64KiB", max_queued_bytes=limit)
    sleeper = await dial(broker, receive_buffer=4096)
    (served,) = broker.core.everyone()
    async with await pair_on(broker, dial) as pair:
        flood = await dial(broker)
        worst, sent = 0, 0
        while not broker.core.counters.closed["1013"]:
            assert sent < 2000, "32 MB were sent to a reader that may hold up 1 MiB"
            await flood.send(client_frame(TEXT, b"flood %6d " % sent + b"x" * 16_000))
            worst, sent = max(worst, served.transport.get_write_buffer_size()), sent + 1
            await asyncio.sleep(0)
        assert 0 < worst <= limit
        assert broker.core.counters.slow_consumers == 1
        *heard, close = await sleeper.frames_to_end()
        assert (close.code, close.reason.partition(":")[0]) == (1013, "slow_consumer")
        numbers = [int(frame.payload[6:12]) for frame in heard if frame.payload.startswith(b"flood")]
        assert numbers == list(range(len(numbers)))
        await pair.exchange(50)
        await flood.settled_after()
        flood.close()
        sleeper.close()
        await until(lambda: broker.core.census.open == 2)
    assert len([payload for payload in pair.others if payload.startswith(b"flood")]) == sent


async def test_reader_that_stops_may_lose_instead(make_broker: MakeBroker, dial: Dial) -> None:
    """With `slow_consumer = drop` it stays, and on waking has lost whole messages only, each of them counted."""
    broker = await make_broker(max_message_size="64KiB", max_queued_bytes=2**20, slow_consumer="drop")
    sleeper = await dial(broker, receive_buffer=4096)
    dropped = broker.core.counters.dropped
    async with await pair_on(broker, dial) as pair:
        flood = await dial(broker)
        sent = 0
        while dropped["slow_consumer"] < 100:
            assert sent < 2000, "32 MB were sent to a reader that may hold up 1 MiB"
            await flood.send(client_frame(TEXT, b"flood %6d " % sent + b"x" * 16_000))
            sent += 1
            await asyncio.sleep(0)
        await flood.settled_after()
        assert broker.core.counters.slow_consumers == 1
    heard: list[bytes] = []
    while len(heard) + dropped["slow_consumer"] < broker.core.topics.received:
        heard.append((await sleeper.frame()).payload)
    published = [*pair.others, *(b"pair %d" % number for number in range(pair.sent)), END.payload]
    assert set(heard) < set(published)
    assert len(set(heard)) == len(heard)
    assert [payload for payload in heard if payload in set(pair.others)] == sorted(set(heard) & set(pair.others))
    assert len(pair.others) == sent


async def test_sleepers_do_not_delay_others(make_broker: MakeBroker, dial: Dial) -> None:
    """A topic full of clients that never read relays to the one that does as if they were not there."""
    broker = await make_broker()
    sleepers = [await dial(broker, receive_buffer=4096) for _ in range(50)]
    async with await pair_on(broker, dial) as pair:
        await pair.exchange(300)
        assert broker.core.counters.slow_consumers == 0
        for sleeper in sleepers:
            sleeper.reset()
        await until(lambda: broker.core.census.open == 2)
        await pair.exchange(50)
