"""REST: what is posted, and every kind of answer an OTP-Pi or a stranger can give."""

from typing import Any

import pytest

from otp.publisher import AsyncPublisher, ConfigError
from otp.publisher.transports.base import MAX_ANSWER
from tests.publisher.certificates import Certificates
from tests.publisher.conftest import MakePublisher
from tests.publisher.rigs import RestRig, RestStandIn

NUMBER = "08126666666"


@pytest.fixture
def rig(rest: RestStandIn, certificates: Certificates) -> RestRig:
    return RestRig(rest, certificates)


async def test_headers(rig: RestRig, make_publisher: MakePublisher) -> None:
    """Posted as JSON, with the password really sent."""
    assert (await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="hello")).ok
    headers = rig.server.headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic YXBwOnMzY3JldA=="


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "forbidden"), (404, "rejected"), (302, "rejected"), (500, "rejected"), (503, "rejected")],
)
async def test_status(status: int, reason: str, rig: RestRig, make_publisher: MakePublisher) -> None:
    """A status other than 200 is a failure that names it."""
    rig.server.status = status
    result = await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason, str(status) in result.message) == ("1102", reason, True)


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (b'{"command":"send-sms","response_code":"0000","data":{}}', "0000", None),
        (b'{"command":"send-sms","response_code":"000","data":{}}', "0000", None),
        (
            b'{"command":"send-sms","response_code":"1101","error":"No device connected","data":{}}',
            "1101",
            "no_device_connected",
        ),
        (b'{"command":"send-sms","response_code":"1203","data":{},}', "1203", "expired"),
        (b'{"command":"send-sms","response-code":"1201","data":{}}', "1201", "duplicated"),
        (b'{"command":"send-sms","data":{}}', "1102", "unreadable_answer"),
        (b"{}", "1102", "unreadable_answer"),
        (b"", "1102", "bad_answer"),
        (b"<html>hello</html>", "1102", "bad_answer"),
        (b'"0000"', "1102", "bad_answer"),
        (b"\xff\xfe", "1102", "bad_answer"),
        (b"[" * 100_000, "1102", "bad_answer"),
        (b" " * (MAX_ANSWER + 1), "1102", "bad_answer"),
    ],
)
async def test_answer(answer: bytes, code: str, reason: str, rig: RestRig, make_publisher: MakePublisher) -> None:
    """Every answer becomes one of ours; only one that says so is a success."""
    rig.server.raw = answer
    result = await make_publisher(rig.keywords()).send_sms(receiver=NUMBER, message="hello")
    assert (result.response_code.value, result.reason) == (code, reason)


@pytest.mark.parametrize("answer", ["1101", "1102", "1203"])
async def test_managed_create_that_the_pi_refuses(answer: str, rig: RestRig, make_publisher: MakePublisher) -> None:
    """A code the OTP-Pi did not send does not exist: its answer is passed on, and the reference is free."""

    def refuse(command: dict[str, Any]) -> dict[str, Any]:
        return {"command": command["command"], "response_code": answer, "error": "no modem", "data": {}}

    publisher = make_publisher(rig.keywords())
    rig.server.reply = refuse
    refused = await publisher.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s")
    assert (refused.command, refused.response_code.value, refused.message) == ("request-otp", answer, "no modem")
    assert refused.expires_at is None
    rig.server.reply = lambda command: {"response_code": "0000"}
    assert (await publisher.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s")).ok


async def test_echo(rig: RestRig, make_publisher: MakePublisher) -> None:
    """An echo, which has no response code, is a success."""
    rig.server.reply = lambda command: command
    result = await make_publisher(rig.keywords()).request("echo", {"hello": 1})
    assert (result.response_code.value, dict(result.data)) == ("0000", {"hello": 1})


@pytest.mark.parametrize(
    "url", ["ftp://host/", "http://", "127.0.0.1:8899/api", "http://user:pw@host/", "http://h:99999/"]
)
def test_url_that_cannot_be_one(url: str) -> None:
    """A URL that cannot work is refused at the start, without being repeated: it may hold a password."""
    with pytest.raises(ConfigError, match=r"url of .REST. must") as caught:
        AsyncPublisher(method="REST", url=url)
    assert "pw" not in str(caught.value)


def test_user_name_with_colon() -> None:
    """A user name HTTP Basic cannot carry is refused at the start."""
    with pytest.raises(ConfigError, match="colon"):
        AsyncPublisher(method="REST", username="a:b", password="x")
