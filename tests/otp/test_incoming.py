"""Commands on their way in: what existing senders write is read, everything else is refused in words."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp import incoming, messages
from otp.errors import InvalidMessage
from otp.messages import Command

NOW = 1629685780.0
SMS: dict[str, Any] = {"receiver": "0812", "message": "Hi", "expiration": 1629685838, "id": 5}


def read(command: str, data: dict[str, Any], **around: Any) -> incoming.Incoming:
    return incoming.read(json.dumps({"command": command, "data": data, **around}), NOW)


def refusal(payload: Any) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        incoming.read(payload if isinstance(payload, bytes | str) else json.dumps(payload), NOW)
    assert caught.value.code == "1102"
    return caught.value


def test_read_what_we_send() -> None:
    """Whatever the publishing end builds the receiving end reads, field by field."""
    sent = messages.request_otp(
        receiver="0812666", message="Your OTP is %s", reference=7, lifetime=60, now=NOW, message_id=3, params=["a", 2]
    )
    found = incoming.read(sent.encode(), NOW)
    assert (found.command, found.action) == ("request-otp", Command.REQUEST_OTP)
    assert (found.receiver, found.message, found.message_id) == ("0812666", "Your OTP is %s", "3")
    assert (found.reference, found.params) == ("7", ("a", "2", "", ""))
    assert (found.deadline, found.lifetime) == (NOW + 60, 60)


def test_read_every_command() -> None:
    """Every command has its needs, and is read when they are met."""
    values = {"receiver": "0812", "message": "m", "reference": "r", "otp": "1", "ussd_code": "*1#"}
    for command, needed in incoming.NEEDED.items():
        found = read(command, {name: values[name] for name in needed})
        assert found.action is command


@pytest.mark.parametrize("command", [command for command, needed in incoming.NEEDED.items() if needed])
def test_read_without_a_need(command: Command) -> None:
    """Without one of its needs a command is refused by name, blank counting as missing."""
    values = {"receiver": "0812", "message": "m", "reference": "r", "otp": "1", "ussd_code": "*1#"}
    for missing in incoming.NEEDED[command]:
        data = {name: values[name] for name in incoming.NEEDED[command] if name != missing}
        for broken in (data, data | {missing: " "}, data | {missing: None}):
            found = refusal({"command": command, "data": broken})
            assert str(found) == f"{command} needs {missing}."
            assert found.command == command


def test_read_published_sample_with_trailing_comma() -> None:
    """The published block sample, which is no valid JSON, is read."""
    found = incoming.read('{"command": "block-msisdn", "data": {"date_time": 1, "receiver": "08126666666",\n}\n}', NOW)
    assert (found.action, found.receiver) == (Command.BLOCK_MSISDN, "08126666666")


def test_read_msisdn_for_receiver() -> None:
    """Block commands may name the number ``msisdn``, as the published table has it."""
    assert read("unblock-msisdn", {"msisdn": "0812"}).receiver == "0812"


def test_read_send_mail() -> None:
    """``send-mail`` is ``send-email`` under the name it came with."""
    found = read("send-mail", SMS | {"subject": "S"})
    assert (found.command, found.action, found.subject) == ("send-mail", Command.SEND_EMAIL, "S")


def test_read_numbers_for_texts() -> None:
    """Numbers are read where texts are meant; a code keeps its type, for its leading zeros."""
    found = read("verify-otp", {"receiver": 62812, "otp": 12345, "reference": 9, "param1": 5})
    assert (found.receiver, found.otp, found.reference, found.params) == ("62812", 12345, "9", ("5", "", "", ""))
    assert read("verify-otp", {"receiver": "1", "otp": "012345", "reference": "9"}).otp == "012345"


def test_read_about() -> None:
    """What answers repeat keeps the types that came."""
    found = read("verify-otp", {"date_time": 5, "receiver": "1", "otp": "1", "reference": 9, "param1": "x"})
    assert found.about() == {"date_time": 5, "receiver": "1", "reference": 9}


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (52, 52),
        ("52", 52),
        (" 52 ", 52),
        (-52, 52),
        (0, 0),
        (10**7, 10_000),
        ("9" * 400, 10),
        (None, 10),
        (1.5, 10),
        ("soon", 10),
        (True, 10),
        ([], 10),
    ],
)
def test_read_callback_delay(delay: Any, expected: int) -> None:
    """A delay is milliseconds as a number or its text, without sign, at most ten seconds, ten when unreadable."""
    found = read("get-modem-list", {}, callback_topic="t", callback_delay=delay)
    assert (found.callback_topic, found.callback_delay) == ("t", expected)


def test_read_without_callback() -> None:
    """A command that awaits no answer has an empty topic."""
    assert read("get-modem-list", {}).callback_topic == ""


def test_read_echo_keeps_the_request() -> None:
    """``echo`` answers with the whole request."""
    request = {"command": "echo", "data": {"x": [1]}, "more": "y"}
    assert incoming.read(json.dumps(request), NOW).request == request


def test_read_modem_list_without_data() -> None:
    """A command that needs nothing may come without data."""
    assert incoming.read('{"command": "get-modem-list"}', NOW).data == {}


def test_expired() -> None:
    """A command is too late past its limit and not before."""
    found = read("send-sms", SMS)
    assert (found.expired(1629685838), found.expired(1629685838.1)) == (False, True)


def test_repr_shows_no_content() -> None:
    """What a command is printed as has names only."""
    found = read("send-sms", {"receiver": "canary", "message": "canary", "id": "canary"})
    assert "canary" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    ("payload", "text", "command"),
    [
        ({}, "The message has no command that could be one.", ""),
        ({"command": 5, "data": {}}, "The message has no command that could be one.", ""),
        ({"command": "", "data": {}}, "The message has no command that could be one.", ""),
        ({"command": "x" * 256, "data": {}}, "The message has no command that could be one.", ""),
        ({"command": "set-gpio-value", "data": {}}, "There is no command set-gpio-value.", "set-gpio-value"),
        ({"command": "<script>", "data": {}}, "There is no command of this name.", "<script>"),
        ({"command": "send-sms"}, "data must be an object, not nothing.", "send-sms"),
        ({"command": "send-sms", "data": []}, "data must be an object, not a list.", "send-sms"),
        ({"command": "send-sms", "data": "x"}, "data must be an object, not text.", "send-sms"),
        ({"command": "echo", "data": 5}, "data must be an object, not a whole number.", "echo"),
        (
            {"command": "send-sms", "data": SMS | {"receiver": ["0812"]}},
            "receiver must be text, not a list.",
            "send-sms",
        ),
        (
            {"command": "send-sms", "data": SMS | {"receiver": "0812\r\nAT"}},
            "receiver holds a control character.",
            "send-sms",
        ),
        (
            {"command": "send-email", "data": SMS | {"subject": "a\nb"}},
            "subject holds a line break or another control character.",
            "send-email",
        ),
        (
            {"command": "send-sms", "data": SMS | {"message": "\ud83d"}},
            "message holds half a surrogate pair, which is no character.",
            "send-sms",
        ),
        (
            {"command": "verify-otp", "data": {"receiver": "1", "otp": True, "reference": "r"}},
            "otp must be text, not true or false.",
            "verify-otp",
        ),
        (
            {"command": "verify-otp", "data": {"receiver": "1", "otp": "1", "reference": "r", "param4": {}}},
            "param4 must be text, not a dict.",
            "verify-otp",
        ),
    ],
)
def test_refused(payload: dict[str, Any], text: str, command: str) -> None:
    """What cannot be carried out is refused in one sentence, under the name to answer with."""
    found = refusal(payload)
    assert (str(found), found.command) == (text, command)


def test_refused_unknown_command_reason() -> None:
    """An unknown command has a token of its own."""
    assert refusal({"command": "nope", "data": {}}).reason == "unknown_command"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["receiver", "message", "otp", "reference", "id", "subject", "param1", "msisdn", "expiration", "date_time"]
)


@given(
    st.sampled_from(list(Command)),
    st.dictionaries(field_names, json_values),
    st.dictionaries(st.sampled_from(["callback_topic", "callback_delay"]), json_values),
)
def test_any_fields(command: Command, data: dict[str, Any], around: dict[str, Any]) -> None:
    """Whatever the fields hold, a command is read or refused, never anything else."""
    try:
        found = incoming.read(json.dumps({"command": command, "data": data, **around}), NOW)
    except InvalidMessage:
        return
    assert found.action is command
    assert 0 <= found.callback_delay <= 10_000


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes(payload: bytes | str) -> None:
    """Whatever comes off the wire, a command is read or refused, never anything else."""
    with suppress(InvalidMessage):
        assert incoming.read(payload, NOW).command
