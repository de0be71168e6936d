"""From an application with the publisher, over each road, through the OTP-Pi, to a telephone."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import until
from tests.pi.mail_servers import mail_server
from tests.pi.path_rigs import BALANCE, MODEM, NAMES, Shifted, whole_path
from tests.publisher.certificates import Certificates

NUMBER, WIRE = "08126666666", "+628126666666"
TEXTS = ["plain ASCII, 123456", "déjà vu é à €", "رمزك هو 123456", "😀👍🏽 123456", "0123456789" * 50]
BROKERS = [name for name in NAMES if name != "rest"]

Here = tuple[Path, pytest.FixtureRequest, Certificates]


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest, certificates: Certificates) -> Here:
    return tmp_path, request, certificates


@pytest.mark.parametrize("road", NAMES)
async def test_text_at_the_telephone_is_the_text_sent(road: str, here: Here) -> None:
    """ASCII, accents, Arabic, emoji and 500 characters arrive once each, as they were sent."""
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        for text in TEXTS:
            assert (await publisher.send_sms(receiver=NUMBER, message=text)).ok
        await path.texts_come(*TEXTS)
        assert {receiver for receiver, _ in path.arrived} == {WIRE}
        assert {row["road"] for row in await path.rows()} == {road}


@pytest.mark.parametrize("road", NAMES)
async def test_questions_are_answered(road: str, here: Here) -> None:
    """Modem list, USSD and echo come back to whoever asked, over the road they were asked on."""
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        modems = (await publisher.get_modem_list()).data["modem_list"]
        assert (list(modems), modems[MODEM]["connected"]) == ([MODEM], True)
        ussd = await publisher.request_ussd(ussd_code="*123#", modem_id=MODEM)
        assert (str(ussd.response_code), ussd.data["ussd_content"]) == ("0000", BALANCE)
        echo = await publisher.request("echo", {"said": "é"})
        assert (echo.ok, echo.data["said"]) == (True, "é")


@pytest.mark.parametrize("road", NAMES)
async def test_blocked_number_gets_nothing_until_it_is_unblocked(road: str, here: Here) -> None:
    """The block list holds against every spelling of the number, and only against that number."""
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        assert (await publisher.block_msisdn(receiver=NUMBER)).ok
        await path.row_comes(command="block-msisdn", state="done")
        refused = await publisher.send_sms(receiver="+62 812 6666 666", message="not this")
        assert (await path.row_comes(command="send-sms", state="blocked"))["reason"] == "blocked"
        assert str(refused.response_code) == ("1102" if road == "rest" else "0000")
        assert (await publisher.unblock_msisdn(receiver=WIRE)).ok
        await path.row_comes(command="unblock-msisdn", state="done")
        assert (await publisher.send_sms(receiver=NUMBER, message="this")).ok
        await path.texts_come("this")


@pytest.mark.parametrize("road", NAMES)
async def test_expired_message_is_never_sent(road: str, here: Here) -> None:
    """What was good until a minute ago is answered 1203 and never gets to the modem."""
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        now = int(time.time()) - 120
        data = {"date_time": now, "expiration": now + 60, "id": 1, "receiver": NUMBER, "message": "late"}
        answer = await path.raw(road, {"command": "send-sms", "data": data})
        assert answer.get("response_code", "1203") == "1203"
        await path.row_comes(command="send-sms", state="expired")
        assert (await publisher.send_sms(receiver=NUMBER, message="in time")).ok
        await path.texts_come("in time")
        assert path.emulator.bodies == 1


@pytest.mark.parametrize("road", NAMES)
async def test_mail_arrives_at_the_server(road: str, here: Here) -> None:
    """A mail has its subject and text; send-message takes an address for a mail."""
    async with mail_server() as server:
        account = {"name": "one", "host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "otp@example.com"}
        async with whole_path(*here, road, mail=[account]) as path, path.publisher(road) as publisher:
            to = "someone@example.com"
            assert (await publisher.send_email(receiver=to, subject="Kode é", message="Kode: 123456 é 😀")).ok
            assert (await publisher.send_message(receiver=to, message="Kode: 654321")).ok
            await until(lambda: len(server.arrived) == 2, 20)
            found = {(mail.receiver, str(mail.message["Subject"]), mail.text) for mail in server.arrived}
            assert found == {(to, "Kode é", "Kode: 123456 é 😀"), (to, "Your OTP Code", "Kode: 654321")}
            assert path.arrived == []


@pytest.mark.parametrize("road", NAMES)
async def test_code_of_the_publisher_is_right_once(road: str, here: Here) -> None:
    """A code made by the publisher is read at the telephone and verified where it was made."""
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        wanted: dict[str, Any] = {"receiver": NUMBER, "reference": "order-1"}
        assert (await publisher.create_otp(message="Kode: %s", lifetime=60, **wanted)).ok
        await until(lambda: path.arrived, 20)
        code = path.texts[0].removeprefix("Kode: ")
        answers = [await publisher.verify_otp(otp=code, **wanted) for _ in range(2)]
        assert [str(answer.response_code) for answer in answers] == ["0000", "1202"]


@pytest.mark.parametrize("road", NAMES)
async def test_code_of_the_otp_pi_is_right_once_and_not_later(road: str, here: Here) -> None:
    """0000, again 1202; one whose life is over 1203; over a broker the answers come on callback topics."""
    clock = Shifted()
    async with (
        whole_path(*here, road, clock=clock) as path,
        path.publisher(road, manage_otp=False, callback_timeout="20s") as publisher,
    ):
        codes: dict[str, str] = {}
        for reference in ("one", "two"):
            created = await publisher.create_otp(receiver=NUMBER, reference=reference, message="Kode: %s", lifetime=60)
            assert str(created.response_code) == ("0000" if road == "rest" else "1111")
            await until(lambda: len(path.texts) > len(codes), 20)
            codes[reference] = path.texts[-1].removeprefix("Kode: ")

        async def verify(reference: str) -> str:
            answer = await publisher.verify_otp(receiver=NUMBER, reference=reference, otp=codes[reference])
            return str(answer.response_code)

        assert [await verify("one"), await verify("one")] == ["0000", "1202"]
        clock.by = 61.0
        assert await verify("two") == "1203"


@pytest.mark.parametrize("road", BROKERS)
async def test_answer_of_another_is_no_command(road: str, here: Here) -> None:
    """What has a response_code is left alone, whatever else it has; an answer is never answered."""
    now = int(time.time())
    foreign = {
        "command": "send-sms",
        "response_code": "0000",
        "callback_topic": "somewhere",
        "data": {"date_time": now, "receiver": NUMBER, "message": "not this"},
    }
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        async with path.answers(road, "somewhere") as inbox:
            await path.raw(road, foreign)
            assert (await publisher.send_sms(receiver=NUMBER, message="this")).ok
            await path.texts_come("this")
            assert inbox.empty()
        assert [row["command"] for row in await path.rows()] == ["send-sms"], "the answer is no row"


@pytest.mark.parametrize("road", BROKERS)
async def test_answer_never_goes_where_commands_come_from(road: str, here: Here) -> None:
    """A callback topic that is the subscribed one is refused and counted; the road goes on."""
    async with whole_path(*here, road) as path, path.publisher(road) as publisher:
        await path.raw(road, {"command": "echo", "callback_topic": path.topic(road), "data": {"said": "hello"}})
        await until(lambda: path.service.counts.rejected["answer_subscribed_topic"] == 1, 20)
        assert (await publisher.send_sms(receiver=NUMBER, message="this")).ok
        await path.texts_come("this")
        assert len(await path.rows()) == 1


async def test_message_over_two_roads_at_once_is_sent_once(here: Here) -> None:
    """Twenty messages over RabbitMQ and Mosquitto at the same time are twenty at the telephone."""
    async with (
        whole_path(*here, "amqp", "mqtt") as path,
        path.publisher("amqp") as one,
        path.publisher("mqtt") as other,
    ):
        texts = [f"message {number}" for number in range(20)]
        sent = [
            publisher.send_sms(receiver=NUMBER, message=text, id=f"id-{text}")
            for text in texts
            for publisher in (one, other)
        ]
        assert all(result.ok for result in await asyncio.gather(*sent))
        await until(lambda: path.service.counts.commands.total() == 40, 30)
        await path.texts_come(*texts)
        states = [row["state"] for row in await path.rows()]
        assert (states.count("duplicate"), len(states)) == (20, 40)
