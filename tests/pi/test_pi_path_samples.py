"""What existing publishers put on the wire is carried out, byte for byte as they send it."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from otp.json_reader import read_object
from tests.conftest import until
from tests.pi.mail_servers import mail_server
from tests.pi.path_rigs import BALANCE, MODEM, NAMES, WholePath, whole_path
from tests.publisher.certificates import Certificates

GOLDEN: Final = Path(__file__).parents[1] / "publisher" / "golden"
TIME: Final = 1629685778
"""Unix seconds of the samples."""

NUMBER, WIRE = "08126666666", "+628126666666"
BROKERS = [name for name in NAMES if name != "rest"]

Here = tuple[Path, pytest.FixtureRequest, Certificates]


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest, certificates: Certificates) -> Here:
    return tmp_path, request, certificates


def php(command: dict[str, Any]) -> bytes:
    """Return a command as PHP's json_encode writes it: ASCII, no blanks, slashes escaped."""
    return json.dumps(command, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def sample(directory: str, name: str) -> bytes:
    """Return a documented sample as it stands there, trailing commas included."""
    return (GOLDEN / directory / f"{name}.json").read_bytes()


@pytest.mark.parametrize("road", NAMES)
async def test_documented_samples_are_carried_out(road: str, here: Here) -> None:
    """SMS, mail, block and unblock of the documentation, with the commas that are too many."""
    assert b",\n\t}" in sample(road, "block-msisdn"), "the sample has lost what makes it one"
    async with mail_server() as server:
        account = {"name": "one", "host": "127.0.0.1", "port": server.port, "tls": "none", "sender": "otp@example.com"}
        async with whole_path(*here, road, clock=lambda: TIME + 1.0, mail=[account]) as path:
            await path.raw(road, sample(road, "send-sms"))
            await until(lambda: path.arrived, 20)
            assert path.arrived == [(WIRE, "Your OTP is 1234")]
            await path.raw(road, sample(road, "send-email"))
            await until(lambda: server.arrived, 20)
            assert server.arrived[0].text == "Your OTP is 1234"
            await path.raw(road, sample(road, "block-msisdn"))
            await path.row_comes(command="block-msisdn", state="done")
            assert [each["receiver_key"] for each in (await path.control.get("/api/blocked"))["rows"]] == [WIRE]
            await path.raw(road, sample(road, "unblock-msisdn"))
            await path.row_comes(command="unblock-msisdn", state="done")
            assert (await path.control.get("/api/blocked"))["rows"] == []


@pytest.mark.parametrize("road", NAMES)
async def test_messages_of_the_php_publisher_arrive(road: str, here: Here) -> None:
    """Escaped slashes, surrogate pairs and numbers that are text are what they stand for."""
    text = "Kode 1/2: é مرحبا 😀"
    data = {"date_time": TIME, "expiration": TIME + 60, "id": "123", "receiver": NUMBER, "message": text, "subject": ""}
    payload = php({"command": "send-message", "data": data})
    assert b"\\/" in payload
    assert b"\\ud83d\\ude00" in payload
    async with whole_path(*here, road, clock=lambda: TIME + 1.0) as path:
        await path.raw(road, payload)
        await path.texts_come(text)


@pytest.mark.parametrize("road", BROKERS)
@pytest.mark.parametrize("delay", [50, "52"])
async def test_questions_of_the_php_publisher_are_answered(road: str, delay: object, here: Here) -> None:
    """The answer is on the callback topic, whether the delay is a number or a text of digits."""
    async with whole_path(*here, road, clock=lambda: TIME + 1.0) as path:
        modems = await asked(path, road, "get-modem-list", "modem-list-1", delay)
        assert modems["modem_list"][MODEM]["imei"] == "860000000000017"
        ussd = await asked(path, road, "request-ussd", "ussd-1", delay)
        assert ussd["ussd_content"] == BALANCE


async def asked(path: WholePath, road: str, name: str, prefix: str, delay: object) -> dict[str, Any]:
    """Send a question and return the data of its answer."""
    question = read_object(sample("all", name))
    topic = f"{prefix}{path.topic(road)}"
    question |= {"callback_topic": topic, "callback_delay": delay}
    async with path.answers(road, topic) as inbox:
        await path.raw(road, php(question))
        answer = json.loads(await asyncio.wait_for(inbox.get(), 20))
    assert (answer["command"], answer["response_code"]) == (name, "0000")
    assert "callback_topic" not in answer
    found: dict[str, Any] = answer["data"]
    return found


async def test_code_of_the_documentation_is_made_and_verified(here: Here) -> None:
    """request-otp and verify-otp over REST, with the sample's four parameters: 0000, again 1202, late 1203."""
    now = [TIME + 1.0]
    async with whole_path(*here, clock=lambda: now[0]) as path:
        created = await path.raw("rest", sample("rest", "request-otp"))
        assert created["response_code"] == "0000"
        code = path.texts[0].removeprefix("Your OTP is ")
        question = read_object(sample("rest", "verify-otp"))
        question["data"]["otp"] = code
        question["data"]["receiver"] = NUMBER
        answers = [await path.raw("rest", question) for _ in range(2)]
        assert [answer["response_code"] for answer in answers] == ["0000", "1202"]
        assert answers[0]["data"] == {name: question["data"][name] for name in ("date_time", "receiver", "reference")}

        again = read_object(sample("rest", "request-otp"))
        again["data"]["reference"] = question["data"]["reference"] = "another"
        assert (await path.raw("rest", again))["response_code"] == "0000"
        question["data"]["otp"] = path.texts[1].removeprefix("Your OTP is ")
        now[0] = TIME + 61.0
        assert (await path.raw("rest", question))["response_code"] == "1203"
