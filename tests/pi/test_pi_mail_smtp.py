"""One mail, one server: encryption, login, and whether it was sent at every step where something can break."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from examples.ports import free_port
from otp.pi import settings
from otp.pi.mail import smtp
from otp.pi.mail.errors import MailUnknownError
from otp.pi.mail.message import compose
from otp.pi.mail.replies import Fault, SmtpError
from tests.pi.mail_servers import HOST, PASSWORD, USER, MailServer, Script, mail_server, scripted, server_context
from tests.publisher import certificates as certificate_files
from tests.publisher.certificates import Certificates

TEXT = "Your code is 123456"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificate_files.make(tmp_path_factory.mktemp("mail"))


class Journaled:
    """Says whether ``before_data`` was awaited."""

    def __init__(self) -> None:
        self.done = False

    async def __call__(self) -> None:
        self.done = True


async def deliver(account: settings.Mail, *, receiver: str = "bob@example.org", text: str = TEXT) -> bool:
    """Deliver a mail; tell whether the content was announced first."""
    journaled = Journaled()
    envelope = compose(account, receiver, "", text, message_id="otp-pi.1", now=0.0)
    context = None if account.tls == "none" else smtp.tls_context(account)
    await smtp.deliver(account, envelope, context=context, before_data=journaled)
    return journaled.done


async def refusal(account: settings.Mail, **given: Any) -> SmtpError:
    with pytest.raises(SmtpError) as caught:
        await deliver(account, **given)
    assert PASSWORD not in str(caught.value)
    return caught.value


def scripted_account(script: Script, **given: Any) -> settings.Mail:
    return MailServer(port=script.port).account(**given)


GREETING = b"220 mail.example ESMTP\r\n"
OK = b"250 OK\r\n"
GO_AHEAD = b"354 go ahead\r\n"
UP_TO_CONTENT = (GREETING, OK, OK, OK, GO_AHEAD)


async def test_deliver_hands_over_headers_body_and_envelope() -> None:
    """What was written is what the server took, and it was announced before."""
    async with mail_server() as server:
        assert await deliver(server.account())
    (mail,) = server.arrived
    assert (mail.sender, mail.receiver, mail.text) == ("otp@example.com", "bob@example.org", TEXT)
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert any(option.startswith("SIZE=") for option in mail.options)
    assert not mail.encrypted


@pytest.mark.parametrize("text", [".", "..\n.\nQUIT\n", "\r\n.\r\nMAIL FROM:<x@example.com>\r\n", "é\n.\nÜ"])
async def test_deliver_carries_lone_dots(text: str) -> None:
    """A line of one dot ends no mail early, and nothing behind it is taken for a command."""
    async with mail_server() as server:
        await deliver(server.account(), text=text)
    (mail,) = server.arrived
    assert mail.text == text.replace("\r\n", "\n").rstrip("\n")


async def test_deliver_upgrades_to_tls_before_it_logs_in(certificates: Certificates) -> None:
    """With STARTTLS nothing but EHLO goes unencrypted; login and mail do not."""
    async with mail_server(starttls=server_context(certificates), auth=True) as server:
        account = server.account(tls="starttls", tls_ca=str(certificates.authority), username=USER, password=PASSWORD)
        await deliver(account)
    assert server.arrived[0].encrypted
    assert server.arrived[0].user == USER
    assert server.logins == ["PLAIN"]


async def test_deliver_speaks_tls_from_the_first_byte(certificates: Certificates) -> None:
    """Implicit TLS needs no STARTTLS."""
    async with mail_server(tls=server_context(certificates)) as server:
        await deliver(server.account(tls="tls", tls_ca=str(certificates.authority)))
    assert server.arrived[0].encrypted


async def test_deliver_without_starttls_on_offer_sends_nothing() -> None:
    """A server, or somebody in between, that does not offer STARTTLS gets neither login nor mail."""
    async with mail_server() as server:
        error = await refusal(server.account(tls="starttls", username=USER, password=PASSWORD))
    assert (error.reason, error.fault) == ("mail_no_starttls", Fault.ACCOUNT)
    assert (server.arrived, server.logins) == ([], [])


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_deliver_refuses_certificates_that_do_not_fit(
    certificates: Certificates, tls: str, trusted: bool
) -> None:
    """A certificate for another host, or of an unknown authority, ends it before the login."""
    context = server_context(certificates, other=trusted)
    how: dict[str, Any] = {tls: context}
    async with mail_server(**how) as server:
        ca = str(certificates.authority) if trusted else ""
        error = await refusal(server.account(tls=tls, tls_ca=ca, username=USER, password=PASSWORD))
    assert (error.reason, error.fault) == ("mail_tls", Fault.ACCOUNT)
    assert server.arrived == []


async def test_deliver_starttls_refused_is_no_reason_to_go_on() -> None:
    """A server that offers STARTTLS and then refuses it gets nothing more."""
    async with scripted(GREETING, b"250-mail.example\r\n250 STARTTLS\r\n", b"454 TLS not available\r\n") as server:
        error = await refusal(scripted_account(server, tls="starttls"))
    assert (error.reason, error.detail) == ("smtp_454", "starttls 454")
    assert server.heard[-1] == b"STARTTLS\r\n"


async def test_tls_context_verifies() -> None:
    """There is no way to switch the checks off."""
    context = smtp.tls_context(MailServer().account(tls="tls"))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_tls_context_of_a_bad_file_is_an_os_error(tmp_path: Path) -> None:
    """A file that is missing or no PEM is told apart from a server's fault by whoever asks."""
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for name in (broken, tmp_path / "missing.pem"):
        with pytest.raises(OSError, match=r".*"):
            smtp.tls_context(MailServer().account(tls="tls", tls_ca=str(name)))


async def test_deliver_wrong_password_is_tried_once(certificates: Certificates) -> None:
    """One attempt, not one for every method: providers lock accounts."""
    async with mail_server(starttls=server_context(certificates), auth=True) as server:
        account = server.account(tls="starttls", tls_ca=str(certificates.authority), username=USER, password="wrong")
        error = await refusal(account)
    assert (error.reason, error.fault) == ("smtp_535", Fault.ACCOUNT)
    assert server.logins == ["PLAIN"]


async def test_deliver_takes_login_where_plain_is_missing(certificates: Certificates) -> None:
    """The method is one that the server offers."""
    async with mail_server(starttls=server_context(certificates), auth=True, exclude=["PLAIN"]) as server:
        account = server.account(tls="starttls", tls_ca=str(certificates.authority), username=USER, password=PASSWORD)
        await deliver(account)
    assert server.logins == ["LOGIN"]


async def test_deliver_hides_the_password_where_nothing_is_encrypted() -> None:
    """Without TLS the challenge is taken before a method that shows the password."""
    hello = b"250-mail.example\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n"
    async with scripted(GREETING, hello, b"334 PDEyMzRAbWFpbC5leGFtcGxlPg==\r\n", b"535 5.7.8 no\r\n") as server:
        error = await refusal(scripted_account(server, username=USER, password=PASSWORD))
    assert error.detail == "auth 535 5.7.8"
    assert server.heard[1] == b"AUTH CRAM-MD5\r\n"


async def test_deliver_without_known_login_says_so() -> None:
    """A login that is set is never skipped."""
    async with scripted(GREETING, b"250-mail.example\r\n250 AUTH GSSAPI\r\n") as server:
        error = await refusal(scripted_account(server, username=USER, password=PASSWORD))
    assert (error.reason, error.fault) == ("mail_no_auth", Fault.ACCOUNT)


@pytest.mark.parametrize(
    ("command", "reply", "fault", "permanent"),
    [
        ("mail", "550 5.7.1 not you", Fault.ACCOUNT, False),
        ("mail", "451 later", Fault.ACCOUNT, False),
        ("rcpt", "550 5.1.1 unknown", Fault.RECEIVER, True),
        ("rcpt", "450 4.2.0 greylisted", Fault.MESSAGE, False),
        ("rcpt", "421 closing", Fault.ACCOUNT, False),
        ("data", "554 5.7.1 spam", Fault.MESSAGE, True),
        ("data", "452 4.3.1 full", Fault.ACCOUNT, False),
    ],
)
async def test_deliver_refused_was_not_sent(command: str, reply: str, fault: Fault, permanent: bool) -> None:
    """A refusal at any command, the content included, is a clear no."""
    async with mail_server() as server:
        setattr(server.knobs, command, reply)
        error = await refusal(server.account())
    assert (error.reason, error.fault, error.permanent) == (f"smtp_{reply[:3]}", fault, permanent)
    assert server.arrived == []


async def test_deliver_announces_only_what_the_server_agreed_to() -> None:
    """The journal says sending when the receiver is accepted, not when a connection is open."""
    async with mail_server() as server:
        server.knobs.rcpt = "550 5.1.1 unknown"
        journaled = Journaled()
        envelope = compose(server.account(), "bob@example.org", "", TEXT, message_id="otp-pi.1", now=0.0)
        with pytest.raises(SmtpError):
            await smtp.deliver(server.account(), envelope, context=None, before_data=journaled)
    assert not journaled.done


async def test_deliver_stops_when_it_cannot_be_announced() -> None:
    """What the journal cannot write down is not sent, and its error comes through as it is."""

    async def broken() -> None:
        raise OSError("disk full")

    async with mail_server() as server:
        envelope = compose(server.account(), "bob@example.org", "", TEXT, message_id="otp-pi.1", now=0.0)
        with pytest.raises(OSError, match="disk full"):
            await smtp.deliver(server.account(), envelope, context=None, before_data=broken)
    assert server.arrived == []


async def test_deliver_refused_connection_was_not_sent() -> None:
    """Nobody listens."""
    error = await refusal(MailServer(port=free_port()).account())
    assert (error.reason, error.fault, error.detail) == ("mail_unreachable", Fault.ACCOUNT, "connect")


async def test_deliver_impossible_host_was_not_sent() -> None:
    """A host name that cannot exist is unreachable, not a traceback."""
    error = await refusal(MailServer(port=25).account(host="x" * 64 + ".example"))
    assert (error.reason, error.fault) == ("mail_unreachable", Fault.ACCOUNT)


async def test_deliver_busy_server_was_not_sent() -> None:
    """A greeting other than 220 is a refusal."""
    async with scripted(b"421 4.3.2 too busy\r\n") as server:
        error = await refusal(scripted_account(server))
    assert error.detail == "connect 421 4.3.2"


async def test_deliver_stranger_on_the_port_was_not_sent() -> None:
    """Something that speaks no SMTP is no mail server."""
    async with scripted(b"SSH-2.0-OpenSSH_9.2\r\n") as server:
        error = await refusal(scripted_account(server))
    assert (error.reason, error.fault) == ("mail_protocol", Fault.ACCOUNT)


@pytest.mark.parametrize("command", ["mail", "rcpt"])
async def test_deliver_cut_before_the_content_was_not_sent(command: str) -> None:
    """A connection lost before DATA leaves no doubt."""
    async with mail_server() as server:
        server.knobs.cut = command
        error = await refusal(server.account())
    assert (error.reason, error.fault) == ("mail_lost", Fault.ACCOUNT)


@pytest.mark.parametrize("command", ["mail", "rcpt"])
async def test_deliver_silence_before_the_content_was_not_sent(command: str) -> None:
    """A server that stops answering is given up after the account's timeout."""
    async with mail_server() as server:
        server.knobs.hang = command
        error = await refusal(server.account(timeout=0.3))
    assert (error.reason, error.fault) == ("mail_timeout", Fault.ACCOUNT)


async def test_deliver_silent_greeting_was_not_sent() -> None:
    """A server that accepts and never greets counts as silence."""
    async with scripted(b"") as server:
        error = await refusal(scripted_account(server, timeout=0.3))
    assert (error.reason, error.detail) == ("mail_timeout", "connect")


async def test_deliver_refused_data_command_was_not_sent() -> None:
    """Without 354 no content leaves."""
    async with scripted(GREETING, OK, OK, OK, b"554 5.5.1 no valid recipients\r\n") as server:
        error = await refusal(scripted_account(server))
    assert (error.detail, error.fault) == ("data 554 5.5.1", Fault.MESSAGE)
    assert server.heard[-1] == b"DATA\r\n"


async def test_deliver_closing_after_agreement_was_not_sent() -> None:
    """A server that leaves while the journal is written is lost before the content."""
    gone = asyncio.Event()
    async with scripted(GREETING, OK, OK, OK, None) as server:
        account = scripted_account(server)
        envelope = compose(account, "bob@example.org", "", TEXT, message_id="otp-pi.1", now=0.0)

        async def announce() -> None:
            gone.set()

        with pytest.raises(SmtpError) as caught:
            await smtp.deliver(account, envelope, context=None, before_data=announce)
    assert gone.is_set()
    assert caught.value.reason == "mail_lost"


@pytest.mark.parametrize(("knob", "reason"), [("cut", "mail_lost"), ("hang", "mail_timeout")])
async def test_deliver_no_reply_after_the_content_is_unknown(knob: str, reason: str) -> None:
    """Once the final dot is out, silence and loss say nothing about the mail."""
    async with mail_server() as server:
        setattr(server.knobs, knob, "data")
        with pytest.raises(MailUnknownError) as caught:
            await deliver(server.account(timeout=1.5))
    assert (caught.value.reason, caught.value.account) == (reason, "one")


@pytest.mark.parametrize("reply", [b"garbage\r\n", b"354 more\r\n", b"199 odd\r\n", b"700 odder\r\n"])
async def test_deliver_odd_reply_after_the_content_is_unknown(reply: bytes) -> None:
    """A reply that is neither yes nor no leaves it open."""
    async with scripted(*UP_TO_CONTENT, reply) as server:
        with pytest.raises(MailUnknownError, match="mail_protocol"):
            await deliver(scripted_account(server))
    assert server.heard[4].endswith(b"\r\n.\r\n")


async def test_deliver_taken_is_sent_although_goodbye_fails() -> None:
    """What happens after the 250 takes nothing back."""
    async with scripted(*UP_TO_CONTENT, OK, None) as server:
        assert await deliver(scripted_account(server))


async def test_deliver_names_itself_by_address() -> None:
    """A machine behind a NAT has no name to show: EHLO carries an address literal (RFC 5321, 4.1.3)."""
    async with scripted(*UP_TO_CONTENT, OK) as server:
        await deliver(scripted_account(server))
    assert server.heard[0] == f"EHLO [{HOST}]\r\n".encode()


async def test_deliver_names_itself_by_ipv6_address() -> None:
    """An IPv6 literal has its tag."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GREETING)
        heard.append(await reader.readline())
        writer.close()

    heard: list[bytes] = []
    server = await asyncio.start_server(serve, "::1", 0)
    try:
        error = await refusal(MailServer(port=server.sockets[0].getsockname()[1]).account(host="::1"))
    finally:
        server.close()
        await server.wait_closed()
    assert heard == [b"EHLO [IPv6:::1]\r\n"]
    assert error.reason == "mail_lost"


async def test_deliver_international_name_needs_smtputf8() -> None:
    """A server without SMTPUTF8 is not given an address it cannot read; another account may."""
    async with mail_server() as server:
        error = await refusal(server.account(), receiver="józef@example.org")
    assert (error.reason, error.fault, error.permanent) == ("mail_no_smtputf8", Fault.MESSAGE, True)


async def test_deliver_international_name_reaches_a_server_that_knows_it() -> None:
    """With the extension the address goes out as it is."""
    async with mail_server(smtputf8=True) as server:
        await deliver(server.account(), receiver="józef@example.org")
    assert server.arrived[0].receiver == "józef@example.org"
    assert {"SMTPUTF8", "BODY=8BITMIME"} <= set(server.arrived[0].options)


async def test_deliver_cancelled_closes_the_connection() -> None:
    """Nothing stays behind when the program stops in the middle."""
    async with mail_server() as server:
        server.knobs.hang = "rcpt"
        task = asyncio.ensure_future(deliver(server.account()))
        await asyncio.wait_for(server.hanging.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert server.arrived == []
