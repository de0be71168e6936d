"""MQTT: versions, rights, and what the settings may say."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from otp.publisher import AsyncPublisher, ConfigError
from tests.publisher.certificates import Certificates
from tests.publisher.conftest import MakePublisher, arrived
from tests.publisher.rigs import MqttRig
from tests.publisher.servers import HOST, MosquittoServer

NUMBER = "08126666666"


@pytest.fixture
def mqtt(mosquitto: MosquittoServer, certificates: Certificates) -> MqttRig:
    return MqttRig(mosquitto, certificates)


@pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
@pytest.mark.parametrize("qos", ["1", "2"])
async def test_every_version_and_quality(protocol: str, qos: str, mqtt: MqttRig, make_publisher: MakePublisher) -> None:
    """Both versions and both acknowledged qualities of service deliver."""
    publisher = make_publisher(mqtt.keywords(protocol=protocol, qos=qos))
    async with mqtt.receiving() as inbox:
        result = await publisher.send_sms(receiver=NUMBER, message="hello")
        await arrived(inbox)
    assert result.response_code.value == "0000"
    assert await publisher.road.check() == f"{HOST}:{mqtt.server.port} answered, MQTT " + (
        "3.1.1" if protocol == "3.1.1" else "5"
    )


async def test_account_that_may_not_publish(mqtt: MqttRig, make_publisher: MakePublisher) -> None:
    """With MQTT 5 a missing right is told; a 3.1.1 broker would acknowledge and drop."""
    result = await make_publisher(mqtt.keywords(username="reader")).send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "forbidden")


class OldBroker:
    """Speaks just enough MQTT 3.1.1 to be published to, and refuses 5 as the standard says, or by hanging up."""

    def __init__(self, *, hangs_up: bool) -> None:
        self.hangs_up = hangs_up
        self.levels: list[int] = []
        self.published = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while header := await reader.read(1):
                await self._answer(header[0] >> 4, await self._body(reader), writer)
        finally:
            writer.close()

    async def _body(self, reader: asyncio.StreamReader) -> bytes:
        length, shift, more = 0, 0, True
        while more:
            [digit] = await reader.readexactly(1)
            length, shift, more = length | (digit & 127) << shift, shift + 7, digit > 127
        return await reader.readexactly(length)

    async def _answer(self, kind: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        if kind == 1:
            level = body[6]
            self.levels.append(level)
            accepted = level == 4
            if accepted or not self.hangs_up:
                writer.write(bytes([0x20, 2, 0, 0 if accepted else 1]))
            if not accepted:
                writer.close()
        if kind == 3:
            topic = int.from_bytes(body[:2])
            writer.write(bytes([0x40, 2]) + body[2 + topic : 4 + topic])
            self.published.set()


@pytest.fixture(params=["refuses", "hangs up"])
async def old_broker(request: pytest.FixtureRequest) -> AsyncIterator[tuple[OldBroker, int]]:
    broker = OldBroker(hangs_up=request.param == "hangs up")
    server = await asyncio.start_server(broker.serve, HOST, 0)
    yield broker, server.sockets[0].getsockname()[1]
    server.close()


async def test_broker_without_mqtt_5(
    old_broker: tuple[OldBroker, int], mqtt: MqttRig, make_publisher: MakePublisher
) -> None:
    """Where 5 is refused, 3.1.1 is spoken, and from then on at once."""
    broker, port = old_broker
    publisher = make_publisher(mqtt.keywords(port=port))
    assert (await publisher.send_sms(receiver=NUMBER, message="hello")).response_code.value == "0000"
    assert broker.published.is_set()
    await publisher.road.close()
    assert (await publisher.send_sms(receiver=NUMBER, message="hello")).response_code.value == "0000"
    assert broker.levels == [5, 4, 4]


async def test_version_that_was_insisted_on(
    old_broker: tuple[OldBroker, int], mqtt: MqttRig, make_publisher: MakePublisher
) -> None:
    """A version that is set is not exchanged for another."""
    _, port = old_broker
    result = await make_publisher(mqtt.keywords(port=port, protocol="5")).send_sms(receiver=NUMBER, message="x")
    assert (result.response_code.value, result.reason) == ("1102", "rejected")


@pytest.mark.parametrize("topic", ["sms/#", "sms/+"])
def test_topic_with_wildcard(topic: str) -> None:
    """A topic nothing can be published to is refused at the start."""
    with pytest.raises(ConfigError, match="must not hold"):
        AsyncPublisher(method="MQTT", topic=topic)


def test_quality_of_service_zero() -> None:
    """Quality 0 is refused, with the reason: nobody could tell whether a message arrived."""
    with pytest.raises(ConfigError, match=r"qos of .MQTT. must be 1 or 2"):
        AsyncPublisher(method="MQTT", qos=0)
