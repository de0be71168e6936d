"""Redis: what other consumers have left, entries of other shapes, rights, keys that are something else."""

from pathlib import Path

import pytest

from otp.pi.inputs import redis_sources
from otp.pi.inputs.base import RoadLostError
from otp.pi.inputs.identity import identity
from otp.pi.model import UnstoredError
from tests.conftest import until
from tests.pi.input_rigs import ListInputRig, RedisInputRig, StreamInputRig, Taker, running
from tests.publisher.certificates import Certificates
from tests.publisher.servers import RedisServer

GROUP = "otp-pi"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_sources, "BLOCK", 0.3)


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def stream(redis_server: RedisServer, certificates: Certificates, tmp_path: Path) -> StreamInputRig:
    return StreamInputRig(redis_server, certificates, tmp_path)


@pytest.fixture
def queue(redis_server: RedisServer, certificates: Certificates, tmp_path: Path) -> ListInputRig:
    return ListInputRig(redis_server, certificates, tmp_path)


@pytest.fixture
def channel(redis_server: RedisServer, certificates: Certificates, tmp_path: Path) -> RedisInputRig:
    return RedisInputRig(redis_server, certificates, tmp_path)


async def test_entries_from_before_the_first_start(stream: StreamInputRig, taker: Taker) -> None:
    """A new group begins with the oldest entry, and acknowledges what it has stored."""
    await stream.send(b"one", b"two")
    async with running(stream.open(taker)):
        await taker.holds(b"one", b"two")
        await stream.send(b"three")
        await taker.holds(b"one", b"two", b"three")
    async with stream.client() as client:
        assert (await client.xpending(stream.topic, GROUP))["pending"] == 0


async def test_entries_of_dead_consumers_are_taken_over(
    stream: StreamInputRig, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another consumer has read and not acknowledged for long is ours."""
    monkeypatch.setattr(redis_sources, "IDLE", 0.2)
    async with stream.client() as client:
        await client.xgroup_create(stream.topic, GROUP, id="0", mkstream=True)
        await stream.send(b"left behind")
        await client.xreadgroup(GROUP, "dead", {stream.topic: ">"})
        async with running(stream.open(taker)):
            await taker.holds(b"left behind")
            await stream.send(b"new")
            await taker.holds(b"left behind", b"new")
        assert (await client.xpending(stream.topic, GROUP))["pending"] == 0


async def test_entries_of_living_consumers_stay_theirs(stream: StreamInputRig, taker: Taker) -> None:
    """What another consumer has only just read is left to it."""
    async with stream.client() as client:
        await client.xgroup_create(stream.topic, GROUP, id="0", mkstream=True)
        await stream.send(b"theirs")
        await client.xreadgroup(GROUP, "alive", {stream.topic: ">"})
        async with running(stream.open(taker)):
            await stream.send(b"ours")
            await taker.holds(b"ours")


@pytest.mark.parametrize(
    ("fields", "stored"),
    [
        ({"data": b"a", "x": b"b"}, b"a"),
        ({"x": b"b", "payload": b"c"}, b"c"),
        ({"body": b"d"}, b"d"),
        ({"x": b"e", "y": b"f"}, b""),
    ],
)
async def test_field_with_the_command(
    stream: StreamInputRig, taker: Taker, fields: dict[str, bytes], stored: bytes
) -> None:
    """The command is in data, payload or the only field; an entry of another shape is handed on empty, as poison."""
    async with stream.client() as client, running(stream.open(taker)):
        await client.xadd(stream.topic, fields)
        await taker.holds(stored)


async def test_entry_deleted_while_pending(stream: StreamInputRig, taker: Taker) -> None:
    """An entry that somebody deletes while it is pending does not stop those behind it."""
    async with stream.client() as client:
        taker.errors = [UnstoredError() for _ in range(100)]
        await stream.send(b"first")
        async with running(stream.open(taker), wait=False) as way:
            await until(lambda: "cannot be stored" in way.status.detail)
        taker.errors.clear()
        await client.xtrim(stream.topic, maxlen=0)
        await stream.send(b"second")
        async with running(stream.open(taker)):
            await taker.holds(b"second")
        assert (await client.xpending(stream.topic, GROUP))["pending"] == 0


async def test_stream_deleted_while_reading(stream: StreamInputRig, taker: Taker) -> None:
    """A stream that is deleted under us is made again with its group."""
    async with stream.client() as client, running(stream.open(taker)) as way:
        since = way.status.since
        await client.delete(stream.topic)
        await until(lambda: way.status.connected and way.status.since > since)
        await stream.send(b"after")
        await taker.holds(b"after")


async def test_list_of_a_run_that_was_killed(queue: ListInputRig, taker: Taker) -> None:
    """What a killed run had moved to its own list and not removed comes first, equal commands each by themselves."""
    us = identity(queue.data_dir, "road")
    async with queue.client() as client:
        await client.lpush(f"{queue.topic}:{us}", b"old", b"older", b"old")
        await queue.send(b"new")
        async with running(queue.open(taker)):
            await taker.holds(b"old", b"older", b"new")
            await until(lambda: len(taker.stored) == 4)
        assert await client.exists(queue.topic, f"{queue.topic}:{us}") == 0
    assert taker.stored == [b"old", b"older", b"old", b"new"]


@pytest.mark.parametrize("mode", ["stream", "list"])
async def test_key_of_another_kind(channel: RedisInputRig, taker: Taker, mode: str) -> None:
    """A key that is something else is named by Redis's word for it."""
    async with channel.client() as client:
        await client.set(channel.topic, b"text")
        async with running(channel.open(taker, mode=mode), wait=False) as way:
            await until(lambda: "WRONGTYPE" in way.status.detail)


async def test_account_that_may_not_publish(channel: RedisInputRig, taker: Taker) -> None:
    """An account that may only read takes commands; its answers are refused in words."""
    async with running(channel.open(taker, username="reader")) as way:
        await channel.send(b"one")
        await taker.holds(b"one")
        with pytest.raises(RoadLostError, match="does not allow this account"):
            await way.publish("answers", b"body")


async def test_quiet_channel_stays_connected(
    channel: RedisInputRig, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel on which nothing happens is kept by pings."""
    monkeypatch.setattr(redis_sources, "BLOCK", 0.02)
    async with running(channel.open(taker)) as way, channel.client() as client:
        since = way.status.since

        async def pings() -> int:
            found = (await client.info("commandstats")).get("cmdstat_ping", {"calls": 0})
            return int(found["calls"])

        before = await pings()
        while await pings() < before + 3:
            assert way.status.connected
        assert way.status.since == since
