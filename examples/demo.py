"""The main job end to end, over real sockets: a message through the broker, then a one-time password.

Nothing has to be there and nothing stays: accounts are generated, ports are free ones. Exit code 0 says that what
arrived is what was sent, and that the right code, and only that, is accepted.
"""

import asyncio
import json
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from examples.ports import free_port
from examples.stage import broker_process, make_accounts, paint, say
from otp.publisher import AsyncPublisher

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


async def one_time_password(port: int, passwords: dict[str, str], folder: Path) -> bool:
    """Create a code, read it where the SMS would be sent, verify it once; tell whether all went well."""
    publisher = AsyncPublisher(
        method="WS",
        host="127.0.0.1",
        port=port,
        topic=TOPIC,
        username="app",
        password=passwords["app"],
        manage_otp=True,
        cache_dir=str(folder / "codes"),
        key_file=str(folder / "otp.key"),
    )
    receiver, reference, params = "0812661111", "order-1", ["250000"]
    async with publisher, connect(url(port, "gateway", passwords["gateway"]), proxy=None) as gateway:
        created = await publisher.create_otp(
            receiver=receiver, reference=reference, params=params, lifetime=60, message="Your code is %s"
        )
        say("app", f"asked the publisher for a code: {created.response_code} ({created.message})")
        data = json.loads(await asyncio.wait_for(gateway.recv(), WAIT))["data"]
        code = data["message"].removeprefix("Your code is ")
        say("gateway", f"would now send an SMS to {data['receiver']}: Your code is {code[:2]}{'*' * (len(code) - 2)}")
        wrong = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"
        answers = []
        for otp, what in ((wrong, "a wrong code"), (code, "the right code"), (code, "the same code again")):
            answer = await publisher.verify_otp(receiver=receiver, reference=reference, params=params, otp=otp)
            say("app", f"verified {what}: {answer.response_code}")
            answers.append(str(answer.response_code))
    return created.ok and answers == ["1202", "0000", "1202"]


async def play(port: int, passwords: dict[str, str], folder: Path) -> bool:
    """Play both scenes."""
    return await relay(port, passwords) and await one_time_password(port, passwords, folder)


def main() -> int:
    """Set the stage, play, and say how it ended."""
    port, admin_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ".htpasswd"
        passwords = make_accounts(file, ["app", "gateway", "monitor"])
        say("you", f"made a password file with {len(passwords)} accounts (bcrypt)")
        options = ["--host", "127.0.0.1", "--port", str(port), "--password-file", str(file), "--log-level", "error"]
        with broker_process(*options, admin_port=admin_port):
            say("broker", f"listens on ws://127.0.0.1:{port}/ws")
            good = asyncio.run(play(port, passwords, Path(folder)))
        say("broker", "said goodbye to everyone (Close 1001) and stopped")
    say("result", paint("good", "all as promised") if good else paint("bad", "something is wrong, see above"))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
