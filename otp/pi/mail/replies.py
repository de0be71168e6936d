"""Judge what went wrong with a server: whose fault it is, and whether it can pass. Pure.

| where                       | reply                                  | fault    | permanent |
|-----------------------------|----------------------------------------|----------|-----------|
| connect, EHLO, TLS, AUTH    | any refusal, silence, lost             | account  | no        |
| MAIL FROM                   | any refusal                            | account  | no        |
| RCPT TO                     | 5xx with 5.1.x or 5.2.x (not 5.1.7/8)  | receiver | yes       |
| RCPT TO                     | 550 551 552 553 556, no enhanced code  | receiver | yes       |
| RCPT TO                     | other 5xx (530, 535, 5.7.1), 421       | account  | no        |
| RCPT TO                     | other 4xx, such as greylisting         | message  | no        |
| DATA and the content        | 4xx, 5.4.x (too many mails today), 530 | account  | no        |
| DATA and the content        | other 5xx                              | message  | yes       |
| everywhere before the content | silence, lost, no SMTP               | account  | no        |

After the final dot silence and loss are no fault of this table: the outcome is unknown.

RFC 5321, 4.2.3; RFC 3463 for the enhanced codes, whose second number says what the matter is about: 1 and 2 are the
address and its mailbox, 4 the way, 7 policy ("relay access denied" is one: another account may well be allowed to).
"""

import re
from enum import StrEnum
from typing import Final

_ENHANCED: Final = re.compile(r"[245]\.([0-9]{1,3})\.([0-9]{1,3})(?![0-9.])")
_RECEIVER_CODES: Final = frozenset({550, 551, 552, 553, 556})
_BAD_SENDER: Final = frozenset({"7", "8"})  # 5.1.7 and 5.1.8
_CLOSING: Final = 421
_ACCESS: Final = frozenset({530, 535, 538})


class Step(StrEnum):
    """Where in the dialogue."""

    CONNECT = "connect"
    HELLO = "ehlo"
    TLS = "starttls"
    LOGIN = "auth"
    SENDER = "mail_from"
    RECEIVER = "rcpt_to"
    DATA = "data"


class Fault(StrEnum):
    """What is to be done about it."""

    ACCOUNT = "account"
    """The server or our account there: let it rest and take another."""
    MESSAGE = "message"
    """This server does not want this mail: take another account."""
    RECEIVER = "receiver"
    """There is no such receiver: give up."""


class SmtpError(Exception):
    """A server did not take a mail.

    Attributes:
        reason: A token: ``smtp_550``, or ``mail_`` and a word.
        fault: See the table above.
        permanent: Whether the same server will never take it.
        detail: Step, code and enhanced code, for the log.
    """

    def __init__(self, reason: str, fault: Fault, *, permanent: bool = False, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail or fault})")
        self.reason = reason
        self.fault = fault
        self.permanent = permanent
        self.detail = detail


def judge(step: Step, code: int, text: str) -> SmtpError:
    """Judge a reply that refuses a command.

    Args:
        step: What was refused.
        code: The reply code; what is below 400 was not expected there.
        text: The rest of the reply; only its enhanced code is looked at.
    """
    match = _ENHANCED.match(text)
    fault, permanent = _ACCOUNT
    if code >= 400:  # noqa: PLR2004 - RFC 5321, 4.2.1
        fault, permanent = _fault(step, code, match)
    detail = f"{step} {code} {match[0]}" if match else f"{step} {code}"
    reason = f"smtp_{code}" if 100 <= code < 600 else "mail_protocol"  # noqa: PLR2004 - three digits
    return SmtpError(reason, fault, permanent=permanent, detail=detail)


_ACCOUNT: Final = (Fault.ACCOUNT, False)


def _fault(step: Step, code: int, enhanced: re.Match[str] | None) -> tuple[Fault, bool]:
    temporary = code < 500  # noqa: PLR2004 - RFC 5321, 4.2.1
    if code == _CLOSING or code in _ACCESS:
        return _ACCOUNT
    if step is Step.RECEIVER:
        if temporary:
            return Fault.MESSAGE, False
        return (Fault.RECEIVER, True) if _about_receiver(code, enhanced) else _ACCOUNT
    if step is Step.DATA and not temporary and not (enhanced and enhanced[1] == "4"):
        return Fault.MESSAGE, True
    return _ACCOUNT


def _about_receiver(code: int, enhanced: re.Match[str] | None) -> bool:
    if enhanced is None:
        return code in _RECEIVER_CODES
    return enhanced[1] == "2" or (enhanced[1] == "1" and enhanced[2] not in _BAD_SENDER)
