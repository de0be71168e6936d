"""The two little clients: publish and subscribe, and what they say when it does not work."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from broker import WSMessageBroker
from broker.client import ClientError, explain, publish, subscribe
from tests.broker.conftest import Dial
from tests.conftest import MakeBroker, until
from tests.wire.raw import binary, text

pytestmark = pytest.mark.both_loops


def url_of(broker: WSMessageBroker, user: str = "alice:secret", topic: str = "t") -> str:
    return f"ws://{user}@127.0.0.1:{broker.port}/ws?topic={topic}"


# -- publish


async def test_publish_returns_once_the_broker_has_handed_it_on(make_broker: MakeBroker, dial: Dial) -> None:
    """Text as text, bytes as binary, in order; the count is what was published."""
    broker = await make_broker()
    reader = await dial(broker)
    assert await publish(url_of(broker), ["one", b"\xff", ""]) == 3
    assert broker.core.topics.delivered == 3
    assert await reader.frames(3) == [text("one"), binary(b"\xff"), text("")]


async def test_publish_of_many_messages_loses_none(make_broker: MakeBroker, dial: Dial) -> None:
    """A whole file of lines arrives in order."""
    broker = await make_broker()
    reader = await dial(broker)
    assert await publish(url_of(broker), (str(number) for number in range(2000))) == 2000
    assert await reader.frames(2000) == [text(str(number)) for number in range(2000)]


async def test_publish_of_nothing_is_no_message(make_broker: MakeBroker) -> None:
    """An empty list still checks that the broker is there."""
    broker = await make_broker()
    assert await publish(url_of(broker), []) == 0
    assert broker.core.topics.received == 0


async def test_publish_of_too_much_says_what_the_broker_said(make_broker: MakeBroker) -> None:
    """The Close's code and reason are the error."""
    broker = await make_broker(max_message_size=10)
    with pytest.raises(ClientError, match=r"^the broker closed the connection: 1009 message_too_big: more than 10 "):
        await publish(url_of(broker), ["x" * 11])


async def test_publish_answers_pings_while_its_source_is_silent() -> None:
    """A pipe on which nothing comes for an hour costs no connection: the loop turns while it waits."""
    answered = asyncio.Event()
    got: list[str | bytes] = []

    async def source() -> AsyncIterator[str]:
        yield "before"
        await answered.wait()
        yield "after"

    async def ask_for_life(client: ServerConnection) -> None:
        got.append(await client.recv())
        await (await client.ping(b"still there?"))
        answered.set()
        got.append(await client.recv())
        await client.wait_closed()

    async with serve(ask_for_life, "127.0.0.1", 0, ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        assert await publish(f"ws://127.0.0.1:{port}/ws", source()) == 2
    assert got == ["before", "after"]


# -- subscribe


async def test_subscribe_yields_text_and_bytes_until_it_is_closed(make_broker: MakeBroker) -> None:
    """Every message as it was sent; leaving early says goodbye."""
    broker = await make_broker()
    received: list[str | bytes] = []

    async def listen() -> None:
        async with contextlib.aclosing(subscribe(url_of(broker))) as messages:
            async for message in messages:
                received.append(message)
                if len(received) == 2:
                    return

    listening = asyncio.create_task(listen())
    await until(lambda: broker.core.census.by_user["alice"] == 1)
    await publish(url_of(broker), ["one", b"two"])
    await listening
    assert received == ["one", b"two"]
    await until(lambda: broker.core.counters.closed["1000"] == 2)


async def test_subscribe_says_why_the_broker_closed(make_broker: MakeBroker) -> None:
    """A broker that stops is an error with its reason, not an endless silence."""
    broker = await make_broker()

    async def listen() -> None:
        async for _ in subscribe(url_of(broker)):
            pass

    listening = asyncio.create_task(listen())
    await until(lambda: broker.core.census.by_user["alice"] == 1)
    await broker.stop()
    with pytest.raises(ClientError, match=r"^the broker closed the connection: 1001 shutdown$"):
        await listening


# -- errors


async def test_wrong_password_is_told_in_the_brokers_words(make_broker: MakeBroker) -> None:
    """Status, cause and what to do, without the password."""
    broker = await make_broker()
    with pytest.raises(ClientError, match=r"^refused with 401: user or password is wrong. What to do: ") as caught:
        await publish(url_of(broker, "alice:hunter2"), ["x"])
    assert "hunter2" not in str(caught.value)


async def test_nobody_there_is_told_in_words(free_port: int) -> None:
    """The most frequent mistake of all."""
    with pytest.raises(ClientError, match="nothing listens there; is the broker running"):
        await publish(f"ws://alice:secret@127.0.0.1:{free_port}/ws", ["x"])


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:9000/ws", "ws://", "ws://u@127.0.0.1/ws"])
async def test_url_that_is_none_is_told_how_to_look(url: str) -> None:
    """An example says more than a rule."""
    with pytest.raises(ClientError, match=r"the URL must look like ws://user:password@host:port/ws\?topic=NAME"):
        await publish(url, ["x"])


@contextlib.asynccontextmanager
async def server_that(answers: bytes, *, hangs: bool = False) -> AsyncIterator[str]:
    """A server that says something else than a broker, or nothing at all."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers)
        if not hangs:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://alice:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        for writer in writers:
            writer.close()


async def test_server_that_is_no_broker_is_recognised() -> None:
    """Something else listens there: whatever it answers is one line."""
    for answers in (b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        async with server_that(answers) as url:
            with pytest.raises(ClientError) as caught:
                await publish(url, ["x"])
            assert "\n" not in str(caught.value)
            assert "refused with 200" in str(caught.value) or "no WebSocket broker" in str(caught.value)


async def test_refusal_without_json_is_its_status() -> None:
    """A proxy's error page is not printed."""
    async with server_that(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>") as url:
        with pytest.raises(ClientError, match=r"^refused with 502$"):
            await publish(url, ["x"])


async def test_server_that_never_answers_is_given_up() -> None:
    """`timeout` bounds the wait."""
    async with server_that(b"", hangs=True) as url:
        with pytest.raises(ClientError, match=r"^the broker did not answer in time$"):
            await publish(url, ["x"], timeout=0.2)
        with pytest.raises(ClientError, match=r"^the broker did not answer in time$"):
            async for _ in subscribe(url, timeout=0.2):
                pass


async def test_connection_that_breaks_is_told_in_words(make_broker: MakeBroker) -> None:
    """A broker that is killed leaves no Close."""
    broker = await make_broker()

    async def listen() -> None:
        async for _ in subscribe(url_of(broker)):
            pass

    listening = asyncio.create_task(listen())
    await until(lambda: broker.core.census.by_user["alice"] == 1)
    (member,) = broker.core.everyone()
    member.transport.abort()
    with pytest.raises(ClientError, match=r"^the connection was lost$"):
        await listening


async def test_any_other_error_is_one_line_too() -> None:
    """What the system says, or at least a name."""
    assert explain(OSError(113, "No route to host")) == "No route to host"
    assert explain(EOFError()) == "EOFError: this is no WebSocket broker, or it hung up"
