"""RabbitMQ: queues as others of the family need them, rights, and queues that go away."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from otp.pi.inputs.base import RoadLostError
from otp.pi.model import RejectedError
from tests.conftest import until
from tests.pi.input_rigs import AmqpInputRig, Taker, running
from tests.publisher.certificates import Certificates
from tests.publisher.servers import RabbitServer


@pytest.fixture
def rig(rabbit: RabbitServer, certificates: Certificates, tmp_path: Path) -> AmqpInputRig:
    return AmqpInputRig(rabbit, certificates, tmp_path)


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.mark.parametrize("durable", [False, True])
async def test_missing_queue_is_declared(rig: AmqpInputRig, taker: Taker, durable: bool) -> None:
    """A missing queue is made as the Java OTP-Pi makes it, or durable where that is asked for; and stays."""
    async with running(rig.open(taker, durable=durable)):
        pass
    async with rig.channel() as channel:
        await channel.declare_queue(rig.topic, durable=durable)
        await channel.queue_delete(rig.topic)


async def test_existing_queue_is_used_as_it_is(rig: AmqpInputRig, taker: Taker) -> None:
    """A queue that somebody declared in another way is consumed from; poison goes where its dead letters go."""
    dead = f"{rig.topic}-dead"
    arguments: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    taker.poison, taker.refusal = {b"poison"}, RejectedError("no command")
    async with rig.channel() as channel:
        letters = await channel.declare_queue(dead)
        await channel.declare_queue(rig.topic, durable=True, arguments=arguments)
        async with running(rig.open(taker)):
            await rig.send(b"poison", b"good")
            await taker.holds(b"good")
        letter = await letters.get(no_ack=True)
        assert letter is not None
        assert letter.body == b"poison"
        await channel.queue_delete(dead)
        await channel.queue_delete(rig.topic)


async def test_no_more_than_prefetch_are_on_the_way(rig: AmqpInputRig, taker: Taker) -> None:
    """While the first is being stored, the server keeps all but the prefetched ones."""
    async with running(rig.open(taker, prefetch=2)):
        taker.open.clear()
        await rig.send(*(b"%d" % number for number in range(5)))
        await until(lambda: taker.waiting == 1)
        async with rig.channel() as channel:

            async def ready() -> int:
                queue = await channel.declare_queue(rig.topic, passive=True)
                return queue.declaration_result.message_count or 0

            assert await ready() == 3
        taker.open.set()
        await taker.holds(*(b"%d" % number for number in range(5)))


async def test_queue_deleted_while_consuming(rig: AmqpInputRig, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """A queue that is deleted under us is said, declared again and consumed from."""
    caplog.set_level(logging.INFO, "otp.pi")
    async with running(rig.open(taker)):
        async with rig.channel() as channel:
            await channel.queue_delete(rig.topic)
        await until(lambda: caplog.text.count("input_connected") == 2)
        await rig.send(b"after")
        await taker.holds(b"after")
    assert "has been deleted" in caplog.text


async def test_server_that_closes_connections(rig: AmqpInputRig, taker: Taker) -> None:
    """Connections that an operator closes are made again."""
    async with running(rig.open(taker)) as way:
        since = way.status.since
        await asyncio.to_thread(rig.server.close_connections)
        await until(lambda: way.status.connected and way.status.since > since, 30)
        await rig.send(b"after")
        await taker.holds(b"after")


async def test_command_stored_while_the_connection_ends(rig: AmqpInputRig, taker: Taker) -> None:
    """A command whose acknowledgement finds no connection comes again; which of the two is sent is the journal's."""
    async with running(rig.open(taker)) as way:
        taker.open.clear()
        await rig.send(b"one", b"two")
        await until(lambda: taker.waiting == 1)
        since = way.status.since
        await asyncio.to_thread(rig.server.close_connections)
        taker.open.set()
        await until(lambda: way.status.connected and way.status.since > since, 30)
        await taker.holds(b"one", b"two")
        await until(lambda: taker.stored.count(b"one") == 2)


@pytest.mark.parametrize(("user", "said"), [("writer", "does not allow this account"), ("stranger", "virtual host /")])
async def test_account_without_rights(rig: AmqpInputRig, taker: Taker, user: str, said: str) -> None:
    """What the account may not do is told in words."""
    async with running(rig.open(taker, username=user), wait=False) as way:
        await until(lambda: said in way.status.detail)
        assert not way.status.connected


@pytest.mark.parametrize("durable", [True, False])
async def test_answer_waits_in_its_queue(rig: AmqpInputRig, taker: Taker, durable: bool) -> None:
    """An answer waits for a publisher that comes later, in a queue of its kind or as it has declared it."""
    topic = f"modem-list-{durable}"
    async with rig.channel() as channel, running(rig.open(taker)) as way:
        if not durable:
            await channel.declare_queue(topic)
        await way.publish(topic, b"answer")
        queue = await channel.declare_queue(topic, durable=durable)
        message = await queue.get(no_ack=True)
        assert message is not None
        assert message.body == b"answer"
        await channel.queue_delete(topic)


@pytest.mark.parametrize("topic", ["", "x" * 256])
async def test_answer_on_an_impossible_topic(rig: AmqpInputRig, taker: Taker, topic: str) -> None:
    """A name that no queue can have is refused, and the commands go on."""
    async with running(rig.open(taker)) as way:
        with pytest.raises(RoadLostError, match="1 to 255 bytes"):
            await way.publish(topic, b"answer")
        await rig.send(b"after")
        await taker.holds(b"after")


async def test_answer_that_has_no_room(rig: AmqpInputRig, taker: Taker) -> None:
    """An answer that its queue refuses is not taken for published."""
    async with rig.channel() as channel, running(rig.open(taker)) as way:
        full: dict[str, Any] = {"x-max-length": 0, "x-overflow": "reject-publish"}
        await channel.declare_queue("full-answers", arguments=full)
        with pytest.raises(RoadLostError, match="did not take the message"):
            await way.publish("full-answers", b"answer")
        await channel.queue_delete("full-answers")


async def test_bodies_stay_out_of_the_log(rig: AmqpInputRig, taker: Taker, caplog: pytest.LogCaptureFixture) -> None:
    """Even at DEBUG nothing that was received or answered is logged."""
    caplog.set_level(logging.DEBUG)
    async with rig.channel(), running(rig.open(taker)) as way, rig.answers("bodies") as inbox:
        caplog.clear()
        await rig.send(b"secret command")
        await taker.holds(b"secret command")
        await way.publish("bodies", b"secret answer")
        await asyncio.wait_for(inbox.get(), 10)
    assert "secret" not in caplog.text
