"""RabbitMQ: queues as existing receivers need them, rights, and the callback queue."""

import asyncio

import aio_pika
import pytest

from tests.publisher.certificates import Certificates
from tests.publisher.conftest import MakePublisher, arrived
from tests.publisher.rigs import USER, AmqpRig, success
from tests.publisher.servers import HOST, PASSWORD, RabbitServer

NUMBER = "08126666666"


@pytest.fixture
def amqp(rabbit: RabbitServer, certificates: Certificates) -> AmqpRig:
    return AmqpRig(rabbit, certificates)


async def _declare(rig: AmqpRig, name: str, *, durable: bool = False, passive: bool = False) -> int:
    connection = await aio_pika.connect(host=HOST, port=rig.server.port, login=USER, password=PASSWORD)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, durable=durable, passive=passive)
        return queue.declaration_result.message_count or 0


async def test_missing_queue_is_declared_as_the_original_does(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A missing queue is made not durable, not exclusive, not auto-delete, so that a Java OTP-Pi can share it."""
    result = await make_publisher(amqp.keywords()).send_sms(receiver=NUMBER, message="hello")
    assert result.response_code.value == "0000"
    assert await _declare(amqp, amqp.topic, durable=False) == 1


async def test_existing_queue_is_used_as_it_is(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A queue somebody declared durable is published to without declaring it another way."""
    await _declare(amqp, amqp.topic, durable=True)
    assert (await make_publisher(amqp.keywords()).send_sms(receiver=NUMBER, message="hello")).ok
    assert await _declare(amqp, amqp.topic, durable=True) == 1


async def test_queue_deleted_between_two_commands(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A queue that went away is made again, on the same connection."""
    publisher = make_publisher(amqp.keywords())
    assert (await publisher.send_sms(receiver=NUMBER, message="one")).ok
    connection = await aio_pika.connect(host=HOST, port=amqp.server.port, login=USER, password=PASSWORD)
    async with connection:
        await (await connection.channel()).queue_delete(amqp.topic)
    assert (await publisher.send_sms(receiver=NUMBER, message="two")).ok
    assert await _declare(amqp, amqp.topic) == 1


async def test_account_that_may_only_write(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """An account without any right but to write can send to a queue that is there."""
    async with amqp.receiving() as inbox:
        publisher = make_publisher(amqp.keywords(username="writer"))
        result = await publisher.send_sms(receiver=NUMBER, message="hello")
        assert result.response_code.value == "0000"
        await arrived(inbox)


async def test_account_without_rights(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """An account that may not use the virtual host is told so."""
    result = await make_publisher(amqp.keywords(username="stranger")).send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == ("1102", "forbidden")


async def test_unknown_virtual_host(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A virtual host that is not there is told, by its name."""
    result = await make_publisher(amqp.keywords(vhost="elsewhere")).send_sms(receiver=NUMBER, message="hello")
    assert (result.reason, "elsewhere" in result.message) == ("forbidden", True)


async def test_callback_queue_is_gone_afterwards(
    amqp: AmqpRig, make_publisher: MakePublisher, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue for an answer is deleted once the answer is there, without a word in the log."""
    topics: list[str] = []

    def reply(command: dict[str, str]) -> dict[str, object]:
        topics.append(command["callback_topic"])
        return success(command)

    publisher = make_publisher(amqp.keywords())
    async with amqp.answering(reply):
        assert (await publisher.get_modem_list()).ok
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await _declare(amqp, topics[0], passive=True)
    assert not [record for record in caplog.records if "cancelled by the broker" in record.getMessage()]


async def test_connection_lost_while_waiting_for_an_answer(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A question whose connection ends is over at once, not at its timeout."""
    publisher = make_publisher(amqp.keywords(callback_timeout="60s"))
    async with amqp.receiving() as inbox:
        asking = asyncio.create_task(publisher.get_modem_list())
        await arrived(inbox)
        await publisher.road.close()
        result = await asyncio.wait_for(asking, 10)
    assert (result.response_code.value, result.reason) == ("1102", "connection_lost")


async def test_check_declares_nothing(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A check looks the queue up and leaves it missing."""
    publisher = make_publisher(amqp.keywords())
    assert "is not there yet" in await publisher.road.check()
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await _declare(amqp, amqp.topic, passive=True)


async def test_connection_the_server_closed_a_moment_ago(amqp: AmqpRig, make_publisher: MakePublisher) -> None:
    """A connection that ended is replaced at once, also when it was used a moment before."""
    publisher = make_publisher(amqp.keywords())
    assert (await publisher.send_sms(receiver=NUMBER, message="one")).ok
    await asyncio.to_thread(amqp.server.close_connections)
    assert (await publisher.send_sms(receiver=NUMBER, message="two")).ok
