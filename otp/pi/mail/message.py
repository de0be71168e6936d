"""Write a mail: headers, encodings and the envelope it travels in. Pure.

| part           | as it is written                                                                          |
|----------------|-------------------------------------------------------------------------------------------|
| body           | text/plain, UTF-8, as 7bit, quoted-printable or base64: no server needs 8BITMIME for it   |
| Subject, names | RFC 2047 where they are not ASCII                                                          |
| domains        | IDNA 2008 with UTS 46 mapping; every server takes them                                    |
| local parts    | as they are; one that is not ASCII needs a server with SMTPUTF8 (RFC 6531)                |
| Message-ID     | the same on every attempt for a message, so that a mailbox can tell a duplicate           |
| Auto-Submitted | auto-generated (RFC 3834): no out-of-office reply comes back                              |

Control characters in a header field, CR and LF above all, are refused and never repaired.
"""

import datetime as dt
import re
from dataclasses import dataclass, field
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from importlib import import_module
from typing import Final

from otp import numbers
from otp.errors import InvalidInput
from otp.pi import settings

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_BODY: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")

_LINE: Final = 76
"""Characters of a line: what RFC 2045, 6.7 allows an encoded one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A mail as it is handed to a server.

    Attributes:
        sender, receiver: Addresses for MAIL FROM and RCPT TO.
        smtputf8: Whether one of them is not ASCII, so that the server has to know SMTPUTF8.
        content: Headers and body, with CR LF and without dot-stuffing.
    """

    sender: str
    receiver: str
    smtputf8: bool
    content: bytes = field(repr=False)


def compose(account: settings.Mail, receiver: str, subject: str, text: str, *, message_id: str, now: float) -> Envelope:
    """Write a mail.

    Args:
        account: Who sends it.
        receiver: One address, without a name.
        subject: Empty takes the account's.
        text: The body; it may have lines and may be of any script.
        message_id: The left part of the Message-ID, such as otp-pi.7.18c; the sender's domain becomes the right one.
        now: Unix seconds, for Date.

    Raises:
        InvalidInput: A field has a control character, or an address is malformed; the text names the field.
    """
    sender, to = address(account.sender, "sender"), address(receiver, "receiver")
    if not _IDENTIFIER.fullmatch(message_id):
        raise InvalidInput("message_id must be letters, digits and dots.")
    smtputf8 = not (sender + to).isascii()
    message = EmailMessage(policy=_policy(smtputf8=smtputf8))
    message["From"] = _mailbox(sender, _header(account.sender_name, "sender_name"))
    message["To"] = _mailbox(to)
    message["Subject"] = _header(subject or account.subject, "subject")
    message["Date"] = format_datetime(dt.datetime.fromtimestamp(now, dt.UTC))
    message["Message-ID"] = f"<{message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_body(text), cte="base64" if _CONTROL_IN_BODY.search(text) else None)
    return Envelope(sender=sender, receiver=to, smtputf8=smtputf8, content=message.as_bytes())


def address(given: str, name: str) -> str:
    """Return a mail address with its domain in ASCII.

    Args:
        given: The address.
        name: What it is, for the error.

    Raises:
        InvalidInput: It is no address.
    """
    try:
        local, _, domain = numbers.email(_header(given, name)).rpartition("@")
    except InvalidInput:
        raise InvalidInput(f"{name} is not a mail address of the form name@example.com.") from None
    return f"{local}@{domain if domain.isascii() else _ascii(domain, name)}"


def _ascii(domain: str, name: str) -> str:
    """Write a domain as a server looks it up."""
    try:
        encoded: bytes = import_module("idna").encode(domain, uts46=True)  # read only where such a domain comes
    except UnicodeError:
        raise InvalidInput(f"{name} has a domain that cannot exist.") from None
    return encoded.decode("ascii")


def _policy(*, smtputf8: bool) -> "policy.EmailPolicy[EmailMessage]":
    return (policy.SMTPUTF8 if smtputf8 else policy.SMTP).clone(cte_type="7bit", max_line_length=_LINE)


def _mailbox(given: str, name: str = "") -> Address:
    local, _, domain = given.rpartition("@")
    return Address(name, local, domain)


def _header(value: str, name: str) -> str:
    if _CONTROL.search(value):
        raise InvalidInput(f"{name} holds a line break or another control character.")
    return _encodable(value, name)


def _body(text: str) -> str:
    return _encodable(text, "message")


def _encodable(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name} holds half a surrogate pair, which is no character.") from None
    return value
