"""What becomes of a message, in response codes."""

import pytest

from otp.incoming import Incoming, read
from otp.pi import answers
from otp.pi.model import Outcome, State

SECRET = "4711-canary"


def incoming() -> Incoming:
    return read(
        b'{"command": "send-sms", "data": {"date_time": 1, "expiration": 2, "id": 5, "receiver": "0812",'
        b' "message": "' + SECRET.encode() + b'"}}',
        1.0,
    )


@pytest.mark.parametrize(
    ("state", "reason", "code", "told"),
    [
        (State.SENT, "", "0000", None),
        (State.DELIVERED, "", "0000", None),
        (State.UNKNOWN, "", "1111", "outcome_unknown"),
        (State.QUEUED, "", "1111", "queued"),
        (State.SENDING, "", "1111", "queued"),
        (State.FAILED, "no_modem_configured", "1000", "no_modem_configured"),
        (State.FAILED, "no_modem", "1101", "no_modem"),
        (State.FAILED, "cms_28", "1102", "cms_28"),
        (State.FAILED, "attempts", "1102", "attempts"),
        (State.DUPLICATE, "", "1201", "duplicate"),
        (State.EXPIRED, "", "1203", "expired"),
        (State.EXPIRED, "expired", "1203", "expired"),
        (State.BLOCKED, "blocked", "1102", "blocked"),
        (State.BLOCKED, "budget:user", "1102", "budget:user"),
        (State.UNDELIVERED, "", "1102", None),
    ],
)
def test_outcome_has_its_response_code(state: State, reason: str, code: str, told: str | None) -> None:
    """Each way a message can end has the code that the table at the top of the module says."""
    answer = answers.to_json(answers.of_outcome(incoming(), Outcome(number=7, state=state, reason=reason)))
    assert (answer["response_code"], answer.get("reason")) == (code, told)
    assert answer["message"]
    assert answer["data"]["journal"] == 7
    assert SECRET not in str(answer)


def test_answer_to_a_sent_message_has_modem_and_references() -> None:
    """The caller learns who sent it and under which references, and whether it may arrive twice."""
    outcome = Outcome(number=7, state=State.SENT, modem="one", references=(12, 13), possible_duplicate=True)
    answer = answers.to_json(answers.of_outcome(incoming(), outcome))
    assert answer["data"] == {
        "date_time": 1,
        "receiver": "0812",
        "journal": 7,
        "modemID": "one",
        "result": "+CMGS: 12,13",
        "possible_duplicate": True,
    }
    assert answer["message"] == "It was sent by one. It may arrive twice."
    assert "error" not in answer


def test_answer_to_a_delivered_message_says_so() -> None:
    """Delivered is more than sent; a message whose modem is not known is still sent."""
    assert answers.of_outcome(incoming(), Outcome(number=1, state=State.DELIVERED)).message == "It was delivered."
    assert answers.of_outcome(incoming(), Outcome(number=1, state=State.SENT)).message == "It was sent."


def test_failure_has_its_sentence_as_error_too() -> None:
    """Older callers look for ``error``; a reason without a sentence is shown as words."""
    answer = answers.to_json(answers.of_outcome(incoming(), Outcome(number=1, state=State.FAILED, reason="cms_28")))
    assert answer["error"] == answer["message"] == "It was not sent. The network said: unidentified subscriber (28)."
    assert answers.sentence("no_prompt") == "It was not sent: no prompt."
    assert answers.sentence("attempts:cms_38") == "All attempts failed. The network said: network out of order (38)."
    assert answers.sentence(None) == "It was not sent: no reason was given."
