"""The methods: what they answer, whatever they are given, and what they send; the road is a list."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from otp.publisher import AsyncPublisher, RoadError
from otp.publisher.config import load
from otp.publisher.transports.base import Answer, Receipt

NUMBER, ADDRESS = "08126666666", "someone@domain.tld"
NOW = 1629685778


class ListRoad:
    """Keeps what it is given; ``fail`` is raised instead, ``hold`` is waited for."""

    answers_at_once = False

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.lifetimes: list[int | None] = []
        self.fail: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.reply: Callable[[dict[str, Any]], bytes] | None = None
        self.steps: list[str] = []

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        self.steps.append("send")
        self.reached.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None:
            raise self.fail
        self.sent.append(json.loads(payload))
        self.lifetimes.append(lifetime)
        return Receipt(note="taken")

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Answer]:
        self.steps.append("listen")

        async def answer() -> bytes:
            self.steps.append("answer")
            if self.reply is None:
                await asyncio.Event().wait()
                raise AssertionError
            return self.reply(self.sent[-1])

        yield answer
        self.steps.append("stop")

    async def check(self) -> str:
        return "answered"

    async def close(self) -> None:
        pass


class Clock:
    """Tells the time a test wants."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., tuple[AsyncPublisher, ListRoad]]


@pytest.fixture
async def make(clock: Clock) -> AsyncIterator[Make]:
    """Make a publisher with a store in memory and a list for a road."""
    made: list[AsyncPublisher] = []

    def build(**keywords: Any) -> tuple[AsyncPublisher, ListRoad]:
        wanted = {"method": "WS", "manage_otp": True, "store": "memory", **keywords}
        publisher = AsyncPublisher(settings=load(environment={}, keywords=wanted), clock=clock)
        road = ListRoad()
        publisher._sender.road = road
        made.append(publisher)
        return publisher, road

    yield build
    for publisher in made:
        await publisher.close()


def code_of(message: dict[str, Any]) -> str:
    found = re.search(r"[0-9]{6}", message["data"]["message"])
    assert found is not None
    return found[0]


async def test_create_answers_when_not_what(make: Make) -> None:
    """The answer to a code says when it expires and when it can be sent again, never the code."""
    otp, road = make()
    result = await otp.create_otp(receiver=NUMBER, reference="t-1", lifetime=60, message="Kode %s", params=["a", 2])
    assert result.to_dict() == {
        "command": "request-otp",
        "response_code": "1111",
        "data": {"date_time": NOW, "receiver": NUMBER, "reference": "t-1"},
        "message": "taken",
        "expires_at": NOW + 60,
        "resend_after": 30,
    }
    assert road.lifetimes == [60]
    assert code_of(road.sent[0]) not in result.to_json()


async def test_lifetime_above_the_maximum(make: Make) -> None:
    """A lifetime above the maximum is shortened, in the message as well, and the answer says so."""
    otp, road = make()
    result = await otp.create_otp(receiver=NUMBER, reference="t-1", lifetime=86_400, message="%s")
    assert (result.expires_at, "Its lifetime is 600 s" in result.message) == (NOW + 600, True)
    assert road.sent[0]["data"]["expiration"] == NOW + 600


async def test_verify_codes(make: Make, clock: Clock) -> None:
    """Wrong 1202, right 0000, again 1202, too late 1203, unknown 1202; the answer repeats what it was about."""
    otp, road = make()
    await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    await otp.create_otp(receiver=NUMBER, reference=2, message="%s")
    first, second = (code_of(message) for message in road.sent)

    async def verify(code: str, reference: str) -> str:
        result = await otp.verify_otp(receiver=NUMBER, otp=code, reference=reference)
        assert result.data == {"date_time": int(clock.now), "receiver": NUMBER, "reference": reference}
        assert bool(result) == (result.response_code.value == "0000")
        return result.response_code.value

    assert await verify("000000" if first != "000000" else "111111", "t-1") == "1202"
    assert [await verify(first, "t-1"), await verify(first, "t-1")] == ["0000", "1202"]
    clock.now += 301
    assert [await verify(second, "2"), await verify(second, "t-9")] == ["1203", "1202"]
    assert len(road.sent) == 2, "verifying sends nothing"


async def test_duplicate_reference(make: Make) -> None:
    """A reference that has a code is 1201, and nothing is sent."""
    otp, road = make()
    await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    result = await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    assert (result.response_code.value, result.reason, len(road.sent)) == ("1201", "duplicate_reference", 1)


async def test_limit_per_receiver(make: Make) -> None:
    """Past the limit the answer is 1102 ``rate_limited``, with the seconds to wait."""
    otp, road = make(codes_per_hour=2)
    results = [await otp.create_otp(receiver=NUMBER, reference=f"t-{n}", message="%s") for n in range(3)]
    assert [result.response_code.value for result in results] == ["1111", "1111", "1102"]
    assert (results[2].reason, results[2].resend_after, len(road.sent)) == ("rate_limited", 3600, 2)


async def test_resend_is_the_same_code_under_another_id(make: Make, clock: Clock) -> None:
    """A resend carries the code again, with what is left of its time and a fresh id; too early it is refused."""
    otp, road = make()
    await otp.create_otp(receiver=NUMBER, reference="t-1", message="Kode %s", lifetime=300)
    early = await otp.resend_otp(receiver=NUMBER, reference="t-1", message="Lagi %s")
    assert (early.response_code.value, early.reason, early.resend_after) == ("1102", "rate_limited", 30)
    clock.now += 30
    result = await otp.resend_otp(receiver=NUMBER, reference="t-1", message="Lagi %s")
    first, second = road.sent
    assert (result.response_code.value, result.command, result.resend_after) == ("1111", "resend-otp", 60)
    assert code_of(first) == code_of(second)
    assert first["data"]["id"] != second["data"]["id"]
    assert (second["data"]["message"][:4], second["data"]["expiration"]) == ("Lagi", NOW + 300)


async def test_failed_resend_may_follow_at_once(make: Make, clock: Clock) -> None:
    """A resend that was not handed over counts for nothing, and the code stays valid."""
    otp, road = make()
    await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    clock.now += 30
    road.fail = RoadError("unreachable", "down")
    assert (await otp.resend_otp(receiver=NUMBER, reference="t-1", message="%s")).reason == "unreachable"
    road.fail = None
    assert (await otp.resend_otp(receiver=NUMBER, reference="t-1", message="%s")).ok
    assert (await otp.verify_otp(receiver=NUMBER, otp=code_of(road.sent[0]), reference="t-1")).ok


async def test_cancel(make: Make) -> None:
    """A cancelled code is no longer right, and its reference is free; there is nothing to cancel twice."""
    otp, road = make()
    await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    results = [await otp.cancel_otp(receiver=NUMBER, reference="t-1") for _ in range(2)]
    assert [result.response_code.value for result in results] == ["0000", "1202"]
    verified = await otp.verify_otp(receiver=NUMBER, otp=code_of(road.sent[0]), reference="t-1")
    assert verified.response_code.value == "1202"
    assert (await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")).ok


@pytest.mark.parametrize("reason", ["unreachable", "timeout", "connection_lost", "rejected", "nobody_listens"])
async def test_code_that_was_not_handed_over(reason: str, make: Make) -> None:
    """However the road fails, the code is gone, the reference free and the receiver's budget as before."""
    otp, road = make(codes_per_hour=1)
    road.fail = RoadError(reason, "no")
    failed = await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    assert (failed.response_code.value, failed.reason, failed.expires_at) == ("1102", reason, None)
    road.fail = None
    assert (await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")).ok


async def test_caller_that_goes_away(make: Make) -> None:
    """A cancelled create leaves no code, wherever it is interrupted."""
    otp, road = make(codes_per_hour=1)
    road.hold = asyncio.Event()
    creating = asyncio.create_task(otp.create_otp(receiver=NUMBER, reference="t-1", message="%s"))
    await road.reached.wait()
    creating.cancel()
    await asyncio.wait([creating])
    road.hold = None
    early = asyncio.create_task(otp.create_otp(receiver=NUMBER, reference="t-1", message="%s"))
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.wait([early])
    for _ in range(500):  # the thread that was interrupted takes its code back by itself
        result = await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
        if result.ok:
            break
        await asyncio.sleep(0.01)
    assert result.ok


async def test_exception_inside_takes_the_code_back(make: Make) -> None:
    """A mistake of ours must not leave a code behind either."""
    otp, road = make()
    road.fail = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")
    road.fail = None
    assert (await otp.create_otp(receiver=NUMBER, reference="t-1", message="%s")).ok


ODD: list[tuple[str, dict[str, Any], str]] = [
    ("create_otp", {"receiver": 8126666666, "reference": "t", "message": "%s"}, "receiver must be text"),
    ("create_otp", {"receiver": "", "reference": "t", "message": "%s"}, "receiver is empty"),
    ("create_otp", {"receiver": NUMBER, "reference": "", "message": "%s"}, "reference is empty"),
    ("create_otp", {"receiver": NUMBER, "reference": None, "message": "%s"}, "reference must be text"),
    ("create_otp", {"receiver": NUMBER, "reference": 1.5, "message": "%s"}, "reference must be text"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "no place"}, "no place for the code"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "%s %s"}, "2 places for the code"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "x" * 10_000 + "%s"}, "at most 1600"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": None}, "message must be text"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "%s", "params": "abc"}, "params must be a list"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "%s", "params": range(5)}, "params has 5"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "%s", "params": [1.5]}, "param1 must be text"),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "%s", "lifetime": 0}, "lifetime must be at least"),
    (
        "create_otp",
        {"receiver": NUMBER, "reference": "t", "message": "%s", "lifetime": "x"},
        "lifetime must be a whole",
    ),
    ("create_otp", {"receiver": NUMBER, "reference": "t", "message": "%s", "id": ""}, "id is empty"),
    ("create_otp", {"receiver": ADDRESS, "reference": "t", "message": "%s", "subject": "a\nb"}, "line break"),
    ("create_otp", {"receiver": "a@b@c", "reference": "t", "message": "%s"}, "not a mail address"),
    ("verify_otp", {"receiver": NUMBER, "reference": "t", "otp": 1.5}, "otp must be text"),
    ("verify_otp", {"receiver": NUMBER, "reference": "t", "otp": None}, "otp must be text"),
    ("verify_otp", {"receiver": b"x", "reference": "t", "otp": "1"}, "receiver must be text"),
    ("resend_otp", {"receiver": NUMBER, "reference": "t"}, "message is empty"),
    ("send_sms", {"receiver": ADDRESS, "message": "x"}, "this needs a number"),
    ("send_sms", {"receiver": NUMBER, "message": ""}, "message is empty"),
    ("send_sms", {"receiver": NUMBER, "message": "x" * 10_240}, "at most 1600"),
    ("send_sms", {"receiver": "08\x1a12", "message": "x"}, "control character"),
    ("send_sms", {"receiver": NUMBER, "message": "\ud800"}, "surrogate"),
    ("send_sms", {"receiver": NUMBER, "message": "x", "lifetime": None}, "lifetime must be a whole number"),
    ("send_email", {"receiver": NUMBER, "message": "x"}, "not a mail address"),
    ("send_email", {"receiver": ADDRESS, "message": "x", "subject": "a\r\nBcc: x"}, "line break"),
    ("block_msisdn", {"receiver": "++--"}, "receiver has no digits"),
    ("block_msisdn", {"receiver": ADDRESS}, "this needs a number"),
    ("unblock_msisdn", {"receiver": ADDRESS}, "this needs a number"),
    ("request_ussd", {"ussd_code": 5}, "ussd_code must be text"),
    ("request", {"command": "x", "data": [1]}, "data must be an object"),
    ("request", {"command": "", "data": {}}, "command is empty"),
    ("request", {"command": "x", "data": {"a": {1, 2}}}, "cannot be written as JSON"),
]


@pytest.mark.parametrize(("method", "arguments", "message"), ODD, ids=[f"{row[0]}-{row[2]}" for row in ODD])
async def test_odd_input(method: str, arguments: dict[str, Any], message: str, make: Make) -> None:
    """Odd input is an answer with 1102 that says what is wrong; nothing is sent, and nothing is raised."""
    otp, road = make()
    result = await getattr(otp, method)(**arguments)
    assert (result.response_code.value, result.reason, road.sent) == ("1102", "invalid_input", [])
    assert message in result.message
    json.loads(result.to_json())


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ("100% %s", "100% ######"),
        ("100%% %s", "100% ######"),
        ("{code} is %d", "###### is %d"),
        ("\u0643\u0648\u062f %s \U0001f510", "\u0643\u0648\u062f ###### \U0001f510"),
        ("a\nb %s", "a\nb ######"),
    ],
)
async def test_text_around_the_code(message: str, sent: str, make: Make) -> None:
    """Whatever stands around the place of the code goes out as it is."""
    otp, road = make()
    assert (await otp.create_otp(receiver=NUMBER, reference="t", message=message)).ok
    assert re.sub(r"[0-9]{6}", "######", road.sent[0]["data"]["message"]) == sent.replace("100%", "100%")


async def test_subject_reaches_mail_and_not_nothing(make: Make) -> None:
    """A code by mail keeps its subject."""
    otp, road = make()
    await otp.create_otp(receiver=ADDRESS, reference="t", message="%s", subject="Kode OTP Anda")
    assert (road.sent[0]["command"], road.sent[0]["data"]["subject"]) == ("send-message", "Kode OTP Anda")


async def test_webotp_line(make: Make) -> None:
    """With ``webotp_domain`` the last line of an SMS is the one browsers read; a mail has none; a call may differ."""
    otp, road = make(webotp_domain="example.com")
    await otp.create_otp(receiver=NUMBER, reference="1", message="%s is it")
    await otp.create_otp(receiver=ADDRESS, reference="2", message="%s is it")
    await otp.create_otp(receiver="08127", reference="3", message="%s is it", webotp_domain="other.example")
    last = [message["data"]["message"].splitlines()[-1] for message in road.sent]
    assert last[0] == f"@example.com #{code_of(road.sent[0])}"
    assert last[1].endswith(" is it")
    assert last[2].startswith("@other.example #")


async def test_numbers_are_normalised_for_their_region(make: Make) -> None:
    """With a region every spelling of a number is sent as one, and is one receiver for verifying."""
    otp, road = make(region="62")
    await otp.create_otp(receiver="0812-6666 6666", reference="t", message="%s")
    assert road.sent[0]["data"]["receiver"] == "+6281266666666"
    verified = await otp.verify_otp(receiver="+6281266666666", otp=code_of(road.sent[0]), reference="t")
    assert verified.ok


async def test_test_receivers_are_never_sent_anything(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A test receiver's code exists and is not sent; the log is loud, and shows neither number nor code."""
    otp, road = make(test_receivers="08120000001, qa@example.com")
    with caplog.at_level(logging.WARNING):
        created = await otp.create_otp(receiver="0812-000-0001", reference="t", message="%s")
        mailed = await otp.send_email(receiver="QA@example.com", message="hello")
        assert (await otp.send_sms(receiver="08120000002", message="hello")).ok
    assert (created.response_code.value, mailed.response_code.value, len(road.sent)) == ("0000", "0000", 1)
    assert "nothing was sent" in created.message
    assert caplog.text.count("TEST RECEIVER") == 2
    assert "08120000001" not in caplog.text
    assert (await otp.create_otp(receiver=NUMBER, reference="t", message="%s")).response_code.value == "1201"


async def test_question_subscribes_before_it_is_asked(make: Make) -> None:
    """The subscription stands before the question goes out, and ends after the answer."""
    otp, road = make()
    road.reply = lambda _command: b'{"response_code":"0000","data":{"ussd_content":"Pulsa 5"}}'
    result = await otp.request_ussd(ussd_code="*888#", modem_id=3)
    assert road.steps == ["listen", "send", "answer", "stop"]
    assert (result.command, result.data["ussd_content"]) == ("request-ussd", "Pulsa 5")
    assert road.sent[0]["callback_topic"] != (await _topic(otp, road))


async def _topic(otp: AsyncPublisher, road: ListRoad) -> str:
    await otp.request_ussd(ussd_code="*888#")
    return str(road.sent[-1]["callback_topic"])


async def test_request_of_anything(make: Make) -> None:
    """Any command can be sent, waiting for its answer or not."""
    otp, road = make()
    road.reply = lambda command: json.dumps(command).encode()
    sent = await otp.request("set-gpio-value", {"gpio": 4, "value": True})
    echoed = await otp.request("echo", {"x": [1]})
    asked = await otp.request("send-sms", {"receiver": "1"}, callback=True)
    assert [sent.response_code.value, echoed.response_code.value, dict(echoed.data)] == ["0000", "0000", {"x": [1]}]
    assert (asked.response_code.value, asked.reason) == ("1102", "unreadable_answer")
    assert ["callback_topic" in message for message in road.sent] == [False, True, True]


async def test_answer_1111_does_not_verify(make: Make) -> None:
    """An OTP-Pi that answers verify-otp with 1111 has verified nothing."""
    otp, road = make(manage_otp=False)
    road.reply = lambda _command: b'{"command":"verify-otp","response_code":"1111","data":{}}'
    by_method = await otp.verify_otp(receiver=NUMBER, otp="123456", reference="t")
    by_request = [await otp.request("verify-otp", {"otp": "123456"}, callback=wish) for wish in (None, False)]
    assert [result.response_code.value for result in (by_method, *by_request)] == ["1102"] * 3


def test_one_event_loop_each() -> None:
    """A publisher used in a second event loop says so, instead of failing somewhere inside."""
    publisher = AsyncPublisher(settings=load(environment={}, keywords={"method": "WS"}))
    publisher._sender.road = ListRoad()

    async def use() -> None:
        await publisher.send_sms(receiver=NUMBER, message="hello")

    asyncio.run(use())
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(use())
