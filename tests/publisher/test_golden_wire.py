"""The JSON on the wire equals the documented samples, field by field, for every command on every road.

``golden/rest amqp redis mqtt ws`` hold the samples of the original's documentation as they stand there, trailing commas
included; ``golden/all`` holds what existing publishers send beyond them. In the latter ``*`` ends a part that is
random, and ``######`` stands for a code.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from otp.json_reader import read_object
from otp.publisher import AsyncPublisher
from otp.results import Result
from tests.publisher.conftest import SAMPLE_TIME, MakePublisher, arrived
from tests.publisher.rigs import RIGS, Rig, success

GOLDEN = Path(__file__).parent / "golden"
LIFETIME = 60
NUMBER, ADDRESS = "08126666666", "someone@domain.tld"
ID, TEXT, SUBJECT = 123456, "Your OTP is 1234", "Your OTP Code"
PARAMS = ["100000", "1234567890", "987654", "674527846556468254"]
REFERENCE = "12345678901234567890"

Call = Callable[[AsyncPublisher], Awaitable[Result]]

CALLS: dict[str, Call] = {
    "request-otp": lambda otp: otp.create_otp(
        receiver=NUMBER, reference=REFERENCE, lifetime=LIFETIME, message="Your OTP is %s", params=PARAMS
    ),
    "create-otp": lambda otp: otp.create_otp(
        receiver=NUMBER, reference=REFERENCE, lifetime=LIFETIME, message="Your OTP is %s", params=PARAMS, id=ID
    ),
    "verify-otp": lambda otp: otp.verify_otp(receiver=NUMBER, otp="123456", reference=REFERENCE, params=PARAMS),
    "send-sms": lambda otp: otp.send_sms(receiver=NUMBER, message=TEXT, lifetime=LIFETIME, id=ID),
    "send-email": lambda otp: otp.send_email(receiver=ADDRESS, message=TEXT, subject=SUBJECT, lifetime=LIFETIME, id=ID),
    "send-message": lambda otp: otp.send_message(receiver=NUMBER, message=TEXT, lifetime=LIFETIME, id=ID),
    "block-msisdn": lambda otp: otp.block_msisdn(receiver=NUMBER),
    "unblock-msisdn": lambda otp: otp.unblock_msisdn(receiver=NUMBER),
    "get-modem-list": lambda otp: otp.get_modem_list(),
    "request-ussd": lambda otp: otp.request_ussd(ussd_code="*123#", modem_id="modem-1"),
}

CASES = [
    (road, directory, file.stem)
    for road in RIGS
    for directory in (road, "all")
    for file in sorted((GOLDEN / directory).glob("*.json"))
]


def same_types(value: object) -> str:
    """Return a text that is equal only for equal values of equal types."""
    return json.dumps(value, sort_keys=True)


def sample(directory: str, name: str) -> dict[str, Any]:
    """Return a golden file's object, keys in its order."""
    return read_object((GOLDEN / directory / f"{name}.json").read_bytes())


async def sent(rig: Rig, publisher: AsyncPublisher, call: Call) -> dict[str, Any]:
    """Return what the receiving end gets when a method is called; an answer to it is not waited for."""
    async with rig.receiving() as inbox:
        calling = asyncio.ensure_future(call(publisher))
        try:
            found: dict[str, Any] = json.loads(await arrived(inbox))
        finally:
            calling.cancel()
            await asyncio.wait({calling})
        return found


@pytest.mark.parametrize(
    ("rig", "directory", "name"), CASES, indirect=["rig"], ids=[f"{road}-{name}" for road, _, name in CASES]
)
async def test_wire_equals_sample(rig: Rig, directory: str, name: str, make_publisher: MakePublisher) -> None:
    """A method puts on the wire what the sample shows: every field, no other, with its type."""
    more = {} if rig.method == "REST" else {"callback_delay": 50}
    publisher = make_publisher(rig.keywords(**more), clock=lambda: SAMPLE_TIME, manage_otp=name == "create-otp")
    expected = sample(directory, name)
    found = await sent(rig, publisher, CALLS[name])
    _hide(found, expected, rig)
    assert same_types(found) == same_types(expected)


def _hide(found: dict[str, Any], expected: dict[str, Any], rig: Rig) -> None:
    """Check what is random, and make both sides agree on it."""
    if "callback_topic" in expected:
        prefix = expected["callback_topic"].rstrip("*")
        if rig.method == "REST":
            del expected["callback_topic"], expected["callback_delay"]
        else:
            assert re.fullmatch(re.escape(prefix) + "[0-9a-f]{32}", found["callback_topic"])
            found["callback_topic"] = expected["callback_topic"]
    if expected["data"].get("message", "").endswith("######"):
        found["data"]["message"] = re.sub(r"[0-9]{6}$", "######", found["data"]["message"])


@pytest.mark.parametrize("name", ["send-message", "create-otp", "get-modem-list", "request-ussd"])
async def test_keys_keep_their_order(name: str, broker_rig: Rig, make_publisher: MakePublisher) -> None:
    """Keys stand in the order existing publishers send them in."""
    keywords = broker_rig.keywords(callback_delay=50)
    publisher = make_publisher(keywords, clock=lambda: SAMPLE_TIME, manage_otp=name == "create-otp")
    expected = sample("all", name)
    found = await sent(broker_rig, publisher, CALLS[name])
    assert (list(found), list(found["data"])) == (list(expected), list(expected["data"]))


async def test_unmanaged_codes_over_brokers(broker_rig: Rig, make_publisher: MakePublisher) -> None:
    """Without ``manage_otp`` the OTP-Pi is asked: to create without waiting, to verify with a callback."""
    publisher = make_publisher(broker_rig.keywords(), clock=lambda: SAMPLE_TIME, manage_otp=False)
    created = await sent(broker_rig, publisher, CALLS["request-otp"])
    assert same_types(created) == same_types(sample("rest", "request-otp"))

    async with broker_rig.answering(success):
        verified = await CALLS["verify-otp"](publisher)
    assert verified.response_code.value == "0000"


async def test_verify_is_never_ok_without_an_answer(broker_rig: Rig, make_publisher: MakePublisher) -> None:
    """A broker's word that it has the question is no word that the code is right."""
    publisher = make_publisher(broker_rig.keywords(callback_timeout="300ms"), manage_otp=False)
    async with broker_rig.receiving():
        result = await CALLS["verify-otp"](publisher)
    assert (result.response_code.value, bool(result)) == ("1102", False)


@pytest.mark.parametrize("name", ["send-sms", "send-email", "send-message"])
async def test_original_pi(name: str, broker_rig: Rig, make_publisher: MakePublisher) -> None:
    """For a Java OTP-Pi that drops expired messages, expiration leaves in milliseconds and mail as send-mail."""
    publisher = make_publisher(broker_rig.keywords(original_pi=True), clock=lambda: SAMPLE_TIME)
    found = await sent(broker_rig, publisher, CALLS[name])
    assert found["command"] == ("send-mail" if name == "send-email" else name)
    assert found["data"]["expiration"] == (SAMPLE_TIME + LIFETIME) * 1000
