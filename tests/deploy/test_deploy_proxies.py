"""The proxy configurations of `deploy/` in front of a real broker, over TLS, with clients that know nothing of it."""

import asyncio
import base64
import logging
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from broker import WSMessageBroker
from examples.ports import free_port
from tests.conftest import MakeBroker, until
from tests.deploy.proxy_kit import COMMANDS, Place, make_certificate, running_proxy

CLIENT = "127.0.0.2"
"""Where clients come from, so that their address can be told from the proxy's."""


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Site:
    """A broker behind a running proxy."""

    name: str
    broker: WSMessageBroker
    place: Place
    context: ssl.SSLContext

    def connect(self, topic: str, **headers: str) -> connect:
        return connect(
            f"wss://127.0.0.1:{self.place.port}/ws?topic={topic}",
            ssl=self.context,
            proxy=None,
            local_addr=(CLIENT, 0),
            additional_headers={"Authorization": basic("alice", "secret")} | headers,
        )


@pytest.fixture(params=sorted(COMMANDS))
async def site(request: pytest.FixtureRequest, make_broker: MakeBroker, tmp_path: Path) -> AsyncIterator[Site]:
    """Each proxy in front of a broker that trusts it."""
    home = tmp_path / "proxy"
    home.mkdir()
    certificate = make_certificate(home)
    broker = await make_broker(trusted_proxies=["127.0.0.1"], settle_time="100ms", admin_port=free_port())
    place = Place(home, free_port(), broker.port, broker.admin_port, certificate)
    async with running_proxy(request.param, place):
        yield Site(request.param, broker, place, certificate.client_context())


async def receive(client: ClientConnection, count: int) -> list[str | bytes]:
    async with asyncio.timeout(20):
        return [await client.recv() for _ in range(count)]


async def test_proxy_relays_messages_topics_and_addresses(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Text stays text, binary stays binary, in order, on the topic as it was encoded; the address is the client's."""
    logging.getLogger("broker").propagate = True
    with caplog.at_level(logging.INFO, logger="broker"):
        async with (
            site.connect("m-1+x%2F%C3%A9") as subscriber,
            site.connect("m-1%20x%2F%C3%A9", **{"X-Forwarded-For": "203.0.113.9"}) as publisher,
        ):
            sent: list[str | bytes] = ["hello", b"\x00\xff", "x" * 70_000]
            for message in sent:
                await publisher.send(message)
            assert await receive(subscriber, 3) == sent
            [topic] = site.broker.core.topics.by_name
            assert topic == "m-1 x/é"
    addresses = [
        record.__dict__["fields"]["address"] for record in caplog.records if record.__dict__.get("event") == "open"
    ]
    assert addresses == [CLIENT, CLIENT], "what a client itself claims in X-Forwarded-For is not believed"


async def test_proxy_hands_on_the_refusal(site: Site) -> None:
    """A client with a wrong password sees the broker's own 401, with its challenge and its body."""
    with pytest.raises(InvalidStatus) as caught:
        await site.connect("sms", Authorization=basic("alice", "wrong"))
    response = caught.value.response
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert b'"error": "unauthorized"' in bytes(response.body or b"")


async def test_proxy_loses_no_message_of_a_publisher_that_hangs_up(site: Site) -> None:
    """Thirty publishers send one frame behind one 101 of at most 1024 bytes and hang up without Close; all arrive."""
    async with site.connect("sms") as subscriber:
        for number in range(30):
            await publish_and_hang_up(site, f"message {number:02}".encode())
        assert sorted(await receive(subscriber, 30)) == [f"message {number:02}" for number in range(30)]


async def publish_and_hang_up(site: Site, payload: bytes) -> None:
    """Do what the existing PHP publisher does, over TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.place.port, ssl=site.context)
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /ws/?topic=sms HTTP/1.1\r\nHost: 127.0.0.1\r\npragma: no-cache\r\nUpgrade: WebSocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: {basic('alice', 'secret')}\r\nContent-type: application/json\r\n\r\n"
    )
    writer.write(request.encode())
    answer = await reader.read(1024)
    assert b" 101 " in answer
    assert answer.endswith(b"\r\n\r\n"), "the whole 101 is readable at once"
    writer.write(bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload)
    writer.close()
    await writer.wait_closed()


async def test_proxy_keeps_topics_out_of_its_log(site: Site) -> None:
    """The names of topics may be secrets: neither the access log nor the other output has one."""
    async with site.connect("callback-canary") as client:
        await (await client.ping())

    def logged() -> str:
        return "".join(log.read_text() for log in site.place.directory.glob("*.log"))

    if site.name != "caddy":  # which logs no requests unless told to
        await until(lambda: "GET /ws" in logged())
    assert "callback-canary" not in logged()
