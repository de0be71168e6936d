"""MQTT: versions, identities, retained messages, quality of service, rights."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from otp.pi.inputs import mqtt, mqtt_session, open_input
from otp.pi.inputs.base import RoadLostError
from otp.pi.settings import Mqtt
from tests.conftest import until
from tests.pi.input_rigs import MqttInputRig, MqttTwoInputRig, Taker, running
from tests.publisher.certificates import Certificates
from tests.publisher.servers import HOST, MosquittoServer


@pytest.fixture
def rig(mosquitto: MosquittoServer, certificates: Certificates, tmp_path: Path) -> MqttInputRig:
    return MqttInputRig(mosquitto, certificates, tmp_path)


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
async def only_311(mosquitto: MosquittoServer) -> AsyncIterator[tuple[int, list[int]]]:
    """The port of a server that hangs up on MQTT 5, and the versions it was asked for."""
    asked: list[int] = []
    pumps: list[asyncio.Task[None]] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.read(4096)
        asked.append(hello[hello.index(b"MQTT") + 4])
        if asked[-1] == 5:
            writer.close()
            return
        there, back = await asyncio.open_connection(HOST, mosquitto.port)
        back.write(hello)
        pumps.extend([asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))])

    server = await asyncio.start_server(meet, HOST, 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()
    if pumps:
        await asyncio.wait(pumps, timeout=5)


@asynccontextmanager
async def serving(meet: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """Serve TCP with the given handler."""
    server = await asyncio.start_server(meet, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_server_that_speaks_only_the_old_version(
    rig: MqttInputRig, taker: Taker, only_311: tuple[int, list[int]]
) -> None:
    """MQTT 5 is tried first, then 3.1.1, where the session is kept as well."""
    port, asked = only_311
    async with running(rig.open(taker, port=port)) as way:
        await rig.send(b"one")
        await taker.holds(b"one")
        await way.publish("answers", b"body")
    assert asked == [5, 4]
    await rig.send(b"two")
    async with running(rig.open(taker, port=port)):
        await taker.holds(b"one", b"two")


async def test_retained_message_is_ignored(rig: MqttInputRig, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """A retained command would be carried out again at every start; live and retained it is carried out once."""
    caplog.set_level(logging.INFO, "otp.pi")
    await rig.publish(b"long ago", retain=True)
    async with running(rig.open(taker)):
        await rig.send(b"now")
        await taker.holds(b"now")
        await rig.publish(b"live", retain=True)
        await taker.holds(b"now", b"live")
    async with running(rig.open(taker)):
        await rig.send(b"later")
        await taker.holds(b"now", b"live", b"later")
    assert taker.stored == [b"now", b"live", b"later"]
    assert caplog.text.count("input_retained_message_ignored") == 2
    await rig.publish(b"", retain=True)


async def test_messages_of_quality_zero_are_taken(rig: MqttInputRig, taker: Taker) -> None:
    """Publishers that send without acknowledgement are heard as well."""
    async with running(rig.open(taker)):
        await rig.publish(b"one", b"two", qos=0)
        await taker.holds(b"one", b"two")


async def test_flood_of_quality_zero_is_bounded(
    rig: MqttInputRig, taker: Taker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes without acknowledgement faster than it is stored does not fill the memory; the rest is not lost."""
    monkeypatch.setattr(mqtt_session, "_MAX_WAITING", 3)
    seen: list[object] = []
    take = mqtt_session.Session._on_message

    def note(self: mqtt_session.Session, message: Any) -> None:
        take(self, message)
        seen.append(message)

    monkeypatch.setattr(mqtt_session.Session, "_on_message", note)
    async with running(rig.open(taker)):
        taker.open.clear()
        await rig.publish(*(b"%d" % number for number in range(20)), qos=0)
        await rig.publish(b"sure", qos=1)
        await until(lambda: len(seen) == 21)
        taker.open.set()
        await until(lambda: taker.stored[-1:] == [b"sure"])
        assert len(taker.stored) < 20


async def test_more_than_the_window_of_quality_two(
    mosquitto: MosquittoServer, certificates: Certificates, tmp_path: Path, taker: Taker
) -> None:
    """The two steps of quality of service 2 are both completed, so that the server's window never fills."""
    rig = MqttTwoInputRig(mosquitto, certificates, tmp_path)
    payloads = [b"%d" % number for number in range(120)]
    async with running(rig.open(taker)):
        await rig.send(*payloads)
        await taker.holds(*payloads)
    assert taker.stored == payloads


async def test_account_that_may_not_publish(rig: MqttInputRig, taker: Taker) -> None:
    """An account that may only read takes commands; its answers are refused."""
    async with running(rig.open(taker, username="reader")) as way:
        await rig.send(b"one")
        await taker.holds(b"one")
        with pytest.raises(RoadLostError, match="did not take the message"):
            await way.publish("answers", b"body")


@pytest.mark.parametrize("topic", ["", "a/#", "+/b", "a\0b"])
async def test_answer_on_an_impossible_topic(rig: MqttInputRig, taker: Taker, topic: str) -> None:
    """A topic that nobody can publish on is refused, and the commands go on."""
    async with running(rig.open(taker)) as way:
        with pytest.raises(RoadLostError, match="cannot be published"):
            await way.publish(topic, b"body")
        await rig.send(b"after")
        await taker.holds(b"after")


async def test_another_client_with_our_identity(taker: Taker, tmp_path: Path) -> None:
    """A server that gives our session to another client with the same client_id says so, and so do we."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x00\x00")
        subscribe = await reader.read(4096)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x01" + b"\xe0\x02\x8e\x00")
        await reader.read()
        writer.close()

    async with serving(meet) as port:
        way = open_input("m", Mqtt(port=port, reconnect_longest=60.0), taker, data_dir=tmp_path)
        async with running(way, wait=False):
            await until(lambda: "another client with the same client_id" in way.status.detail)


async def test_identity_is_kept_in_the_data_directory(rig: MqttInputRig, taker: Taker) -> None:
    """Without a configured client_id one is made and kept; with one no file is made."""
    rig.open(taker, client_id="mine")
    assert list(rig.data_dir.glob("*.identity")) == []
    rig.open(taker)
    assert [each.name for each in rig.data_dir.glob("*.identity")] == ["road.identity"]


async def test_subscription_that_is_refused(taker: Taker, tmp_path: Path) -> None:
    """A server that lets us in and refuses the subscription is not connected to."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x00\x00")
        subscribe = await reader.read(4096)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x87")
        await reader.read()
        writer.close()

    async with serving(meet) as port:
        way = open_input("m", Mqtt(port=port, reconnect_longest=60.0), taker, data_dir=tmp_path)
        async with running(way, wait=False):
            await until(lambda: "does not allow this account to subscribe" in way.status.detail)
            assert not way.status.connected


async def test_log_in_that_is_refused(taker: Taker, tmp_path: Path) -> None:
    """A server that refuses for a reason of its own is told with its number."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x97\x00")
        await reader.read()
        writer.close()

    async with serving(meet) as port:
        way = open_input("m", Mqtt(port=port, reconnect_longest=60.0), taker, data_dir=tmp_path)
        async with running(way, wait=False):
            await until(lambda: "reason code 151" in way.status.detail)


async def test_server_that_does_not_answer_the_subscription(
    taker: Taker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that lets us in and then says nothing is given up."""
    monkeypatch.setattr(mqtt, "CONNECT_TIME", 0.3)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x00\x00")
        await reader.read(4096)
        await reader.read()
        writer.close()

    async with serving(meet) as port:
        way = open_input("m", Mqtt(port=port, reconnect_longest=60.0), taker, data_dir=tmp_path)
        async with running(way, wait=False):
            await until(lambda: "in time" in way.status.detail)


async def test_connection_that_ends_before_the_answer_is_acknowledged(taker: Taker, tmp_path: Path) -> None:
    """An answer whose acknowledgement never comes was not published, as far as anybody knows."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"\x20\x03\x00\x00\x00")
        subscribe = await reader.read(4096)
        writer.write(b"\x90\x04" + subscribe[2:4] + b"\x00\x01")
        await reader.read(4096)
        writer.close()

    async with serving(meet) as port:
        way = open_input("m", Mqtt(port=port, reconnect_longest=60.0), taker, data_dir=tmp_path)
        async with running(way):
            with pytest.raises(RoadLostError, match="broke"):
                await way.publish("answers", b"body")


async def test_cancelled_in_a_tls_handshake(
    rig: MqttInputRig, taker: Taker, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake that never ends runs in a thread; whoever cancels us does not wait for it."""
    monkeypatch.setattr(mqtt_session, "CONNECT_TIME", 0.5)
    way = rig.open(taker, **(rig.tls() | {"port": silent}))
    async with running(way, wait=False):
        await until(lambda: "connecting" in way.status.detail)
    assert way.status.detail == "stopped"
