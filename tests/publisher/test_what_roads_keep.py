"""What becomes of a message that was reported as taken while nobody was there to receive it.

The table in ``docs/explanation/what-each-road-keeps.md`` says it; here it is shown, with servers ended and restarted.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.conftest import until
from tests.publisher.certificates import Certificates
from tests.publisher.conftest import MakePublisher, arrived
from tests.publisher.rigs import USER, AmqpRig, MqttRig, RedisRig, WsRig
from tests.publisher.servers import HOST, PASSWORD, BrokerServer, MosquittoServer, RabbitServer, RedisServer

NUMBER = "08126666666"


async def _amqp_depth(server: RabbitServer, topic: str) -> int | None:
    """Return how many messages wait in a queue; ``None`` when there is no such queue."""
    async with await aio_pika.connect(host=HOST, port=server.port, login=USER, password=PASSWORD) as connection:
        channel = await connection.channel()
        try:
            queue = await channel.declare_queue(topic, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return None
        return queue.declaration_result.message_count


async def test_amqp_keeps_while_nobody_consumes(
    rabbit: RabbitServer, certificates: Certificates, make_publisher: MakePublisher
) -> None:
    """RabbitMQ keeps a message until somebody consumes it, and the answer says that nobody does yet."""
    rig = AmqpRig(rabbit, certificates)
    result = await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="waits")
    assert (result.response_code.value, result.data["listeners"]) == ("0000", 0)
    assert "nobody consumes" in result.message
    async with rig.receiving() as inbox:
        assert json.loads(await arrived(inbox))["data"]["message"] == "waits"


async def test_amqp_killed_and_restarted(
    rabbit: RabbitServer, certificates: Certificates, make_publisher: MakePublisher
) -> None:
    """A durable queue and its message survive a kill -9; the queue a Java OTP-Pi needs is gone with the server."""
    durable, transient = AmqpRig(rabbit, certificates), AmqpRig(rabbit, certificates)
    for rig, setting in ((durable, True), (transient, False)):
        result = await make_publisher(rig.keywords(durable=setting)).send_sms(receiver=NUMBER, message="kept?")
        assert result.response_code.value == "0000"
    await durable.kill()
    await durable.start()
    assert await _amqp_depth(rabbit, durable.topic) == 1
    assert await _amqp_depth(rabbit, transient.topic) is None


async def test_amqp_drops_what_is_too_late(
    rabbit: RabbitServer, certificates: Certificates, make_publisher: MakePublisher
) -> None:
    """A message whose lifetime is over is thrown away by RabbitMQ, so that no stale code goes out."""
    rig = AmqpRig(rabbit, certificates)
    await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="late", lifetime=1)
    depths = [await _amqp_depth(rabbit, rig.topic)]
    deadline = asyncio.get_running_loop().time() + 10
    while depths[-1] and asyncio.get_running_loop().time() < deadline:
        depths.append(await _amqp_depth(rabbit, rig.topic))
    assert (depths[0], depths[-1]) == (1, 0)


@asynccontextmanager
async def _session(server: MosquittoServer, topic: str, *, v5: bool = False) -> AsyncIterator[list[Any]]:
    """Be an OTP-Pi with a persistent session; the list grows with what arrives."""
    messages: list[Any] = []
    subscribed: list[Any] = []
    options: dict[str, Any] = {"protocol": MQTTProtocolVersion.MQTTv5} if v5 else {"clean_session": False}
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="pi-" + topic, **options)
    client.username_pw_set(USER, PASSWORD)
    client.on_subscribe = lambda *found: subscribed.append(found)
    client.on_message = lambda _client, _data, message: messages.append(message)
    start: dict[str, Any] = {}
    if v5:
        start = {"clean_start": False, "properties": Properties(PacketTypes.CONNECT)}  # type: ignore[no-untyped-call]
        start["properties"].SessionExpiryInterval = 600
    client.connect(HOST, server.port, **start)
    client.loop_start()
    try:
        await until(client.is_connected)
        client.subscribe(topic, qos=1)
        await until(lambda: subscribed)
        yield messages
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


@pytest.mark.parametrize("ending", ["stop", "kill"])
async def test_mqtt_persistent_session(
    ending: str, mosquitto: MosquittoServer, certificates: Certificates, make_publisher: MakePublisher
) -> None:
    """Mosquitto keeps a message for a persistent session over a proper restart, and loses it when killed."""
    rig = MqttRig(mosquitto, certificates)
    async with _session(mosquitto, rig.topic):
        pass
    result = await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="kept?")
    assert (result.response_code.value, "listeners" in result.data) == ("0000", False)
    await asyncio.to_thread(getattr(mosquitto, ending))
    await rig.start()
    async with _session(mosquitto, rig.topic) as messages:
        await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="next")
        await until(lambda: messages and b"next" in messages[-1].payload)
    texts = [json.loads(message.payload)["data"]["message"] for message in messages]
    assert texts == (["kept?", "next"] if ending == "stop" else ["next"])


async def test_mqtt_carries_the_lifetime(
    mosquitto: MosquittoServer, certificates: Certificates, make_publisher: MakePublisher
) -> None:
    """The broker is told until when a message is good (MQTT 5, message expiry interval)."""
    rig = MqttRig(mosquitto, certificates)
    async with _session(mosquitto, rig.topic, v5=True) as messages:
        await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="hello", lifetime=77)
        await until(lambda: messages)
    assert 70 < messages[0].properties.MessageExpiryInterval <= 77


async def test_mqtt_and_redis_say_that_nobody_listens(
    mosquitto: MosquittoServer,
    redis_server: RedisServer,
    certificates: Certificates,
    make_publisher: MakePublisher,
) -> None:
    """Without a subscriber the message is gone: told in the answer, and a failure where that is asked for."""
    for rig in (MqttRig(mosquitto, certificates), RedisRig(redis_server, certificates)):
        told = await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="hello")
        assert (told.response_code.value, told.data["listeners"]) == ("0000", 0)
        assert "it is gone" in told.message
        strict = make_publisher(rig.keywords(require_receiver=True))
        refused = await strict.create_otp(receiver=NUMBER, reference=rig.topic, message="%s")
        assert (refused.response_code.value, refused.reason) == ("1102", "nobody_listens")
        async with rig.receiving() as inbox:
            assert (await strict.create_otp(receiver=NUMBER, reference=rig.topic, message="%s")).ok
            await arrived(inbox)
            assert inbox.empty(), "what was sent before must be gone"


async def test_ws_keeps_nothing_and_says_so(
    broker: BrokerServer, certificates: Certificates, make_publisher: MakePublisher
) -> None:
    """Over WebSocket nobody can know who listens; the answer says that."""
    rig = WsRig(broker, certificates)
    publisher = make_publisher(rig.keywords())
    result = await publisher.send_sms(receiver=NUMBER, message="gone")
    assert (result.response_code.value, "cannot be known" in result.message) == ("0000", True)
    async with rig.receiving() as inbox:
        await publisher.send_sms(receiver=NUMBER, message="here")
        assert json.loads(await arrived(inbox))["data"]["message"] == "here"
