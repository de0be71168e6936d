"""First scene: one message through the broker, to everyone on its topic but its sender."""

import asyncio
import json
import time
from http import HTTPStatus
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from examples.stage import paint, say

TOPIC: Final = "sms"
WAIT: Final = 5.0
"""Seconds for one message to arrive."""


def message() -> str:
    """Make what an application server would send to a GSM gateway."""
    now = int(time.time())
    data = {"date_time": now, "expiration": now + 60, "id": 1, "receiver": "08126666666", "message": "Your OTP is 1234"}
    return json.dumps({"command": "send-sms", "data": data})


def url(port: int, user: str, password: str, topic: str = TOPIC) -> str:
    """Build the URL that any WebSocket client connects to."""
    return f"ws://{user}:{password}@127.0.0.1:{port}/ws?topic={topic}"


async def expect(socket: ClientConnection, name: str, wanted: str) -> bool:
    """Read one message and compare it."""
    got = await asyncio.wait_for(socket.recv(), WAIT)
    right = got == wanted
    say(name, f"received {len(got)} bytes: " + (paint("good", "the same message") if right else paint("bad", "not it")))
    return right


async def expect_nothing(socket: ClientConnection, name: str, why: str) -> bool:
    """See that nothing arrives for half a second."""
    try:
        await asyncio.wait_for(socket.recv(), 0.5)
    except TimeoutError:
        say(name, f"received nothing: {why}")
        return True
    say(name, paint("bad", "received a message that was not for it"))
    return False


async def is_refused(port: int) -> bool:
    """Try a wrong password."""
    try:
        async with connect(url(port, "app", "guess"), proxy=None):
            say("a stranger", paint("bad", "got in with a wrong password"))
            return False
    except InvalidStatus as refusal:
        status = refusal.response.status_code
        say("a stranger", f"tried a wrong password and got HTTP {status}, before any upgrade")
        return status == HTTPStatus.UNAUTHORIZED


async def relay(port: int, passwords: dict[str, str]) -> bool:
    """Send one message to two subscribers; tell whether all went well."""
    text = message()
    async with (
        connect(url(port, "gateway", passwords["gateway"]), proxy=None) as gateway,
        connect(url(port, "monitor", passwords["monitor"]), proxy=None) as monitor,
        connect(url(port, "monitor", passwords["monitor"], "other"), proxy=None) as elsewhere,
        connect(url(port, "app", passwords["app"]), proxy=None) as app,
    ):
        say("gateway", f"connected to GET /ws?topic={TOPIC} with HTTP Basic credentials")
        say("monitor", f"connected to the same topic, {TOPIC}, and once more to another one")
        started = time.perf_counter()
        await app.send(text)
        say("app", f"connected and sent one message: {text[:48]}...")
        await (await app.ping())
        took = (time.perf_counter() - started) * 1000
        say("app", f"its ping was answered {took:.1f} ms later: the broker has handed the message on")
        results = [
            await expect(gateway, "gateway", text),
            await expect(monitor, "monitor", text),
            await expect_nothing(app, "app", "a sender never gets its own message back"),
            await expect_nothing(elsewhere, "monitor", "the other topic is another topic"),
            await is_refused(port),
        ]
    return all(results)
