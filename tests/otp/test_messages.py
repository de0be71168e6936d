"""Commands on their way out, compared with the published samples of the family, field by field."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from otp import messages
from otp.errors import InvalidInput
from otp.json_reader import read_object
from otp.messages import Command, Message

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1629685778.9

REQUEST_OTP = """{
	"command": "request-otp",
	"data": {
		"date_time": 1629685778,
		"expiration": 1629685838,
		"receiver": "08126666666",
		"message": "Your OTP is %s",
		"reference": "12345678901234567890",
		"param1": "100000",
		"param2": "1234567890",
		"param3": "987654",
		"param4": "674527846556468254"
	}
}"""

VERIFY_OTP = """{
	"command": "verify-otp",
	"data": {
		"date_time": 1629685778,
		"receiver": "08126666666",
		"otp": "123456",
		"reference": "12345678901234567890",
		"param1": "100000",
		"param2": "1234567890",
		"param3": "987654",
		"param4": "674527846556468254"
	}
}"""

SEND_SMS = """{
	"command": "send-sms",
	"data": {
		"date_time": 1629685778,
		"expiration": 1629685838,
		"id": 123456,
		"receiver": "08126666666",
		"message": "Your OTP is 1234"
	}
}"""

SEND_EMAIL = """{
	"command": "send-email",
	"data": {
		"date_time": 1629685778,
		"expiration": 1629685838,
		"id": 123456,
		"receiver": "someone@domain.tld",
		"subject": "Your OTP Code",
		"message": "Your OTP is 1234"
	}
}"""

BLOCK = """{
	"command": "block-msisdn",
	"data": {
		"date_time": 1629685778,
		"receiver": "08126666666",
	}
}"""

UNBLOCK = """{
	"command": "unblock-msisdn",
	"data":{
		"date_time": 1629685778,
		"receiver": "08126666666",
	}
}"""

FOUR = ("100000", "1234567890", "987654", "674527846556468254")
REFERENCE = "12345678901234567890"
NUMBER = "08126666666"


def sms(**changed: Any) -> Message:
    fields: dict[str, Any] = {
        "receiver": NUMBER,
        "message": "Your OTP is 1234",
        "message_id": 123456,
        "lifetime": 60,
        "now": NOW,
    }
    return messages.send_sms(**(fields | changed))


def otp(**changed: Any) -> Message:
    fields: dict[str, Any] = {
        "receiver": NUMBER,
        "message": "Your OTP is %s",
        "reference": REFERENCE,
        "lifetime": 60,
        "now": NOW,
    }
    return messages.request_otp(**(fields | {"params": FOUR} | changed))


def email(**changed: Any) -> Message:
    fields: dict[str, Any] = {
        "receiver": "someone@domain.tld",
        "message": "Your OTP is 1234",
        "subject": "Your OTP Code",
    }
    return messages.send_email(**(fields | {"message_id": 123456, "lifetime": 60, "now": NOW} | changed))


SAMPLES: list[tuple[str, Message]] = [
    (REQUEST_OTP, otp()),
    (VERIFY_OTP, messages.verify_otp(receiver=NUMBER, otp="123456", reference=REFERENCE, params=FOUR, now=NOW)),
    (SEND_SMS, sms()),
    (SEND_EMAIL, email()),
    (BLOCK, messages.block_msisdn(receiver=NUMBER, now=NOW)),
    (UNBLOCK, messages.unblock_msisdn(receiver=NUMBER, now=NOW)),
]


@pytest.mark.parametrize(("sample", "message"), SAMPLES, ids=lambda value: getattr(value, "command", ""))
def test_message_equals_the_sample(sample: str, message: Message) -> None:
    """Every command is the published sample: keys, their order, values, types."""
    expected = json.dumps(read_object(sample), separators=(",", ":"))
    assert message.encode() == expected.encode()


def pairs(message: Message) -> list[tuple[str, Any]]:
    return list(message.to_dict()["data"].items())


def test_send_message_order() -> None:
    """``send-message`` carries the subject last, empty when there is none, as existing publishers do."""
    message = messages.send_message(receiver=NUMBER, message="Hi", message_id="a", lifetime=60, now=NOW)
    assert pairs(message) == [
        ("date_time", 1629685778),
        ("expiration", 1629685838),
        ("id", "a"),
        ("receiver", NUMBER),
        ("message", "Hi"),
        ("subject", ""),
    ]


def test_request_otp_with_id() -> None:
    """With an id it stands between message and reference, where existing publishers put it."""
    assert [name for name, _ in pairs(otp(message_id=7))][:6] == [
        *("date_time", "expiration", "receiver", "message", "id", "reference")
    ]


def test_types_pass_through() -> None:
    """Numbers stay numbers and texts stay texts: id, reference, parameters."""
    data = dict(pairs(otp(message_id=7, reference=1629685778, params=[100000, "7890", None])))
    assert (data["id"], data["reference"]) == (7, 1629685778)
    assert [data[f"param{number}"] for number in range(1, 5)] == [100000, "7890", "", ""]


def test_missing_parameters_are_empty() -> None:
    """Without parameters all four are there, empty."""
    data = dict(pairs(messages.verify_otp(receiver=NUMBER, otp=12, reference="r", now=NOW)))
    assert [data[f"param{number}"] for number in range(1, 5)] == ["", "", "", ""]


@pytest.mark.parametrize(
    ("otp_value", "digits", "text"), [(12, 6, "000012"), ("12", 6, "12"), (12, 4, "0012"), (0, 6, "0" * 6)]
)
def test_verify_otp_of_a_number(otp_value: Any, digits: int, text: str) -> None:
    """A code leaves as text; a number gets its lost leading zeros back, a text stays as it was typed."""
    message = messages.verify_otp(receiver=NUMBER, otp=otp_value, reference="r", now=NOW, digits=digits)
    assert dict(pairs(message))["otp"] == text


def test_verify_otp_of_an_endless_number() -> None:
    """A number that Python refuses to print is refused in words."""
    with pytest.raises(InvalidInput, match="otp is a number of more than 40 digits"):
        messages.verify_otp(receiver=NUMBER, otp=10**5000, reference="r", now=NOW)


def test_callback_order() -> None:
    """A command that awaits an answer: command, callback_topic, data, callback_delay."""
    message = messages.get_modem_list(now=NOW).with_callback("modem-list-1", 50)
    expected = (
        '{"command":"get-modem-list","callback_topic":"modem-list-1",'
        '"data":{"date_time":1629685778},"callback_delay":50}'
    )
    assert message.to_json() == expected


def test_callback_without_delay() -> None:
    """Without a delay the key is not sent."""
    message = messages.request_ussd(ussd_code="*123#", modem_id="m1", now=NOW).with_callback("ussd-1")
    assert list(message.to_dict()) == ["command", "callback_topic", "data"]
    assert pairs(message) == [("date_time", 1629685778), ("ussd_code", "*123#"), ("modem_id", "m1")]


def test_callback_topics() -> None:
    """Callback topics keep their prefixes and cannot be guessed."""
    topics = {messages.callback_topic(Command.REQUEST_USSD) for _ in range(100)}
    assert len(topics) == 100
    assert all(topic.startswith("ussd-") and len(topic) == 5 + 32 for topic in topics)
    assert messages.callback_topic("get-modem-list").startswith("modem-list-")
    assert messages.callback_topic("echo").startswith("echo-")


@pytest.mark.parametrize("command", ["a b/#+\n\u00e9", "x" * 255])
def test_callback_topic_of_an_odd_command(command: str) -> None:
    """Whatever a command is called, its callback topic is one that every road takes."""
    topic = messages.callback_topic(command)
    assert re.fullmatch(r"[ax][A-Za-z0-9._-]{1,63}-[0-9a-f]{32}", topic)


def test_fresh_ids_differ() -> None:
    """No two ids are the same."""
    assert len({messages.fresh_id() for _ in range(1000)}) == 1000


def test_resend_and_cancel() -> None:
    """Our two additions carry what a store needs."""
    for build, name in ((messages.resend_otp, "resend-otp"), (messages.cancel_otp, "cancel-otp")):
        message = build(receiver=NUMBER, reference=5, now=NOW)
        assert message.command == name
        assert pairs(message) == [("date_time", 1629685778), ("receiver", NUMBER), ("reference", 5)]


def test_free_request() -> None:
    """Any command can be sent, with the fields given, in their order."""
    message = messages.request("set-gpio-value", {"gpio": 4, "value": 1, "date_time": 5})
    assert message.to_json() == '{"command":"set-gpio-value","data":{"gpio":4,"value":1,"date_time":5}}'


def test_json_is_ascii() -> None:
    """Every character survives, escaped: no road and no receiver has an encoding to misread."""
    text = 'Kode "OTP" é 漢字 \N{MOBILE PHONE} \\ / \n 50%'
    encoded = sms(message=text).encode()
    assert encoded.isascii()
    assert json.loads(encoded)["data"]["message"] == text


def test_percent_signs() -> None:
    """In a format lone percent signs are doubled, so that printf-like receivers cope; in a message nothing is."""
    assert dict(pairs(otp(message="100% sure: %s")))["message"] == "100%% sure: %s"
    assert dict(pairs(otp(message="100%% sure: {code}")))["message"] == "100%% sure: %s"
    assert dict(pairs(sms(message="100% %s %d")))["message"] == "100% %s %d"


def test_for_original_pi() -> None:
    """The opt-in form of what is sent: milliseconds, and mail under the one name it knows; others are untouched."""
    assert dict(pairs(messages.for_original_pi(sms())))["expiration"] == 1629685838000
    mail = messages.for_original_pi(email())
    assert (mail.command, dict(pairs(mail))["expiration"]) == ("send-mail", 1629685838000)
    assert messages.for_original_pi(otp()) == otp()


def test_repr_shows_no_content() -> None:
    """What a message is printed as has names only."""
    for message in (sms(message="canary"), email(subject="canary"), otp(message="canary %s", params=["canary"])):
        assert "canary" not in f"{message} {message!r} {[message]}"
        assert message.command in repr(message)


BAD: list[tuple[Callable[..., Message], dict[str, Any], str]] = [
    (sms, {"receiver": 8126666666}, "receiver must be text: as a number it loses its leading zero or plus."),
    (sms, {"receiver": ""}, "receiver is empty."),
    (sms, {"receiver": " \t"}, "receiver is empty."),
    (sms, {"receiver": None}, "receiver must be text, not nothing."),
    (sms, {"receiver": '0812"\r\nAT+CMGD=0,4'}, "receiver holds a control character."),
    (sms, {"receiver": "0" * 321}, "receiver has 321 characters; at most 320 are allowed."),
    (sms, {"message": ""}, "message is empty."),
    (sms, {"message": b"bytes"}, "message must be text, not raw bytes."),
    (sms, {"message": "x" * 10_000}, "message has 10000 characters; at most 1600 are allowed."),
    (sms, {"message": "half \ud83d"}, "message holds half a surrogate pair, which is no character."),
    (sms, {"message_id": None}, "id must be text, not nothing."),
    (sms, {"message_id": 1.5}, "id must be text, not a number with a fraction."),
    (sms, {"message_id": True}, "id must be text, not true or false."),
    (sms, {"message_id": ""}, "id is empty."),
    (sms, {"message_id": 10**5000}, "id is a number of more than 40 digits."),
    (sms, {"lifetime": 0}, "lifetime must be at least one second."),
    (sms, {"lifetime": -60}, "lifetime must be at least one second."),
    (sms, {"lifetime": 1.5}, "lifetime must be a whole number of seconds, not a number with a fraction."),
    (sms, {"lifetime": "soon"}, "lifetime must be a whole number of seconds, not text."),
    (sms, {"lifetime": None}, "lifetime must be a whole number of seconds, not nothing."),
    (sms, {"lifetime": True}, "lifetime must be a whole number of seconds, not true or false."),
    (email, {"subject": "Hi\r\nBcc: all@example.com"}, "subject holds a line break or another control character."),
    (email, {"subject": None}, "subject must be text, not nothing."),
    (email, {"message": "x" * 100_001}, "message has 100001 characters; at most 100000 are allowed."),
    (otp, {"reference": ""}, "reference is empty."),
    (otp, {"reference": "  "}, "reference is empty."),
    (otp, {"reference": None}, "reference must be text, not nothing."),
    (otp, {"reference": 1.0}, "reference must be text, not a number with a fraction."),
    (otp, {"reference": "r" * 1025}, "reference has 1025 characters; at most 1024 are allowed."),
    (otp, {"params": "1234"}, "params must be a list of up to four values, not text."),
    (otp, {"params": {"param1": "x"}}, "params must be a list of up to four values, not a dict."),
    (otp, {"params": [1, 2, 3, 4, 5]}, "params has 5 values; there are only param1 to param4."),
    (otp, {"params": ["a", 1.5]}, "param2 must be text, not a number with a fraction."),
    (otp, {"message": "no place"}, "message has no place for the code; write %s (or {code}) exactly once."),
    (otp, {"message": "%s %s"}, "message has 2 places for the code; write %s (or {code}) exactly once."),
]


@pytest.mark.parametrize(("build", "changed", "text"), BAD)
def test_bad_field_is_named(build: Callable[..., Message], changed: dict[str, Any], text: str) -> None:
    """What is wrong with a field is said in one sentence, before anything is sent."""
    with pytest.raises(InvalidInput) as refusal:
        build(**changed)
    assert str(refusal.value) == text
    assert (refusal.value.code, refusal.value.reason) == ("1102", "invalid_input")


def test_lifetime_as_text() -> None:
    """A lifetime may be the text of a number, as forms and command lines give it."""
    assert sms(lifetime=" 60 ") == sms(lifetime=60.0) == sms()


def test_long_mail() -> None:
    """A mail of 10 kB is fine; so is a message to a mail address."""
    body = "x" * 10_000
    assert dict(pairs(email(message=body)))["message"] == body
    fields: dict[str, Any] = {"message_id": 1, "lifetime": 60, "now": NOW, "message": body}
    messages.send_message(receiver="someone@domain.tld", **fields)
    with pytest.raises(InvalidInput, match="at most 1600"):
        messages.send_message(receiver=NUMBER, **fields)


@pytest.mark.parametrize("data", [{"a": object()}, {"a": float("nan")}, {"a": {1, 2}}])
def test_free_request_without_json_form(data: dict[str, Any]) -> None:
    """What JSON has no form for is refused without showing it."""
    with pytest.raises(InvalidInput, match=r"data of echo cannot be written as JSON\."):
        messages.request("echo", data).encode()


@pytest.mark.parametrize(("command", "data"), [("", {}), (None, {}), ("echo", None), ("echo", "text")])
def test_free_request_malformed(command: Any, data: Any) -> None:
    """A request needs a name and an object."""
    with pytest.raises(InvalidInput):
        messages.request(command, data)


@pytest.mark.parametrize("otp_value", [None, 1.5, True, b"123456", ["123456"]])
def test_verify_otp_of_wrong_type(otp_value: Any) -> None:
    """A code is text or a whole number; anything else is a programming fault, said without showing it."""
    with pytest.raises(InvalidInput, match="otp must be text, not "):
        messages.verify_otp(receiver=NUMBER, otp=otp_value, reference="r", now=NOW)
