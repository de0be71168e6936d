"""What every way in promises, shown on real servers."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from examples.ports import free_port
from otp.pi.inputs import RoadLostError, amqp, base, healing, mqtt, mqtt_session, redis, redis_sources, ws
from otp.pi.model import RejectedError, UnstoredError
from otp.roads.errors import RoadError
from tests.conftest import until
from tests.pi.input_rigs import RIGS, InputRig, Proxy, Taker, running
from tests.publisher.certificates import Certificates

KINDS = list(RIGS)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Notice what is wrong sooner than in earnest."""
    caplog.set_level(logging.INFO, "otp.pi")
    monkeypatch.setattr(amqp, "HEARTBEAT", 1)
    monkeypatch.setattr(mqtt_session, "KEEPALIVE", 1)
    monkeypatch.setattr(redis_sources, "BLOCK", 0.5)
    monkeypatch.setattr(redis_sources, "PATIENCE", 0.5)


@pytest.fixture(params=KINDS)
def rig(request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path) -> InputRig:
    """Each way in in turn."""
    made, server = RIGS[request.param]
    return made(request.getfixturevalue(server), certificates, tmp_path)


@pytest.fixture(params=[each for each in KINDS if RIGS[each][0].keeps])
def keeping(request: pytest.FixtureRequest, certificates: Certificates, tmp_path: Path) -> InputRig:
    """Each way in in turn whose server brings again what was not acknowledged."""
    made, server = RIGS[request.param]
    return made(request.getfixturevalue(server), certificates, tmp_path)


@pytest.fixture
def taker() -> Taker:
    return Taker()


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names of the events that were logged."""
    return [getattr(record, "event", "") for record in caplog.records if record.name == "otp.pi"]


async def test_commands_arrive_in_order(rig: InputRig, taker: Taker) -> None:
    """What is published arrives as it was, in order, counted, with the road's name and a way to answer."""
    payloads = [f'{{"n":{number},"text":"\u00e9 \u20ac"}}'.encode() for number in range(30)]
    async with running(rig.open(taker, name="way-7")) as way:
        await rig.send(*payloads)
        await taker.holds(*payloads)
        assert taker.stored == payloads
        assert way.status.received == len(payloads)
    assert {origin.road for origin in taker.origins} == {"way-7"}
    assert all(origin.reply is not None for origin in taker.origins)


async def test_status_is_true_to_life(rig: InputRig, taker: Taker) -> None:
    """Before the start, while connected and after the end the status says so."""
    way = rig.open(taker)
    assert (way.topic, way.status.connected, way.status.detail) == (rig.topic, False, "not started")
    before = way.status.since
    async with running(way):
        assert way.status.connected
        assert way.status.since >= before
        assert f"127.0.0.1:{rig.server.port}" in way.status.detail
    assert (way.status.connected, way.status.detail) == (False, "stopped")


async def test_server_killed_and_started_again(rig: InputRig, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """A server that dies is noticed and said once; when it is back, commands come again by themselves."""
    async with running(rig.open(taker)) as way:
        await asyncio.to_thread(rig.server.kill)
        try:
            await until(lambda: not way.status.connected, 30)
            await until(lambda: "refused" in way.status.detail, 30)
        finally:
            await asyncio.to_thread(rig.server.start)
        await until(lambda: way.status.connected, 30)
        await rig.send(b"after")
        await taker.holds(b"after")
    assert events(caplog) == ["input_connected", "input_lost", "input_connected"]


async def test_paused_server_is_noticed(rig: InputRig, taker: Taker) -> None:
    """A server that keeps the connection and says nothing is given up; when it goes on, so do we."""
    async with running(rig.open(taker)) as way:
        rig.server.pause()
        try:
            await until(lambda: not way.status.connected, 40)
        finally:
            rig.server.resume()
        await until(lambda: way.status.connected, 40)
        await rig.send(b"after")
        await taker.holds(b"after")


async def test_half_open_link_is_noticed(rig: InputRig, taker: Taker) -> None:
    """A link that carries nothing any more, though nobody closed it, is replaced by a new one."""
    async with Proxy(rig.server.port).running() as proxy, running(rig.open(taker, port=proxy.port)) as way:
        await rig.send(b"before")
        await taker.holds(b"before")
        proxy.deaf = True
        await until(lambda: not way.status.connected, 40)
        proxy.deaf = False
        await until(lambda: way.status.connected, 40)
        await rig.send(b"after")
        await taker.holds(b"before", b"after")


async def test_command_under_way_comes_again(keeping: InputRig, taker: Taker) -> None:
    """What was not stored when we ended was not acknowledged: the next run gets it, and what came after it."""
    async with running(keeping.open(taker)):
        taker.open.clear()
        await keeping.send(b"first", b"second")
        await until(lambda: taker.waiting == 1)
    assert taker.stored == []
    taker.open.set()
    async with running(keeping.open(taker)):
        await taker.holds(b"first", b"second")
    async with running(keeping.open(taker)):
        await keeping.send(b"third")
        await taker.holds(b"first", b"second", b"third")
    assert taker.stored == [b"first", b"second", b"third"]


async def test_commands_sent_while_we_are_away_wait(keeping: InputRig, taker: Taker) -> None:
    """A server that keeps messages has them for us when we come back."""
    async with running(keeping.open(taker)):
        pass
    await keeping.send(b"one", b"two")
    async with running(keeping.open(taker)):
        await taker.holds(b"one", b"two")


async def test_poison_is_refused_for_good(rig: InputRig, taker: Taker) -> None:
    """A message that is no command does not stop those behind it, and never comes again."""
    taker.poison, taker.refusal = {b"poison"}, RejectedError("no command")
    async with running(rig.open(taker)):
        await rig.send(b"poison", b"good")
        await taker.holds(b"good")
    async with running(rig.open(taker)):
        await rig.send(b"better")
        await taker.holds(b"good", b"better")
    assert taker.refused == [b"poison"]


@pytest.mark.parametrize("error", [UnstoredError(), ValueError("a mistake of ours, with a body in it")])
async def test_command_that_cannot_be_stored_is_kept(
    rig: InputRig, taker: Taker, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """While the journal is full nothing is lost and nothing overtakes; the log never quotes what failed."""
    async with running(rig.open(taker)) as way:
        await rig.send(b"before")
        await taker.holds(b"before")
        taker.errors = [error, error]
        await rig.send(b"one", b"two", b"three")
        await taker.holds(b"before", b"one", b"two", b"three")
        assert taker.stored == [b"before", b"one", b"two", b"three"]
        await until(lambda: way.status.connected)
        assert "connected to" in way.status.detail
    assert "with a body" not in caplog.text


async def test_status_tells_that_nothing_can_be_stored(rig: InputRig, taker: Taker) -> None:
    """While commands cannot be stored the status says so."""
    async with running(rig.open(taker)) as way:
        taker.errors = [UnstoredError() for _ in range(200)]
        await rig.send(b"one")
        await until(lambda: "cannot be stored" in way.status.detail)
        taker.errors.clear()
        await taker.holds(b"one")
        await until(lambda: "cannot be stored" not in way.status.detail)


async def test_message_that_is_too_long_is_refused(
    rig: InputRig, taker: Taker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message above the bound is refused unread; the next one arrives."""
    monkeypatch.setattr(healing, "MAX_PAYLOAD", 10_000)
    async with running(rig.open(taker)):
        await rig.send(b"x" * 10_001, b"y" * 10_000)
        await taker.holds(b"y" * 10_000)
    assert "input_message_too_long" in events(caplog)
    assert "xxxx" not in caplog.text


async def test_answer_is_published(rig: InputRig, taker: Taker) -> None:
    """An answer reaches who listens for it, also from within the storing of a command."""
    async with running(rig.open(taker)) as way, rig.answers("modem-list-123") as inbox:
        await way.publish("modem-list-123", b'{"a":"\xc3\xa9"}')
        assert await asyncio.wait_for(inbox.get(), 10) == b'{"a":"\xc3\xa9"}'
        taker.open.clear()
        await rig.send(b"one")
        await until(lambda: taker.waiting == 1)
        await way.publish("modem-list-123", b"second")
        assert await asyncio.wait_for(inbox.get(), 10) == b"second"
        taker.open.set()
        await taker.holds(b"one")


async def test_answer_without_a_server(rig: InputRig, taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that no server takes fails after its time, with the server's name and without a body."""
    monkeypatch.setattr(healing, "PUBLISH_TIME", 0.2)
    async with running(rig.open(taker, port=free_port()), wait=False) as way:
        with pytest.raises(RoadLostError, match=r"127\.0\.0\.1:\d+ did not take an answer within 0\.2 s"):
            await way.publish("answers", b"body")


async def test_answer_waits_for_a_connection(rig: InputRig, taker: Taker) -> None:
    """An answer that comes before the connection stands is published as soon as it does."""
    way = rig.open(taker)
    async with rig.answers("answers-9") as inbox:
        publishing = asyncio.create_task(way.publish("answers-9", b"early"))
        async with running(way):
            await publishing
            assert await asyncio.wait_for(inbox.get(), 10) == b"early"


async def test_answer_while_the_connection_is_put_away(keeping: InputRig, taker: Taker) -> None:
    """An answer that comes in the moment between two connections is refused in words, not by a mistake of ours."""
    way = keeping.open(taker)
    assert isinstance(way, healing.HealingInput)
    with pytest.raises(RoadError, match="broke"):
        await way._publish("answers", b"body")


async def test_tls(rig: InputRig, taker: Taker, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With TLS the server's certificate is verified: the right authority connects, the system's do not."""
    if rig.settings_class.__name__ == "WebSocket":
        from tests.publisher.servers import BrokerServer

        directory = tmp_path / "tls"
        directory.mkdir()
        rig.server = BrokerServer(directory, rig.certificates, tls=True)
        await asyncio.to_thread(rig.server.start)
        request.addfinalizer(rig.server.kill)
    async with running(rig.open(taker, **rig.tls())) as way:
        assert way.status.connected
    strange = rig.open(taker, **(rig.tls() | {"tls_ca": ""}))
    async with running(strange, wait=False):
        await until(lambda: "certificate is not accepted" in strange.status.detail)
        assert not strange.status.connected


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody"}])
async def test_wrong_credentials(
    rig: InputRig, taker: Taker, wrong: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Wrong credentials are named in the status and in one line of the log, and the attempts go on."""
    async with running(rig.open(taker, **wrong), wait=False) as way:
        await until(lambda: "did not accept username and password" in way.status.detail)
        await asyncio.wait([asyncio.create_task(asyncio.sleep(0.5))])
        assert not way.status.connected
    assert events(caplog) == ["input_not_connected"]
    assert "wrong" not in caplog.text


async def test_unreachable_server(rig: InputRig, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """A server that is not there is said once, and tried again and again until it is."""
    port = free_port()
    async with running(rig.open(taker, port=port), wait=False) as way:
        await until(lambda: "connection refused" in way.status.detail)
        assert f"127.0.0.1:{port}" in way.status.detail
    assert events(caplog) == ["input_not_connected"]


async def test_servers_that_talk_nonsense(rig: InputRig, taker: Taker, nonsense: int) -> None:
    """A port that belongs to another service is not connected to, and does no harm."""
    async with running(rig.open(taker, port=nonsense), wait=False) as way:
        await until(lambda: str(nonsense) in way.status.detail and "connecting" not in way.status.detail)
        assert not way.status.connected


async def test_silent_server_is_given_up(
    rig: InputRig, taker: Taker, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes the connection and never says a word is given up after a while."""
    for module in (ws, amqp, redis, mqtt):
        monkeypatch.setattr(module, "CONNECT_TIME", 0.3)
    async with running(rig.open(taker, port=silent), wait=False) as way:
        await until(lambda: "in time" in way.status.detail or "has not answered" in way.status.detail)
        assert not way.status.connected


async def test_cancelled_while_connecting(rig: InputRig, taker: Taker, silent: int) -> None:
    """Whoever ends us in the middle of a log-in does not wait for the server."""
    way = rig.open(taker, port=silent)
    started = asyncio.get_running_loop().time()
    async with running(way, wait=False):
        await until(lambda: "connecting" in way.status.detail)
    assert asyncio.get_running_loop().time() - started < base.PUBLISH_TIME
