"""HTTP answers before the upgrade, as bytes."""

import json

import pytest

from broker.errors import METHOD_NOT_ALLOWED, REFUSALS, UNAUTHORIZED, UPGRADE_REQUIRED, Refusal, Refused
from broker.responses import refusal_response
from tests.wire.raw import parse_response


@pytest.mark.parametrize("refusal", REFUSALS, ids=[f"{each.status} {each.token}" for each in REFUSALS])
def test_refusal_response_says_in_json_what_was_wrong_and_what_to_do(refusal: Refusal) -> None:
    """Each refusal has its status, its token, the detail and the advice, and fits one read of 1,024 bytes."""
    raw = refusal_response(Refused(refusal, "something was wrong"))
    response = parse_response(raw)
    assert response.status == refusal.status
    assert response.json() == {
        "error": refusal.token,
        "message": f"something was wrong. What to do: {refusal.advice}.",
    }
    assert response.headers["content-length"] == str(len(response.body))
    assert "close" in response.headers["connection"]
    assert len(raw) <= 1024


def test_refusal_response_to_missing_credentials_asks_for_basic_in_utf8() -> None:
    """RFC 7617, 2.1: the challenge names realm and charset."""
    response = parse_response(refusal_response(Refused(UNAUTHORIZED, "no")))
    assert response.headers["www-authenticate"] == 'Basic realm="wsbroker", charset="UTF-8"'


def test_refusal_response_to_a_plain_request_names_the_version_to_speak() -> None:
    """RFC 9110, 15.5.22 and RFC 6455, 4.2.2: Upgrade and the version come with 426."""
    response = parse_response(refusal_response(Refused(UPGRADE_REQUIRED, "no")))
    assert response.headers["upgrade"] == "websocket"
    assert response.headers["sec-websocket-version"] == "13"
    assert response.headers["connection"] == "Upgrade, close"


def test_refusal_response_to_a_wrong_method_names_the_right_one() -> None:
    """RFC 9110, 15.5.6: 405 carries Allow."""
    assert parse_response(refusal_response(Refused(METHOD_NOT_ALLOWED, "no"))).headers["allow"] == "GET"


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (30, "30")])
def test_refusal_response_retry_after_is_whole_seconds_rounded_up(seconds: float, header: str) -> None:
    """RFC 9110, 10.2.3: whole seconds, never an invitation to come too early."""
    response = parse_response(refusal_response(Refused(REFUSALS[0], "no", retry_after=seconds)))
    assert response.headers["retry-after"] == header


def test_refusal_response_without_retry_after_sends_none() -> None:
    """Where waiting does not help, nobody is told to wait."""
    assert "retry-after" not in parse_response(refusal_response(Refused(REFUSALS[0], "no"))).headers


def test_refusal_response_to_head_has_headers_only() -> None:
    """RFC 9110, 9.3.2: the length of the body, and no body."""
    response = parse_response(refusal_response(Refused(METHOD_NOT_ALLOWED, "no"), with_body=False))
    assert response.body == b""
    assert int(response.headers["content-length"]) > 0


def test_refusal_response_with_any_letter_in_its_detail_is_utf8_json() -> None:
    """What a client is told may hold more than ASCII."""
    response = parse_response(refusal_response(Refused(REFUSALS[0], 'quote " and €')))
    assert json.loads(response.body.decode())["message"].startswith('quote " and €')
