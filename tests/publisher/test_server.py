"""``otp-publisher serve``: what it answers to whom."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
from aiohttp.test_utils import TestClient, TestServer

from htpasswd import hashes
from otp import accounts
from otp.accounts import Accounts, BusyError, credentials
from otp.http import PATHS
from otp.publisher import AsyncPublisher
from otp.publisher.config import load
from otp.publisher.server import Service
from tests.publisher.test_client import NOW, NUMBER, Clock, ListRoad, code_of

USER, PASSWORD = "app", "pass:word é"


def basic(user: str = USER, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


AUTHORIZED = {"Authorization": basic()}


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / ".htpasswd"
    file.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    return file


class Running:
    """A server under test, the road behind it, and a client."""

    def __init__(self, client: "TestClient[Any, Any]", road: ListRoad, publisher: AsyncPublisher) -> None:
        self.client, self.road, self.publisher = client, road, publisher

    async def ask(self, command: dict[str, Any] | bytes | str, **more: Any) -> dict[str, Any]:
        """Post a command and return the answer, which must come with status 200."""
        body = json.dumps(command) if isinstance(command, dict) else command
        async with self.client.post("/api/otp", data=body, headers={**AUTHORIZED, **more}) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            found: dict[str, Any] = await response.json()
            return found


@pytest.fixture
async def running(password_file: Path) -> AsyncIterator[Running]:
    keywords = {"method": "WS", "manage_otp": True, "store": "memory"}
    publisher = AsyncPublisher(settings=load(environment={}, keywords=keywords), clock=Clock())
    road = ListRoad()
    publisher._sender.road = road
    service = Service(publisher, Accounts(password_file, clock=Clock()), clock=Clock())
    async with TestClient(TestServer(service.application(max_body=20_000))) as client:
        yield Running(client, road, publisher)
    await publisher.close()


def create(**more: Any) -> dict[str, Any]:
    """Return the documented create request."""
    data = {"date_time": NOW, "expiration": NOW + 60, "receiver": NUMBER, "message": "Your OTP is %s"}
    params = {"reference": "123", "param1": "100000", "param2": "1", "param3": "", "param4": "x"}
    return {"command": "request-otp", "data": {**data, **params, **more}}


def verify(code: str, **more: Any) -> dict[str, Any]:
    command = create(otp=code, **more)
    del command["data"]["message"], command["data"]["expiration"]
    return {**command, "command": "verify-otp"}


async def test_create_and_verify(running: Running) -> None:
    """The documented requests work: a code is made, sent over the road, and verified once."""
    created = await running.ask(create())
    assert (created["command"], created["response_code"]) == ("request-otp", "1111")
    assert created["data"] == {"date_time": NOW, "receiver": NUMBER, "reference": "123"}
    assert created["expires_at"] == NOW + 60
    code = code_of(running.road.sent[0])
    answers = [await running.ask(verify(code)) for _ in range(2)]
    assert [answer["response_code"] for answer in answers] == ["0000", "1202"]
    assert answers[0]["data"] == {"date_time": NOW, "receiver": NUMBER, "reference": "123"}


async def test_code_as_a_number_and_other_params(running: Running) -> None:
    """A code may come as a JSON number; with another parameter it is wrong."""
    await running.ask(create(reference=7))
    code = code_of(running.road.sent[0])
    assert (await running.ask(verify(code, reference=7, param1="x")))["response_code"] == "1202"
    command = verify(code, reference="7")
    command["data"]["otp"] = int(code)
    assert (await running.ask(command))["response_code"] == "0000"


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        ("send-sms", "send-sms"),
        ("send-message", "send-message"),
        ("block-msisdn", "block-msisdn"),
        ("unblock-msisdn", "unblock-msisdn"),
    ],
)
async def test_other_commands(command: str, sent: str, running: Running) -> None:
    """Messages and block list go over the road, with the id and its type."""
    data = {"date_time": NOW, "expiration": NOW + 60, "id": 123456, "receiver": NUMBER, "message": "hello"}
    answer = await running.ask({"command": command, "data": data})
    assert (answer["command"], answer["response_code"]) == (command, "0000")
    assert running.road.sent[0]["command"] == sent
    if "id" in running.road.sent[0]["data"]:
        assert running.road.sent[0]["data"]["id"] == 123456
        assert running.road.sent[0]["data"]["expiration"] == NOW + 60


async def test_mail_under_both_names(running: Running) -> None:
    """``send-mail`` is ``send-email`` and is answered under the name it came with."""
    data = {"receiver": "a@b.example", "message": "hello", "subject": "s"}
    for name in ("send-mail", "send-email"):
        assert (await running.ask({"command": name, "data": data}))["command"] == name
    assert [message["command"] for message in running.road.sent] == ["send-email", "send-email"]


async def test_resend_and_cancel(running: Running) -> None:
    """A code can be sent again when its time has come, and cancelled."""
    await running.ask(create())
    resend = {"command": "resend-otp", "data": {"receiver": NUMBER, "reference": "123", "message": "%s"}}
    assert (await running.ask(resend))["reason"] == "rate_limited"
    cancel = {"command": "cancel-otp", "data": {"receiver": NUMBER, "reference": "123"}}
    assert [(await running.ask(cancel))["response_code"] for _ in range(2)] == ["0000", "1202"]


async def test_questions_and_echo(running: Running) -> None:
    """Questions are passed on and their answers back; an echo comes from here."""
    running.road.reply = lambda _command: b'{"response_code":"0000","data":{"modem_list":{}}}'
    assert (await running.ask({"command": "get-modem-list", "data": {}}))["data"] == {"modem_list": {}}
    assert (await running.ask({"command": "request-ussd", "data": {"ussd_code": "*1#"}}))["response_code"] == "0000"
    assert (await running.ask({"command": "echo", "data": {"x": 1}}))["data"] == {"x": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"command":"x"}',
        b'{"command":"send-sms"}',
        b'{"command":"send-sms","data":{}}',
        b"[" * 9000,
    ],
)
async def test_body_that_is_no_command(body: bytes, running: Running) -> None:
    """What is no command is answered 200 with 1102, so that old clients can read it."""
    assert (await running.ask(body))["response_code"] == "1102"
    assert running.road.sent == []


async def test_trailing_commas_and_any_content_type(running: Running) -> None:
    """The documented sample with its trailing comma works, posted as a form, as curl and PHP do."""
    body = '{"command": "block-msisdn", "data": {"date_time": 1629685778, "receiver": "08126666666",}}'
    answer = await running.ask(body, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert answer["response_code"] == "0000"


async def test_expired_command(running: Running) -> None:
    """What is past its expiration is not sent: 1203."""
    answer = await running.ask(create(date_time=NOW - 100, expiration=NOW - 40))
    assert (answer["response_code"], running.road.sent) == ("1203", [])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        basic(password="wrong"),
        basic(user="nobody"),
        basic(password="pass"),
        "Basic !!!",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff:x").decode(),
        "Bearer x",
    ],
)
async def test_unauthorized(header: str | None, running: Running) -> None:
    """Without the right credentials: 401, the challenge, 1100, and nothing else, whatever the method."""
    headers = {} if header is None else {"Authorization": header}
    for method in ("POST", "GET"):
        async with running.client.request(method, "/api/otp", data=b"{}", headers=headers) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == 'Basic realm="otp", charset="UTF-8"'
            assert (await response.json())["response_code"] == "1100"


async def test_two_authorization_headers(running: Running) -> None:
    """Two headers are no credentials: who is asking must not depend on who reads."""
    headers = [("Authorization", basic()), ("Authorization", basic("x", "y"))]
    async with running.client.post("/api/otp", data=b"{}", headers=headers) as response:
        assert response.status == 401


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_means_the_same(path: str, running: Running) -> None:
    """The body decides, not the path; PUT is as good as POST."""
    body = json.dumps({"command": "block-msisdn", "data": {"receiver": NUMBER}})
    for method in ("POST", "PUT"):
        async with running.client.request(method, path, data=body, headers=AUTHORIZED) as response:
            assert (await response.json())["response_code"] == "0000"


async def test_refusals_are_json(running: Running) -> None:
    """Other methods, other paths and bodies that are too large are refused with a status and a JSON body."""
    for method, path, body, status in (
        ("GET", "/api/otp", b"", 405),
        ("DELETE", "/api/otp", b"", 405),
        ("POST", "/api/other", b"{}", 404),
        ("POST", "/api/otp", b"x" * 20_001, 413),
    ):
        async with running.client.request(method, path, data=body, headers=AUTHORIZED) as response:
            assert (response.status, (await response.json())["response_code"]) == (status, "1102")
            assert ("Allow" in response.headers) == (status == 405)


async def test_large_chunked_body(running: Running) -> None:
    """A body without a length is counted as it comes."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 1000

    async with running.client.post("/api/otp", data=parts(), headers=AUTHORIZED) as response:
        assert response.status == 413


async def test_slow_body(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come is given up on."""
    monkeypatch.setattr("otp.http.BODY_TIMEOUT", 0.1)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    async with running.client.post("/api/otp", data=never(), headers=AUTHORIZED) as response:
        assert response.status == 408


async def test_slow_command_delays_nobody(running: Running) -> None:
    """While one command waits for its road, others are answered."""
    running.road.hold = asyncio.Event()
    slow = asyncio.create_task(running.ask({"command": "block-msisdn", "data": {"receiver": NUMBER}}))
    await running.road.reached.wait()
    assert (await running.ask({"command": "echo", "data": {}}))["response_code"] == "0000"
    assert not slow.done()
    running.road.hold.set()
    assert (await slow)["response_code"] == "0000"


async def test_mistake_inside_is_not_shown(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake of ours is 500 without a word about it, and its text, which may hold a body, is not logged."""
    running.road.fail = ZeroDivisionError("canary")
    body = json.dumps({"command": "block-msisdn", "data": {"receiver": NUMBER}})
    async with running.client.post("/api/otp", data=body, headers=AUTHORIZED) as response:
        assert response.status == 500
        assert "canary" not in await response.text()
    assert "ZeroDivisionError" in caplog.text
    assert "canary" not in caplog.text


async def test_live(running: Running) -> None:
    """Anyone may ask whether the process is alive."""
    async with running.client.get("/livez") as response:
        assert response.status == 200


async def test_hundred_clients_cost_one_check(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A success is remembered: later requests cost no hash."""
    checks: list[str] = []
    original = hashes.verify

    def counted(password: str, stored: str) -> bool:
        checks.append(stored)
        return original(password, stored)

    monkeypatch.setattr(hashes, "verify", counted)
    known = Accounts(password_file)
    assert [await known.user(basic()) for _ in range(100)] == [USER] * 100
    assert len(checks) == 1


async def test_unknown_user_costs_a_check_as_well(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is checked against a hash of the same cost, so that time does not tell names."""
    checks: list[str] = []

    def counted(_password: str, stored: str) -> bool:
        checks.append(stored)
        return True

    monkeypatch.setattr(hashes, "verify", counted)
    assert await Accounts(password_file).user(basic(user="nobody")) is None
    assert (hashes.scheme(checks[0]).name, hashes.scheme(checks[0]).cost) == ("bcrypt", 4)


def rewrite(file: Path, text: str) -> None:
    """Change a file in a way that shows, however coarse the clock of the file system."""
    file.write_text(text)
    os.utime(file, ns=(1, len(text)))


async def test_changed_file_counts_at_once(password_file: Path) -> None:
    """A new password counts within a second and the old one no longer, even remembered; an empty file is not taken."""
    clock = Clock()
    known = Accounts(password_file, clock=clock)
    assert await known.user(basic()) == USER
    rewrite(password_file, f"{USER}:{bcrypt.hashpw(b'new', bcrypt.gensalt(4)).decode()}\n")
    assert await known.user(basic()) == USER
    clock.now += 1
    assert [await known.user(basic()), await known.user(basic(password="new"))] == [None, USER]
    rewrite(password_file, "")
    clock.now += 1
    assert await known.user(basic(password="new")) == USER


async def test_too_many_waiting_checks(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the cap a check is refused instead of queued."""
    monkeypatch.setattr(accounts, "MAX_WAITING", 3)
    known = Accounts(password_file)
    found = await asyncio.gather(*(known.user(basic(password=str(n))) for n in range(6)), return_exceptions=True)
    assert [isinstance(each, BusyError) for each in found] == [False] * 3 + [True] * 3


async def test_busy_is_503(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that meets the cap is told to come back."""
    monkeypatch.setattr(accounts, "MAX_WAITING", 0)
    async with running.client.post("/api/otp", data=b"{}", headers={"Authorization": basic(password="x")}) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert isinstance(response, aiohttp.ClientResponse)


def test_credentials_keep_colons() -> None:
    """Everything after the first colon is the password; the scheme's case does not matter."""
    pair = base64.b64encode(b"user:a:b").decode()
    assert credentials(f"bAsIc   {pair} ") == ("user", "a:b")


async def test_guessing_is_429(running: Running) -> None:
    """After twenty wrong passwords the next is refused with the time to wait, as JSON."""
    for number in range(20):
        async with running.client.post("/api/otp", headers={"Authorization": basic(password=str(number))}) as response:
            assert response.status == 401
    async with running.client.post("/api/otp", headers=AUTHORIZED) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert (await response.json())["response_code"] == "1102"


async def test_compressed_body_is_415(running: Running) -> None:
    """A compressed body is refused unread: a small one may be a huge one."""
    headers = {**AUTHORIZED, "Content-Encoding": "gzip"}
    async with running.client.post("/api/otp", data=b"\x1f\x8b", headers=headers) as response:
        assert (response.status, response.headers["Accept-Encoding"]) == (415, "identity")
        assert (await response.json())["reason"] == "unsupported_media_type"
