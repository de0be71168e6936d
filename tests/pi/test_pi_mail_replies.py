"""Whose fault a refusal is, and whether it can pass."""

import pytest

from otp.pi.mail.replies import Fault, Step, judge

ACCOUNT, MESSAGE, RECEIVER = Fault.ACCOUNT, Fault.MESSAGE, Fault.RECEIVER


@pytest.mark.parametrize(
    ("step", "reply", "fault", "permanent"),
    [
        (Step.CONNECT, "554 5.7.1 Client host rejected", ACCOUNT, False),
        (Step.CONNECT, "421 too busy", ACCOUNT, False),
        (Step.HELLO, "502 no", ACCOUNT, False),
        (Step.TLS, "454 TLS not available", ACCOUNT, False),
        (Step.LOGIN, "535 5.7.8 Authentication failed", ACCOUNT, False),
        (Step.LOGIN, "454 4.7.0 Temporary authentication failure", ACCOUNT, False),
        (Step.LOGIN, "334 what", ACCOUNT, False),
        (Step.SENDER, "550 5.7.1 Sender rejected", ACCOUNT, False),
        (Step.SENDER, "530 5.7.0 Must issue STARTTLS", ACCOUNT, False),
        (Step.SENDER, "452 4.3.1 no space", ACCOUNT, False),
        (Step.RECEIVER, "550 5.1.1 User unknown", RECEIVER, True),
        (Step.RECEIVER, "550 No such user", RECEIVER, True),
        (Step.RECEIVER, "551 not here", RECEIVER, True),
        (Step.RECEIVER, "553 mailbox name not allowed", RECEIVER, True),
        (Step.RECEIVER, "552 5.2.2 over quota", RECEIVER, True),
        (Step.RECEIVER, "554 5.1.2 Bad destination system", RECEIVER, True),
        (Step.RECEIVER, "550 5.1.7 Bad sender's mailbox", ACCOUNT, False),
        (Step.RECEIVER, "550 5.1.8 Bad sender's system", ACCOUNT, False),
        (Step.RECEIVER, "550 5.7.1 Unable to relay", ACCOUNT, False),
        (Step.RECEIVER, "550 5.4.5 Daily user sending limit exceeded", ACCOUNT, False),
        (Step.RECEIVER, "554 Relay access denied", ACCOUNT, False),
        (Step.RECEIVER, "530 Authentication required", ACCOUNT, False),
        (Step.RECEIVER, "535 Authentication failed", ACCOUNT, False),
        (Step.RECEIVER, "421 closing", ACCOUNT, False),
        (Step.RECEIVER, "450 4.2.0 Greylisted", MESSAGE, False),
        (Step.RECEIVER, "451 try again", MESSAGE, False),
        (Step.DATA, "554 5.7.1 Spam message rejected", MESSAGE, True),
        (Step.DATA, "552 5.3.4 Message too big", MESSAGE, True),
        (Step.DATA, "550 no", MESSAGE, True),
        (Step.DATA, "550 5.4.5 Daily sending quota exceeded", ACCOUNT, False),
        (Step.DATA, "530 Authentication required", ACCOUNT, False),
        (Step.DATA, "451 4.3.0 local error", ACCOUNT, False),
        (Step.DATA, "421 4.3.2 shutting down", ACCOUNT, False),
        (Step.DATA, "250 but 354 was wanted", ACCOUNT, False),
    ],
)
def test_judge_goes_by_command_and_code(step: Step, reply: str, fault: Fault, permanent: bool) -> None:
    """The same 550 means no such person after RCPT, no such right after MAIL, and no such mail after DATA."""
    error = judge(step, int(reply[:3]), reply[4:])
    assert (error.fault, error.permanent, error.reason) == (fault, permanent, f"smtp_{reply[:3]}")


def test_judge_tells_step_and_codes_but_no_words() -> None:
    """What the server said may hold an address and stays out of every text."""
    error = judge(Step.RECEIVER, 550, "5.1.1 <bob@example.org> unknown")
    assert error.detail == "rcpt_to 550 5.1.1"
    assert "bob" not in f"{error} {error!r} {error.args}"


@pytest.mark.parametrize("text", ["", "unknown 5.1.1", "5.1", "5.1.1.1 odd"])
def test_judge_without_enhanced_code_goes_by_the_code(text: str) -> None:
    """Only an enhanced code at the start counts (RFC 2034)."""
    assert judge(Step.RECEIVER, 550, text).detail == "rcpt_to 550"


def test_judge_of_garbage_is_a_fault_of_the_account() -> None:
    """What is no reply at all is no fault of the mail."""
    error = judge(Step.SENDER, -1, "SSH-2.0-OpenSSH")
    assert (error.reason, error.fault, error.permanent) == ("mail_protocol", ACCOUNT, False)
