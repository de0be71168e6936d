"""Events posted to a URL."""

import asyncio
import hmac
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from otp.pi import events, receivers, settings
from otp.pi.events import UndeliveredError
from otp.pi.webhook import Webhook
from tests.conftest import until

SECRET = "webhook-secret"


class Receiver:
    """A web server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})

    @property
    def url(self) -> str:
        return str(self.server.make_url("/hook"))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    await found.server.start_server()
    yield found
    await found.server.close()


async def test_event_arrives_signed_as_the_receiver_checks_it(receiver: Receiver) -> None:
    """HMAC-SHA-256 of the raw body under the shared secret stands in the header."""
    hook = Webhook(receiver.url, secret=SECRET)
    body = json.dumps({"event": "alarm"}).encode()
    await hook.deliver(body)
    await hook.deliver(body)
    await hook.close()
    (headers, got), again = receiver.requests
    assert (got, again[1]) == (body, body)
    assert headers["Content-Type"] == "application/json"
    assert headers["X-OTP-Pi-Signature"] == "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()


async def test_event_without_a_secret_is_not_signed(receiver: Receiver) -> None:
    """No secret, no header: nobody takes a signature under an empty key for one."""
    hook = Webhook(receiver.url)
    await hook.deliver(b"{}")
    await hook.close()
    await hook.close()
    assert "X-OTP-Pi-Signature" not in receiver.requests[0][0]


@pytest.mark.parametrize(
    ("status", "permanent"), [(301, True), (400, True), (404, True), (408, False), (429, False), (500, False)]
)
async def test_refusal_says_whether_another_try_is_worth_it(receiver: Receiver, status: int, permanent: bool) -> None:
    """What the receiver will never take is not offered again; a redirect is not followed."""
    receiver.status = status
    hook = Webhook(receiver.url)
    with pytest.raises(UndeliveredError, match=f"^http_{status}$") as caught:
        await hook.deliver(b"{}")
    await hook.close()
    assert caught.value.permanent is permanent
    assert len(receiver.requests) == 1


async def test_receiver_that_is_away_is_worth_another_try(free_port: int) -> None:
    """A refused connection is no reason to give an event up, and its error quotes nothing."""
    hook = Webhook(f"http://127.0.0.1:{free_port}/hook?token=canary", secret=SECRET)
    with pytest.raises(UndeliveredError) as caught:
        await hook.deliver(b'{"message": "canary"}')
    await hook.close()
    assert not caught.value.permanent
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_url_that_is_none_is_given_up() -> None:
    """A URL without a host will not become one."""
    hook = Webhook("http://")
    with pytest.raises(UndeliveredError, match="invalid_url") as caught:
        await hook.deliver(b"{}")
    await hook.close()
    assert caught.value.permanent


def test_authority_that_is_no_file_is_refused_at_the_start(tmp_path: Path) -> None:
    """A certificate file that is missing shows when the service starts, not with the first event."""
    with pytest.raises(OSError, match="No such file"):
        Webhook("https://127.0.0.1/", ca=str(tmp_path / "missing.pem"))


def test_http_client_is_imported_only_when_a_webhook_is_configured() -> None:
    """Who posts nothing does not pay for the client."""
    code = (
        "import sys; from otp.pi import receivers, settings; receivers.open_events(settings.Events(), None);"
        "print('aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_events_reach_webhook_and_topic(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Both receivers of the settings get every event, as the same JSON object, and no log line shows it."""
    published: list[tuple[str, Any]] = []
    done = asyncio.Event()

    async def publish(topic: str, payload: bytes) -> None:
        published.append((topic, json.loads(payload)))
        done.set()

    table = settings.Events(webhook=receiver.url, webhook_secret=SecretStr(SECRET), topic="events")
    told = receivers.open_events(table, publish)
    with caplog.at_level(logging.DEBUG, logger="otp"):
        told.emit(events.alarm("budget", 12.5, scope="canary"))
        task = asyncio.create_task(told.run())
        async with asyncio.timeout(10):
            await done.wait()
        await until(lambda: told.couriers[0].delivered)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    wanted = {"event": "alarm", "alarm": "budget", "at": 12.5, "scope": "canary"}
    assert published == [("events", wanted)]
    assert json.loads(receiver.requests[0][1]) == wanted
    assert "canary" not in caplog.text
    assert told.dropped == 0
