"""The HTTP server: what it answers to whom."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from otp.http import PATHS
from otp.pi import settings
from otp.pi.counts import Counts
from otp.pi.journal import Journal, StorageError
from otp.pi.model import Channel, NewMessage, Origin, State
from otp.pi.rest import Rest
from otp.pi.status import Status
from otp.roads.errors import ConfigError
from tests.pi.rest_doubles import AUTHORIZED, NOW, USER, Input, Row, World, basic, modem, talk, write_accounts
from tests.publisher import certificates

BLOCK = {"command": "block-msisdn", "data": {"receiver": "0812"}}


class Running:
    """A server under test, what is behind it, and a client."""

    def __init__(self, world: World, rest: Rest, counts: Counts, url: str, session: aiohttp.ClientSession) -> None:
        self.world, self.rest, self.counts, self.url, self.session = world, rest, counts, url, session

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def send(self, method: str, path: str, body: Any = b"{}", **headers: str) -> tuple[int, dict[str, Any], Any]:
        """Return status, JSON and headers of an answer."""
        wanted = {**AUTHORIZED, **headers}
        async with self.session.request(method, self.url + path, data=body, headers=wanted) as response:
            return response.status, await response.json(), response.headers

    async def get(self, path: str, status: int = 200, **headers: str) -> Any:
        found, answer, _ = await self.send("GET", path, None, **headers)
        assert found == status, answer
        return answer


@asynccontextmanager
async def serving(directory: Path, **given: Any) -> AsyncIterator[Running]:
    values = {"host": "127.0.0.1", "port": 0, "password_file": str(write_accounts(directory / ".htpasswd")), **given}
    world, counts = World(), Counts()
    rest = Rest(settings.Rest.model_validate(values), world.asked, world.status, world.journal, counts)
    url = await rest.start()
    async with aiohttp.ClientSession() as session:
        yield Running(world, rest, counts, url, session)
    await rest.stop()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path, max_body=20_000) as made:
        yield made


# -- commands


@pytest.mark.parametrize("path", PATHS)
async def test_every_path_takes_every_command(path: str, running: Running) -> None:
    """The body decides, not the path; PUT is as good as POST; any content type; the answer comes with 200."""
    for method in ("POST", "PUT"):
        found = await running.send(method, path, json.dumps(BLOCK), **{"Content-Type": "text/x-any"})
        assert found[:2] == (200, {"command": "block-msisdn", "response_code": "0000", "data": {}})
    assert running.world.asked.origins == [Origin(road="rest", user=USER)] * 2
    assert running.world.asked.payloads[0] == json.dumps(BLOCK).encode()
    assert sum(running.counts.answer.times) == 2


@pytest.mark.parametrize(
    "header",
    ["", basic(password="wrong"), basic(user="nobody"), basic(password="pass"), "Basic !!!", "Basic YQ", "Bearer x"],
)
async def test_unauthorized(header: str, running: Running) -> None:
    """Without the right credentials: 401, the challenge and 1100, whatever the method; malformed base64 too."""
    for method in ("POST", "GET", "DELETE"):
        status, answer, headers = await running.send(method, "/api/otp", Authorization=header)
        assert (status, answer["response_code"], answer["reason"]) == (401, "1100", "unauthorized")
        assert headers["WWW-Authenticate"] == 'Basic realm="otp", charset="UTF-8"'
    assert running.world.asked.payloads == []
    assert running.counts.rejected == {"unauthorized": 3}


async def test_two_authorization_headers(running: Running) -> None:
    """Two headers are no credentials: who is asking must not depend on who reads."""
    headers = [("Authorization", basic()), ("Authorization", basic())]
    async with running.session.post(f"{running.url}/api/otp", data=b"{}", headers=headers) as response:
        assert (response.status, (await response.json())["response_code"]) == (401, "1100")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected", "extra"),
    [
        ("GET", "/api/otp", None, {}, 405, ("Allow", "PUT,POST")),
        ("DELETE", "/api/sms", None, {}, 405, ("Allow", "PUT,POST")),
        ("POST", "/api/journal", b"", {}, 405, ("Allow", "GET,HEAD")),
        ("POST", "/api/otpXYZ", b"{}", {}, 404, None),
        ("GET", "/", None, {}, 404, None),
        ("POST", "/api/otp", b"x" * 20_001, {}, 413, None),
        ("POST", "/api/otp", b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415, ("Accept-Encoding", "identity")),
    ],
)
async def test_refusals_are_json(
    method: str, path: str, body: Any, headers: dict[str, str], expected: int, extra: Any, running: Running
) -> None:
    """Whatever is no command is refused with its status and a JSON object, and counted."""
    status, answer, found = await running.send(method, path, body, **headers)
    assert (status, answer["response_code"], answer["command"]) == (expected, "1102", "")
    if extra:
        assert set(found[extra[0]].split(",")) == set(extra[1].split(","))
    assert running.counts.rejected == {answer["reason"]: 1}


async def test_chunked_bodies(running: Running) -> None:
    """A body without a length is taken, and counted as it comes."""

    async def parts(count: int) -> AsyncIterator[bytes]:
        text = json.dumps({**BLOCK, "filler": "x" * count})
        for start in range(0, len(text), 1000):
            yield text[start : start + 1000].encode()

    assert (await running.send("POST", "/api/otp", parts(15_000)))[0] == 200
    assert (await running.send("POST", "/api/otp", parts(25_000)))[0] == 413


async def test_expect_100_continue(running: Running) -> None:
    """A client that asks first whether it may send is told to, as curl does with long bodies."""
    body = json.dumps({**BLOCK, "filler": "x" * 2000}).encode()
    head = f"POST /api/otp HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"{head}Expect: 100-continue\r\nConnection: close\r\n\r\n".encode())
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_body_that_breaks_off(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A client that goes in the middle of its body is no fault of ours, and nothing is carried out."""
    head = f"POST /api/otp HTTP/1.1\r\nHost: x\r\nAuthorization: {basic()}\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await running.get("/livez") == {"status": "ok"}
    answer = await talk(running.port, f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{".encode(), b"zz\r\nzz\r\n")
    assert b"400 Bad Request" in answer
    assert running.world.asked.payloads == []
    assert "request_failed" not in caplog.text


async def test_slow_body(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not come is given up on."""
    monkeypatch.setattr("otp.http.BODY_TIMEOUT", 0.1)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    status, answer, _ = await running.send("POST", "/api/otp", never())
    assert (status, answer["reason"]) == (408, "request_timeout")


async def test_slow_command_delays_nobody(running: Running) -> None:
    """While one command waits for its outcome, others are answered."""
    running.world.asked.hold = asyncio.Event()
    slow = asyncio.create_task(running.send("POST", "/api/otp", b'{"command": "slow"}'))
    await running.world.asked.reached.wait()
    assert (await running.send("POST", "/api/otp", json.dumps(BLOCK)))[0] == 200
    assert not slow.done()
    running.world.asked.hold.set()
    assert (await slow)[0] == 200


async def test_guessing_is_throttled(running: Running) -> None:
    """Who guesses is told to wait; a client that was let in before is not."""
    assert (await running.send("POST", "/api/otp", json.dumps(BLOCK)))[0] == 200
    wrong = [running.send("POST", "/api/otp", Authorization=basic(password=f"x{number}")) for number in range(40)]
    statuses = [status for status, _, _ in await asyncio.gather(*wrong)]
    assert 429 in statuses
    assert (await running.send("POST", "/api/otp", json.dumps(BLOCK)))[0] == 200


async def test_mistake_inside_is_not_shown(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A mistake of ours is 500 without a word about it, and its text, which may hold a body, is not logged."""
    running.world.asked.fail = ZeroDivisionError("canary")
    status, answer, _ = await running.send("POST", "/api/otp", b'{"command": "canary"}')
    assert (status, answer["reason"], "canary" in str(answer)) == (500, "internal_error", False)
    assert "ZeroDivisionError" in caplog.text
    assert "canary" not in caplog.text


# -- health and metrics


async def test_health_is_open(running: Running) -> None:
    """Anyone may ask whether it lives, is ready, and what it counted; every reason is named."""
    for path in ("/livez", "/readyz", "/metrics"):
        async with running.session.get(running.url + path) as response:
            assert response.status == 200
    running.world.inputs.append(Input("mqtt", connected=False, detail="connection refused"))
    assert await running.get("/readyz", 503) == {
        "status": "not ready",
        "reasons": ["input mqtt is not connected: connection refused"],
    }
    async with running.session.get(f"{running.url}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert 'otp_pi_input_connected{input="mqtt"} 0.0' in await response.text()


async def test_health_behind_the_door(tmp_path: Path) -> None:
    """With metrics_open off they want an account, like everything else."""
    async with serving(tmp_path, metrics_open=False) as running:
        for path in ("/livez", "/readyz", "/metrics"):
            async with running.session.get(running.url + path) as response:
                assert response.status == 401
            async with running.session.get(running.url + path, headers=AUTHORIZED) as response:
                assert response.status == 200


# -- looking


async def test_journal(running: Running) -> None:
    """Rows come newest first; before, after, state and limit choose."""
    running.world.journal.kept = [Row(number, State.FAILED if number % 2 else State.SENT) for number in range(1, 151)]

    async def numbers(query: str) -> list[int]:
        return [row["number"] for row in (await running.get(f"/api/journal{query}"))["rows"]]

    assert await numbers("") == list(range(150, 50, -1))
    assert await numbers("?limit=2&before=10") == [9, 8]
    assert await numbers("?limit=2&after=10") == [11, 12]
    assert await numbers("?limit=2&state=failed") == [149, 147]
    assert (await running.get("/api/journal?limit=1"))["rows"] == [
        {"number": 150, "state": "sent", "arrived": NOW - 10}
    ]


async def test_inbox_and_block_list(running: Running) -> None:
    """Received SMS and the block list are shown."""
    running.world.journal.kept = [Row(1), Row(2)]
    assert [row["number"] for row in (await running.get("/api/inbox"))["rows"]] == [1, 2]
    assert [row["number"] for row in (await running.get("/api/inbox?limit=1"))["rows"]] == [1]
    assert [row["number"] for row in (await running.get("/api/blocked"))["rows"]] == [1]


@pytest.mark.parametrize("path", ["journal", "inbox", "blocked"])
async def test_looking_wants_an_account(path: str, running: Running) -> None:
    """What was sent to whom is nobody else's business."""
    assert (await running.get(f"/api/{path}", 401, Authorization=""))["response_code"] == "1100"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("journal?limit=0", "limit must be a whole number from 1 to 1000."),
        ("journal?limit=1001", "limit must be a whole number from 1 to 1000."),
        ("journal?limit=x", "limit must be a whole number from 1 to 1000."),
        ("journal?before=-1", "before must be a whole number from 0 to 9223372036854775807."),
        ("journal?after=%D9%A1", "after must be a whole number from 0 to 9223372036854775807."),
        (f"journal?after={'9' * 5000}", "after must be a whole number from 0 to 9223372036854775807."),
        ("journal?after=9223372036854775808", "after must be a whole number from 0 to 9223372036854775807."),
        ("journal?state=lost", f"state must be one of {', '.join(State)}."),
        ("journal?limit=1&limit=2", "limit may be given once."),
        ("journal?stat=sent", "Unknown parameter stat: known are limit, before, after, state."),
        ("inbox?before=1", "Unknown parameter before: known are limit."),
        ("blocked?limit=1", "Unknown parameter limit: there are none."),
    ],
)
async def test_parameters_are_checked(query: str, message: str, running: Running) -> None:
    """A parameter that means nothing is refused and says what would."""
    answer = await running.get(f"/api/{query}", 400)
    assert (answer["message"], answer["reason"]) == (message, "bad_request")


@pytest.mark.parametrize("path", ["journal", "inbox", "blocked"])
async def test_journal_that_fails(path: str, running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """A journal that cannot be read is 503; why stands in the log, not in the answer."""
    running.world.journal.fail = StorageError("journal.db: the disk is full")
    answer = await running.get(f"/api/{path}", 503)
    assert (answer["reason"], "disk" in str(answer)) == ("service_unavailable", False)
    assert "the disk is full" in caplog.text


async def test_with_a_real_journal(tmp_path: Path) -> None:
    """What the journal returns is shown as JSON as it is."""
    clock = lambda: NOW  # noqa: E731 - a clock that stands
    journal = await Journal.open(tmp_path / "data", clock=clock)
    world, counts = World(), Counts()
    given = settings.Rest(port=0, password_file=str(write_accounts(tmp_path / ".htpasswd")))
    rest = Rest(given, world.asked, Status(journal, clock=clock), journal, counts)
    origin = Origin(road="rest", user=USER)
    number = await journal.record(command="echo", origin=origin, arrived=NOW, state=State.DONE)
    new = NewMessage(
        command="send-sms",
        channel=Channel.SMS,
        receiver="+62812",
        receiver_key="+62812",
        text="canary",
        origin=origin,
        arrived=NOW - 30,
        deadline=NOW + 60,
    )
    await journal.accept(new)
    await journal.block("+62813")
    async with aiohttp.ClientSession() as session:
        running = Running(world, rest, counts, await rest.start(), session)
        rows = (await running.get("/api/journal"))["rows"]
        assert [(row["number"], row["state"]) for row in rows] == [(number + 1, "queued"), (number, "done")]
        assert "canary" not in str(rows)
        assert (await running.get("/api/journal?after=0&limit=1"))["rows"][0]["number"] == number
        assert (await running.get("/api/blocked"))["rows"] == [{"receiver_key": "+62813", "since": NOW}]
        assert (await running.get("/api/inbox"))["rows"] == []
        async with session.get(f"{running.url}/metrics") as response:
            text = await response.text()
        assert 'otp_pi_queue_messages{state="queued"} 1.0' in text
        assert "otp_pi_queue_oldest_seconds 30.0" in text
    await rest.stop()
    await journal.close()


# -- starting


@pytest.mark.parametrize("content", [None, "", "nothing usable"])
def test_password_file_that_cannot_be_used(content: str | None, tmp_path: Path) -> None:
    """It does not start without accounts, and says how to add one."""
    file = tmp_path / "accounts"
    if content is not None:
        file.write_text(content)
    world = World()
    with pytest.raises(ConfigError, match=r"^rest: password file .*accounts.*htpasswd add"):
        Rest(settings.Rest(password_file=str(file)), world.asked, world.status, world.journal, Counts())


def test_certificate_that_cannot_be_used(tmp_path: Path) -> None:
    """It does not start with a certificate that is none."""
    given = settings.Rest(
        password_file=str(write_accounts(tmp_path / "a")), tls_certificate=str(tmp_path / "missing.pem")
    )
    world = World()
    with pytest.raises(ConfigError, match=r"tls_certificate .*missing\.pem: No such file or directory"):
        Rest(given, world.asked, world.status, world.journal, Counts())


async def test_port_that_is_taken(tmp_path: Path) -> None:
    """A port that somebody else has is named."""
    async with serving(tmp_path) as running:
        with pytest.raises(ConfigError, match=rf"^rest: cannot listen on 127\.0\.0\.1 port {running.port}: "):
            async with serving(tmp_path, port=running.port):
                pass


async def test_ipv6_url(tmp_path: Path) -> None:
    """An IPv6 address stands in brackets in the URL."""
    async with serving(tmp_path, host="::1") as running:
        assert running.url == f"http://[::1]:{running.port}"
        assert await running.get("/livez") == {"status": "ok"}


async def test_tls_and_reload(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a certificate it speaks TLS; a new one is shown after a reload, and a broken one changes nothing."""
    caplog.set_level(logging.INFO)
    files = certificates.make(tmp_path)
    trust = ssl.create_default_context(cafile=str(files.authority))
    given = {"tls_certificate": str(files.certificate), "tls_key": str(files.key)}

    async def names(port: int) -> list[str]:
        context = ssl.create_default_context(cafile=str(files.authority))
        context.check_hostname = False
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        shown = [name for _, name in writer.get_extra_info("peercert")["subjectAltName"]]
        writer.close()
        await writer.wait_closed()
        return shown

    async with serving(tmp_path, **given) as running:
        assert running.url.startswith("https://")
        async with running.session.get(f"{running.url}/livez", ssl=trust) as response:
            assert response.status == 200
        assert await names(running.port) == ["localhost", "127.0.0.1"]
        files.certificate.write_bytes(files.other.read_bytes())
        running.rest.reload()
        assert await names(running.port) == ["other.example"]
        files.certificate.write_text("broken")
        running.rest.reload()
        assert await names(running.port) == ["other.example"]
        assert "certificate_loaded" in caplog.text
        assert "certificate_kept" in caplog.text


async def test_reload_without_tls(running: Running) -> None:
    """Without a certificate there is nothing to read again."""
    running.rest.reload()
    assert await running.get("/livez") == {"status": "ok"}


async def test_modem_trouble_is_shown_by_name(running: Running) -> None:
    """A modem without a network makes it not ready, by name."""
    from otp.pi.modems.status import ModemState

    running.world.modems = [modem("one"), modem("two", ModemState.NOT_REGISTERED, detail="no network since 08:15")]
    assert (await running.get("/readyz", 503))["reasons"] == ["modem two is not registered: no network since 08:15"]
