"""One shape for every answer, and codes that mean one thing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otp import errors
from otp.codes import ResponseCode
from otp.errors import OtpError, RateLimited
from otp.results import Result

CODES = {
    "0000": "SUCCESS",
    "1000": "SERIAL_PORT_NULL",
    "1100": "UNAUTHORIZED",
    "1101": "NO_DEVICE_CONNECTED",
    "1102": "FAILED",
    "1111": "HANDED_OVER",
    "1201": "DUPLICATED",
    "1202": "INVALID_OTP",
    "1203": "EXPIRED",
}


def test_codes() -> None:
    """The codes are those of the published list and 1111, each with a sentence."""
    assert {code.value: code.name for code in ResponseCode} == CODES
    assert all(code.meaning.endswith(".") for code in ResponseCode)
    assert [code for code in ResponseCode if code.ok] == ["0000", "1111"]


@pytest.mark.parametrize(
    ("value", "code"),
    [("0000", "0000"), ("000", "0000"), (0, "0000"), ("1202", "1202"), (1202, "1202"), (" 1203 ", "1203")],
)
def test_code_read(value: Any, code: str) -> None:
    """Codes are read in every spelling the family has."""
    assert ResponseCode.read(value) == code


@pytest.mark.parametrize("value", [None, "", " ", "9999", "abc", "-0", 5, -1, True, False, 0.0, [], "00000", "0" * 9])
def test_code_unknown(value: Any) -> None:
    """What is no code of ours is none, nothing least of all."""
    assert ResponseCode.read(value) is None


def test_result_shape() -> None:
    """An answer has command, response_code, data and message; the rest only when it is set."""
    result = Result("verify-otp", ResponseCode.SUCCESS, {"reference": "r"})
    assert result.to_dict() == {
        "command": "verify-otp",
        "response_code": "0000",
        "data": {"reference": "r"},
        "message": "Done.",
    }
    assert json.loads(result.to_json()) == result.to_dict()
    assert result.ok
    assert result


def test_result_of_a_code() -> None:
    """An answer to create says until when and from when again."""
    result = Result("request-otp", ResponseCode.HANDED_OVER, expires_at=60, resend_after=0)
    assert list(result.to_dict().items())[-2:] == [("expires_at", 60), ("resend_after", 0)]
    assert result.ok


def test_result_of_a_refusal() -> None:
    """A refusal becomes its code, reason, sentence and waiting time."""
    result = Result.refused("request-otp", RateLimited("Too many.", resend_after=9), {"reference": 1})
    assert not result
    assert result.to_dict() == {
        "command": "request-otp",
        "response_code": "1102",
        "data": {"reference": 1},
        "message": "Too many.",
        "reason": "rate_limited",
        "resend_after": 9,
    }


def test_result_repr_shows_no_content() -> None:
    """What an answer is printed as has no values of its data."""
    result = Result("request-ussd", ResponseCode.SUCCESS, {"ussd_content": "canary"}, message="canary")
    assert "canary" not in f"{result} {result!r}"
    assert repr(result) == "Result('request-ussd', 0000, data keys ['ussd_content'])"


def test_result_cannot_be_changed() -> None:
    """An answer stays what it is."""
    with pytest.raises(AttributeError):
        Result("echo", ResponseCode.SUCCESS).response_code = ResponseCode.FAILED  # type: ignore[misc]


@pytest.mark.parametrize(
    ("answer", "code", "message", "reason"),
    [
        ({"command": "send-sms", "response_code": "0000", "data": {"modemID": "m"}}, "0000", "Done.", None),
        ({"response_code": "000"}, "0000", "Done.", None),
        ({"response_code": "1101", "error": "No modem"}, "1101", "No modem", "no_device_connected"),
        ({"response-code": "1201", "error_message": "Duplicated"}, "1201", "Duplicated", "duplicated"),
        ({"response_code": "0000", "message": "The message was sent"}, "0000", "The message was sent", None),
        ({"command": "send-sms", "data": {}}, "1102", "The answer has no response code.", "unreadable_answer"),
        ({"response_code": "7777"}, "1102", "The answer's response code is not known.", "unreadable_answer"),
        ({"response_code": "1102", "reason": "rate_limited", "resend_after": 5}, "1102", None, "rate_limited"),
        ({"response_code": "1202", "data": "text"}, "1202", "The code is not valid.", "invalid_otp"),
    ],
)
def test_result_from_answer(answer: dict[str, Any], code: str, message: str | None, reason: str | None) -> None:
    """Answers of older receiving ends are read into the one shape."""
    result = Result.from_answer("send-sms", answer)
    assert (result.response_code, result.reason) == (code, reason)
    assert message is None or result.message == message
    assert result.command == "send-sms"
    assert isinstance(result.data, dict)


def test_result_from_its_own_json() -> None:
    """An answer survives the way over the wire."""
    result = Result.refused("request-otp", RateLimited("Too many.", resend_after=9))
    assert Result.from_answer("request-otp", json.loads(result.to_json())) == result


def test_errors_have_a_code_and_a_reason() -> None:
    """Every refusal has a response code of failure and a token, and both stand in the module's table."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OtpError)]
    for kind in kinds:
        assert not kind.code.ok
        assert kind is OtpError or f"| {kind.__name__:18} | {kind.code} | {kind.reason}" in (errors.__doc__ or "")
