"""The whole service, with an emulated modem, over HTTP and the control socket."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from otp.pi.control import AlreadyRunningError, ControlClient
from otp.pi.emulator import Emulator
from otp.pi.journal import Journal, StorageError
from otp.pi.service import Service, _sweep
from otp.pi.settings import Settings
from otp.roads.errors import ConfigError
from tests.conftest import until
from tests.pi.rest_doubles import AUTHORIZED, write_accounts

Arrived = list[tuple[str, str, str]]


@pytest.fixture(autouse=True)
def _log_as_when_it_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Log at the level that is usual."""
    caplog.set_level(logging.INFO, "otp.pi")


def make(**given: Any) -> Settings:
    return Settings(**given)


def values(directory: Path, **more: Any) -> dict[str, Any]:
    """Return settings of a service with one emulated modem."""
    accounts = write_accounts(directory / "accounts")
    return {
        "data_dir": directory / "data",
        "numbers": {"region": "ID"},
        "rest": {"port": 0, "password_file": str(accounts)},
        "modem": [{"name": "one", "port": "emulate"}],
        "drain_time": 5.0,
        **more,
    }


@asynccontextmanager
async def running(directory: Path, **more: Any) -> AsyncIterator[tuple[Service, Arrived]]:
    """Run a service until the block ends; yields once its modems are ready."""
    arrived: Arrived = []
    settings = make(**values(directory, **more))
    async with Service(settings, arriving=lambda *message: arrived.append(message)) as service:
        async with asyncio.timeout(30):
            while not (await service.status.ready())[0]:  # noqa: ASYNC110 - a modem tells nobody but its pool
                await asyncio.sleep(0.01)
        yield service, arrived


async def ask(service: Service, command: str, **data: Any) -> dict[str, Any]:
    payload = json.dumps({"command": command, "data": {"date_time": int(time.time()), **data}})
    async with (
        aiohttp.ClientSession(headers=AUTHORIZED) as session,
        session.post(f"{service.url}/api/otp", data=payload) as response,
    ):
        answer: dict[str, Any] = await response.json()
        return answer


TEXTS = ["hello", "é à €", "مرحبا", "😀👍", "x" * 500]


async def test_text_at_the_telephone_is_the_text_sent(tmp_path: Path) -> None:
    """From HTTP to the emulated network: ASCII, accents, Arabic, emoji and a long text."""
    async with running(tmp_path) as (service, arrived):
        for number, text in enumerate(TEXTS):
            answer = await ask(service, "send-sms", receiver="08126666666", message=text, id=number)
            assert answer["response_code"] == "0000"
        assert arrived == [("one", "+628126666666", text) for text in TEXTS]


async def test_code_is_read_at_the_telephone_and_verified_once(tmp_path: Path) -> None:
    """0000, then 1202; nothing but the SMS ever had the code."""
    async with running(tmp_path) as (service, arrived):
        wanted = {"receiver": "08126666666", "reference": "r1"}
        answer = await ask(service, "request-otp", message="Your code is %s", **wanted)
        code = arrived[-1][2][-6:]
        assert (answer["response_code"], code in json.dumps(answer["message"])) == ("0000", False)
        answers = [await ask(service, "verify-otp", otp=code, **wanted) for _ in range(2)]
        assert [answer["response_code"] for answer in answers] == ["0000", "1202"]


async def test_control_socket_answers_without_a_password(tmp_path: Path) -> None:
    """Whoever may open the socket commands the service, and sees all of it but secrets."""
    async with running(tmp_path) as (_service, arrived), ControlClient(tmp_path / "data") as control:
        answer = await control.command({"command": "send-sms", "data": {"receiver": "0812666", "message": "hi"}})
        assert answer["response_code"] == "0000"
        assert [text for _, _, text in arrived] == ["hi"]
        status = await control.get("/status")
        assert [modem["state"] for modem in status["modems"]] == ["ready"]
        assert "sms_sent" in {event["event"] for event in status["events"]}
        assert ((tmp_path / "data" / "control.sock").stat().st_mode & 0o777) == 0o600


async def test_message_that_waits_is_sent_after_the_next_start(tmp_path: Path) -> None:
    """What was stored while no modem worked is there when the service comes back with one."""
    link = tmp_path / "modem"
    modem = {"name": "one", "port": str(link)}
    arrived: Arrived = []
    fast = {"reopen_longest": 0.1, "at_timeout": 0.5}
    async with Service(make(**values(tmp_path, modem=[modem], sms=fast))) as service:
        await service.commands.take(
            json.dumps({"command": "send-sms", "data": {"receiver": "0812666", "message": "late"}}).encode(),
            _road(),
        )
    async with (
        Emulator(link=link, on_message=lambda message: arrived.append(("one", message.receiver, message.text))),
        Service(make(**values(tmp_path, modem=[modem], sms=fast))),
    ):
        await until(lambda: arrived, 20)
    assert [text for _, _, text in arrived] == ["late"]


def _road() -> Any:
    from otp.pi.model import Origin

    async def reply(_topic: str, _payload: bytes) -> None:
        raise AssertionError

    return Origin(road="amqp", reply=reply)


async def test_service_without_modems_mail_and_http_runs(tmp_path: Path) -> None:
    """Nothing configured is nothing imported and nothing listening; the control socket is there."""
    settings = make(data_dir=tmp_path / "data", rest={"enabled": False})
    async with Service(settings) as service, ControlClient(tmp_path / "data") as control:
        assert service.url == ""
        service.reload()
        answer = await control.command({"command": "send-sms", "data": {"receiver": "0812666", "message": "hi"}})
        assert answer["response_code"] == "1000"
        answer = await control.command({"command": "send-email", "data": {"receiver": "a@example.com", "message": "x"}})
        assert (answer["response_code"], answer["reason"]) == ("1102", "no_mail_account")


async def test_second_service_on_one_directory_is_refused(tmp_path: Path) -> None:
    """Two would send everything twice."""
    settings = make(data_dir=tmp_path / "data", rest={"enabled": False})
    async with Service(settings):
        with pytest.raises(AlreadyRunningError):
            await Service(settings).__aenter__()
    async with Service(settings):
        pass


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"numbers": {"region": "XX"}}, "numbers: region must be"),
        ({"guards": {"countries": ["nowhere"]}}, "guards.countries"),
        ({"events": {"webhook": "https://x", "webhook_ca": "/nowhere"}}, "webhook_ca"),
        ({"mail": [{"name": "a", "host": "x", "sender": "nobody"}]}, "nobody|sender"),
        ({"rest": {"password_file": "/nowhere"}}, "/nowhere"),
        ({"ws": [{"tls": True, "tls_ca": "/nowhere"}]}, "/nowhere"),
    ],
)
async def test_setting_that_cannot_be_used_stops_the_start_with_a_sentence(
    tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    """Whatever is wrong is said before anything runs, and nothing stays behind."""
    with pytest.raises(ConfigError, match=text):
        await Service(make(**values(tmp_path, **change))).__aenter__()
    async with Service(make(data_dir=tmp_path / "data", rest={"enabled": False})):
        pass


async def test_events_go_to_the_first_road_where_none_is_named(tmp_path: Path) -> None:
    """A topic needs a road; the first way in is taken."""
    more = {"ws": [{"port": 1, "topic": "sms"}], "events": {"topic": "events"}, "rest": {"enabled": False}}
    settings = make(data_dir=tmp_path / "data", **more)
    async with Service(settings) as service:
        assert [courier.name for courier in service._events().couriers] == ["topic"]
        ready, reasons = await service.status.ready()
        assert not ready
        assert any("ws" in reason for reason in reasons)


async def test_alarm_reaches_whoever_is_told(tmp_path: Path) -> None:
    """A used-up budget is counted, and an event."""
    guards = {"per_user_hour": 1, "total_hour": 1}
    async with running(tmp_path, guards=guards) as (service, _):
        for number in range(3):
            await ask(service, "send-sms", receiver="08126666666", message="hi", id=number)
        assert service.counts.guard_refusals == {"budget:user_hour": 2}
        assert "budget_used_up" in {event["event"] for event in service._recent.events()}


class Broken:
    async def sweep(self, *_: object) -> int:
        raise StorageError("the disk is full")


async def test_sweep_that_fails_is_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """The next one tries again."""
    await _sweep(Broken(), Broken(), 1.0)  # type: ignore[arg-type]
    assert "sweep_failed" in caplog.text


async def test_sweep_forgets_what_is_old(tmp_path: Path) -> None:
    """Rows go after ``journal_keep``, codes by their own rules."""
    swept: list[str] = []

    class Codes:
        async def sweep(self) -> int:
            swept.append("codes")
            return 0

    journal = await Journal.open(tmp_path)
    try:
        await _sweep(journal, Codes(), 1.0)  # type: ignore[arg-type]
    finally:
        await journal.close()
    assert swept == ["codes"]
