"""The roads without acknowledgements: what the OTP-Pi has taken is sent once, however often it is killed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis.asyncio
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.pi.chaos.journal import is_open, read
from tests.pi.chaos.processes import Modems, Pi, become
from tests.pi.chaos.verdict import Published, judge
from tests.publisher import rigs
from tests.publisher.servers import HOST, PASSWORD, RedisServer

KILLS = 6
BATCH = 3
"""Messages before a ping."""


def command(message: Published) -> bytes:
    data = {"receiver": message.receiver, "message": message.text, "id": message.text, "expiration": message.deadline}
    return json.dumps({"command": "send-sms", "data": data}).encode()


def numbered(prefix: str, number: int) -> Published:
    text = f"message {prefix} {number}"
    return Published(receiver=f"{prefix}{number:05}", text=text, deadline=int(time.time()) + 3600)


class WsBroker:
    """A broker that sends three commands and a ping, and sends them again where no pong came.

    Attributes:
        waiting: What has not been sent, or not been acknowledged.
        taken: What stood before a ping that was answered.
        sent: How many commands were sent, repetitions included.
    """

    def __init__(self, waiting: list[Published]) -> None:
        self.waiting = waiting
        self.taken: list[Published] = []
        self.sent = 0
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with serve(self._meet, HOST, 0, ping_interval=None, close_timeout=1) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            yield

    async def _meet(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while self.waiting:
                batch = self.waiting[:BATCH]
                for message in batch:
                    await socket.send(command(message).decode())
                    self.sent += 1
                await (await socket.ping())
                self.taken += batch
                del self.waiting[: len(batch)]
            await socket.wait_closed()


class RedisApplication:
    """Publishes on and on, whoever listens.

    Attributes:
        published: All messages.
        heard: How many somebody listened to.
    """

    def __init__(self, port: int) -> None:
        self.published: list[Published] = []
        self.heard = 0
        self._port = port

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Publish as long as the block lasts."""
        ending = asyncio.Event()

        async def publish() -> None:
            while not ending.is_set():
                await self.publish()
                await asyncio.sleep(0.05)

        task = asyncio.create_task(publish())
        try:
            yield
        finally:
            ending.set()  # no ``cancel()``: the library waits with ``wait_for``, which Python 3.11 may let swallow it
            await task

    async def publish(self) -> Published:
        """Publish one more message."""
        message = numbered("+62812400", len(self.published))
        self.published.append(message)
        async with redis.asyncio.Redis(host=HOST, port=self._port, username=rigs.USER, password=PASSWORD) as client:
            self.heard += await client.publish("chaos", command(message))
        return message


async def killed_and_started(pi: Pi, passed: Callable[[], int], count: int, road: str) -> None:
    """Kill the Pi when so many more messages have passed, and wait until it is back."""
    enough = passed() + count
    await become(lambda: passed() >= enough, "messages pass", pi)
    pi.kill()
    pi.start()
    await become(lambda: pi.connected(road), "connected", pi)


async def ended(pi: Pi, receivers: set[str]) -> None:
    """Wait until all these are in the journal, and everything in there has ended."""
    async with asyncio.timeout(60):
        while True:
            rows = await read(pi.data_dir)
            if {row.receiver for row in rows} >= receivers and not any(map(is_open, rows)):
                return
            assert pi.running(), pi.tail()
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_websocket_commands_before_an_answered_ping_are_sent_once(tmp_path: Path) -> None:
    """A pong says that all before it is stored; what had none comes again, and is not sent again."""
    broker = WsBroker([numbered("+62812300", number) for number in range(120)])
    modems = Modems(tmp_path, 2, delay=0.05)
    async with broker.running():
        table = f'[[ws]]\nhost = "{HOST}"\nport = {broker.port}\nreconnect_longest = "200ms"\n'
        pi = Pi(tmp_path / "pi", [table, *modems.tables()])
        published = list(broker.waiting)
        try:
            modems.start()
            pi.start()
            for place in range(KILLS):
                await killed_and_started(pi, lambda: broker.sent, 2 + 3 * place, "ws")
            await become(lambda: not broker.waiting, "all taken", pi)
            await ended(pi, {message.receiver for message in broker.taken})
            assert await asyncio.to_thread(pi.stop) == 0
            verdict = judge(published, await read(pi.data_dir), modems.parts())
        finally:
            pi.close()
            modems.close()
    assert pi.kills == KILLS
    assert len(broker.taken) == verdict.published == len(published)
    assert verdict.faults == []


@pytest.mark.timeout(300)
async def test_redis_commands_in_the_journal_are_sent_once(tmp_path: Path, redis_server: RedisServer) -> None:
    """What is published while nobody listens is lost, as Redis has it; what was stored is sent, and once."""
    modems = Modems(tmp_path, 2, delay=0.05)
    account = f'host = "{HOST}"\nport = {redis_server.port}\nusername = "{rigs.USER}"\npassword = "{PASSWORD}"\n'
    table = f'[[redis]]\n{account}topic = "chaos"\nreconnect_longest = "200ms"\n'
    pi = Pi(tmp_path / "pi", [table, *modems.tables()])
    application = RedisApplication(redis_server.port)
    try:
        modems.start()
        pi.start()
        await become(lambda: pi.connected("redis"), "connected", pi)
        async with application.publishing():
            for place in range(KILLS):
                await killed_and_started(pi, lambda: application.heard, 5 + 3 * place, "redis")
        last = await application.publish()
        await ended(pi, {last.receiver})
        assert await asyncio.to_thread(pi.stop) == 0
        rows = await read(pi.data_dir)
    finally:
        pi.close()
        modems.close()
    stored = {row.receiver for row in rows}
    verdict = judge([each for each in application.published if each.receiver in stored], rows, modems.parts())
    assert verdict.faults == []
    assert stored <= {each.receiver for each in application.published}
    # What was in the air at a kill is lost, too: of what was heard, some at each of them.
    assert len(stored) >= application.heard // 2
