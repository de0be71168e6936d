"""Hand one mail to one server, in the steps of RFC 5321, and know at each of them whether it was sent.

    connect -> EHLO -> STARTTLS -> EHLO -> AUTH -> MAIL FROM -> RCPT TO -> (before_data) -> DATA -> content -> QUIT
    |------------------------- not sent, whatever happens -------------------------|-- unknown until a reply --|

Each step has the account's ``timeout``. Encryption is never negotiated away: where STARTTLS is set and the server does
not offer it, or its certificate does not fit, nothing is sent. One login is tried, not one a method: providers lock
accounts after a few failures.
"""

import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, cast

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from otp.pi import settings
from otp.pi.mail.errors import MailUnknownError
from otp.pi.mail.message import Envelope
from otp.pi.mail.replies import Fault, SmtpError, Step, judge

_PORTS: Final[Mapping[str, int]] = {"starttls": 587, "tls": 465, "none": 25}
_LOGINS_ENCRYPTED: Final = ("plain", "login", "cram-md5")
_LOGINS_PLAIN: Final = ("cram-md5", "plain", "login")  # the one that does not show the password first
_START_INPUT: Final = 354
_ACCEPTED: Final = frozenset({250, 251})
_DOT: Final = re.compile(rb"(?m)^\.")
_GOODBYE: Final = 5.0
"""Seconds to wait for the answer to QUIT; by then the mail is taken."""

BeforeData = Callable[[], Awaitable[None]]
"""Awaited when the server has agreed to the receiver and before it is given the content; may raise to stop."""


def tls_context(account: settings.Mail) -> ssl.SSLContext:
    """Build the TLS settings of an account: certificate and host name are verified. Reads files.

    Raises:
        OSError: ``tls_ca`` cannot be read, or is no PEM file (``ssl.SSLError``).
    """
    return ssl.create_default_context(cafile=account.tls_ca or None)


async def deliver(
    account: settings.Mail, envelope: Envelope, *, context: ssl.SSLContext | None, before_data: BeforeData
) -> None:
    """Hand over a mail; return when the server has taken it.

    Cancelled before ``before_data`` nothing was sent; afterwards it is unknown.

    Args:
        account: The server and the login.
        envelope: The mail.
        context: From ``tls_context``; ``None`` for an account without encryption.
        before_data: See ``BeforeData``.

    Raises:
        SmtpError: It was not sent.
        MailUnknownError: The content was handed over, and no reply came.
    """
    dialogue = _Dialogue(account, context)
    try:
        await dialogue.connect()
        await dialogue.offer(envelope)
        await before_data()
        await dialogue.hand_over(envelope)
        await dialogue.leave()
    finally:
        dialogue.close()


class _Dialogue:
    """One connection for one mail.

    Attributes:
        step: Where it is; says whose fault a failure is.
    """

    def __init__(self, account: settings.Mail, context: ssl.SSLContext | None) -> None:
        self.step = Step.CONNECT
        self._account = account
        self._protocol: SMTPProtocol  # from connect() on; the client forgets its own when the link is lost
        self._client = aiosmtplib.SMTP(
            hostname=account.host,
            port=account.port or _PORTS[account.tls],
            timeout=account.timeout,
            use_tls=account.tls == "tls",
            start_tls=False,
            tls_context=context,
            local_hostname="localhost",  # else it asks DNS for our name, which may take longer than any timeout
        )

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    async def connect(self) -> None:
        """Connect, encrypt and log in."""
        with self._judged():
            await self._client.connect()
            self._protocol = cast(SMTPProtocol, self._client.protocol)
            self._client.local_hostname = _literal(self._client)
            await self._hello()
            if self._account.tls == "starttls":
                await self._encrypt()
            if self._account.username:
                await self._log_in()

    async def offer(self, envelope: Envelope) -> None:
        """Give sender and receiver."""
        with self._judged():
            await self._command(Step.SENDER, f"MAIL FROM:<{envelope.sender}>", *self._options(envelope))
            await self._command(Step.RECEIVER, f"RCPT TO:<{envelope.receiver}>")

    async def hand_over(self, envelope: Envelope) -> None:
        """Give the content and wait until it is taken."""
        with self._judged():
            await self._command(Step.DATA, "DATA", accepted=frozenset({_START_INPUT}))
            self._protocol.write(_DOT.sub(b"..", envelope.content) + b".\r\n")
        try:
            reply = await self._protocol.read_response(timeout=self._account.timeout)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailUnknownError(_reason(error), self._account.name) from None
        if not 200 <= reply.code < 600 or 300 <= reply.code < 400:  # noqa: PLR2004 - RFC 5321, 4.2.1
            raise MailUnknownError("mail_protocol", self._account.name)
        if reply.code >= 400:  # noqa: PLR2004 - as above
            raise judge(Step.DATA, reply.code, reply.message)

    async def leave(self) -> None:
        """Say goodbye; the mail is taken, whatever comes of it."""
        with suppress(aiosmtplib.SMTPException, OSError):
            await self._client.quit(timeout=min(_GOODBYE, self._account.timeout))

    async def _hello(self) -> None:
        self.step = Step.HELLO
        await self._client.ehlo()

    async def _encrypt(self) -> None:
        self.step = Step.TLS
        if not self._client.supports_extension("starttls"):
            raise SmtpError("mail_no_starttls", Fault.ACCOUNT, detail="the server does not offer STARTTLS")
        await self._client.starttls()
        await self._hello()

    async def _log_in(self) -> None:
        self.step = Step.LOGIN
        wanted = _LOGINS_PLAIN if self._account.tls == "none" else _LOGINS_ENCRYPTED
        offered = [method for method in wanted if method in self._client.server_auth_methods]
        if not offered:
            raise SmtpError("mail_no_auth", Fault.ACCOUNT, detail="the server offers no login that is known here")
        logins = {
            "plain": self._client.auth_plain,
            "login": self._client.auth_login,
            "cram-md5": self._client.auth_crammd5,
        }
        await logins[offered[0]](self._account.username, self._account.password.get_secret_value())

    def _options(self, envelope: Envelope) -> list[str]:
        options = [f"SIZE={len(envelope.content)}"] if self._client.supports_extension("size") else []
        if envelope.smtputf8:
            if not self._client.supports_extension("smtputf8"):
                raise SmtpError("mail_no_smtputf8", Fault.MESSAGE, permanent=True, detail="the server has no SMTPUTF8")
            options += ["BODY=8BITMIME", "SMTPUTF8"]
        return options

    async def _command(self, step: Step, *words: str, accepted: frozenset[int] = _ACCEPTED) -> None:
        self.step = step
        reply = await self._client.execute_command(*(word.encode() for word in words))
        if reply.code not in accepted:
            raise judge(step, reply.code, reply.message)

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """Turn every failure of a step before the content into an ``SmtpError`` without a server's words."""
        try:
            yield
        except aiosmtplib.SMTPResponseException as error:
            raise judge(self.step, error.code, error.message) from None
        except (aiosmtplib.SMTPException, OSError, UnicodeError) as error:
            raise SmtpError(_reason(error), Fault.ACCOUNT, detail=self.step) from None


def _reason(error: Exception) -> str:
    """Name a failure that is no reply."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return "mail_tls"
    if isinstance(error, TimeoutError):
        return "mail_timeout"
    if isinstance(error, aiosmtplib.SMTPServerDisconnected | ConnectionResetError):
        return "mail_lost"
    if isinstance(error, OSError | UnicodeError):
        return "mail_unreachable"
    return "mail_protocol"


def _literal(client: aiosmtplib.SMTP) -> str:
    """Return our address as RFC 5321, 4.1.3 writes it: a Pi behind a NAT has no name that a server could look up."""
    host = str(client.get_transport_info("sockname")[0])
    return f"[IPv6:{host.partition('%')[0]}]" if ":" in host else f"[{host}]"
