"""Run SMTP servers on the loop of a test: aiosmtpd with knobs, and one that says what a script tells it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from otp.pi import settings
from tests.publisher.certificates import Certificates

HOST = "127.0.0.1"
USER = "alice@example.com"
PASSWORD = "s3cret"


@dataclass
class Arrived:
    """A mail as the server took it."""

    sender: str
    receiver: str
    options: list[str]
    content: bytes
    encrypted: bool
    user: str

    @property
    def message(self) -> EmailMessage:
        found = message_from_bytes(self.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found

    @property
    def text(self) -> str:
        content: str = self.message.get_content()
        return content.replace("\r\n", "\n").rstrip("\n")


@dataclass
class Knobs:
    """What the server answers; empty accepts. ``hang`` and ``cut`` name a command that it never answers."""

    mail: str = ""
    rcpt: str = ""
    data: str = ""
    hang: str = ""
    cut: str = ""


@dataclass
class MailServer:
    """A server that keeps what it takes; aiosmtpd calls the handlers by their names."""

    port: int = 0
    knobs: Knobs = field(default_factory=Knobs)
    arrived: list[Arrived] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    connections: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802 - as above
        envelope.mail_from, envelope.mail_options = address, options
        return await self._answer("mail", server) or "250 OK"

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802 - as above
        answer = await self._answer("rcpt", server)
        if not answer:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        if answer := await self._answer("data", server):
            return answer
        content = envelope.content
        assert isinstance(content, bytes)
        self.arrived.append(
            Arrived(
                sender=envelope.mail_from or "",
                receiver=envelope.rcpt_tos[0],
                options=list(envelope.mail_options),
                content=content,
                encrypted=_transport(server).get_extra_info("sslcontext") is not None,
                user=_user(session),
            )
        )
        return "250 OK"

    async def _answer(self, command: str, server: SMTP) -> str:
        if self.knobs.hang == command:
            self.hanging.set()
            await self.release.wait()
        if self.knobs.cut == command:
            abort(server)
        answer: str = getattr(self.knobs, command)
        return answer

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append(mechanism)
        assert isinstance(data, LoginPassword)
        if (data.login, data.password) == (USER.encode(), PASSWORD.encode()):
            return AuthResult(success=True, auth_data=data.login)
        return AuthResult(success=False, handled=False)

    def account(self, **given: Any) -> settings.Mail:
        values: dict[str, Any] = {
            "name": "one",
            "host": HOST,
            "port": self.port,
            "tls": "none",
            "sender": "otp@example.com",
            "timeout": 20.0,
        }
        return settings.Mail(**(values | given))


def abort(server: SMTP) -> None:
    """Cut the connection without a word; one that is closed has no transport any more."""
    # asyncio's TLS transport of Python 3.11.2 is nobody's once it was closed twice, and `abort` then fails.
    if server.transport is not None and getattr(server.transport, "_ssl_protocol", server) is not None:
        _transport(server).abort()


def _user(session: Session) -> str:
    data: bytes | None = session.auth_data  # what authenticate() returned
    return (data or b"").decode()


def _transport(server: SMTP) -> asyncio.Transport:
    return cast(asyncio.Transport, server.transport)


def server_context(certificates: Certificates, *, other: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.other if other else certificates.certificate, certificates.key)
    return context


@asynccontextmanager
async def mail_server(
    *,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    auth: bool = False,
    smtputf8: bool = False,
    exclude: Sequence[str] = (),
) -> AsyncIterator[MailServer]:
    """Serve SMTP until the block ends."""
    found = MailServer()
    loop = asyncio.get_running_loop()
    open_ones: list[SMTP] = []

    def connection() -> SMTP:
        found.connections += 1
        options: dict[str, Any] = {"tls_context": starttls, "require_starttls": True} if starttls else {}
        if auth:
            options |= {
                "authenticator": found.authenticate,
                "auth_required": True,
                "auth_require_tls": starttls is not None,
                "auth_exclude_mechanism": exclude,
            }
        one = SMTP(found, hostname="mail.example", loop=loop, enable_SMTPUTF8=smtputf8, **options)
        open_ones.append(one)
        return one

    server = await loop.create_server(connection, HOST, 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.release.set()
        server.close()
        for one in open_ones:
            abort(one)
        await server.wait_closed()


@dataclass
class Script:
    """A server that says one text after another and reads a line after each; ``None`` hangs up."""

    answers: list[bytes | None]
    port: int = 0
    heard: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def scripted(*answers: bytes | None) -> AsyncIterator[Script]:
    """Serve the script once; the first answer is the greeting. The content counts as one line."""
    script = Script(list(answers))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in script.answers:
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                end = b"\r\n.\r\n" if answer.startswith(b"354") else b"\r\n"
                script.heard.append(await reader.readuntil(end))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        await server.wait_closed()
