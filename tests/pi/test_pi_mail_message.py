"""What a mail looks like on the wire, and what is refused before it gets there."""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from otp.errors import InvalidInput
from otp.pi import settings
from otp.pi.mail.message import Envelope, address, compose

NOW = 1_629_685_778.0


def account(**given: Any) -> settings.Mail:
    return settings.Mail(**({"name": "one", "host": "localhost", "sender": "otp@example.com"} | given))


def write(text: str = "Your code is 123456", **given: Any) -> Envelope:
    values: dict[str, Any] = {"receiver": "bob@example.org", "subject": "", "message_id": "otp-pi.1.abc"}
    chosen = given.pop("account", account())
    values |= given
    return compose(chosen, values["receiver"], values["subject"], text, message_id=values["message_id"], now=NOW)


def read(envelope: Envelope) -> EmailMessage:
    found = message_from_bytes(envelope.content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_compose_writes_the_headers_of_an_automatic_mail() -> None:
    """Every header that receivers and spam filters look for is there, once."""
    message = read(write(account=account(sender_name="Shop")))
    assert {name: value for name, value in message.items() if not name.startswith("Content-")} == {
        "From": "Shop <otp@example.com>",
        "To": "bob@example.org",
        "Subject": "Your OTP Code",
        "Date": "Mon, 23 Aug 2021 02:29:38 +0000",
        "Message-ID": "<otp-pi.1.abc@example.com>",
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    assert message.get_content_type() == "text/plain"
    assert message.get_content_charset() == "utf-8"
    assert message.get_content().rstrip() == "Your code is 123456"


def test_compose_takes_the_subject_that_came() -> None:
    """The account's subject is only for mails without one."""
    assert read(write(subject="Kode Anda"))["Subject"] == "Kode Anda"


@pytest.mark.parametrize(
    "text",
    [
        "Kod: é 123456",
        "رمزك هو 123456",
        "code \U0001f511 123456",
        "one\ntwo\r\nthree\rfour",
        ".\n..\nFrom me\n",
        "x" * 5000,
        "<b>123456</b> & more",
        "bell\x07 and nul\x00 end",
        "line\u2028separator",
        "",
    ],
)
def test_compose_carries_every_text(text: str) -> None:
    """The text that arrives is the text that was sent, and the wire is ASCII in short lines."""
    envelope = write(text)
    sent = "\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    received = read(envelope).get_content().replace("\r\n", "\n").replace("\r", "\n")
    assert received.removesuffix("\n") == sent.removesuffix("\n")
    assert envelope.content.isascii()
    assert max(len(line) for line in envelope.content.split(b"\r\n")) <= 78
    assert b"\x00" not in envelope.content
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", envelope.content) is None


def test_compose_encodes_subject_and_name() -> None:
    """Text that is not ASCII is encoded in headers and comes back unharmed."""
    envelope = write(subject="Ü" * 200, account=account(sender_name='Jörg, "der" Shop'))
    assert envelope.content.isascii()
    assert read(envelope)["Subject"] == "Ü" * 200
    assert read(envelope)["From"].addresses[0].display_name == 'Jörg, "der" Shop'


@pytest.mark.parametrize("bad", ["a\nBcc: x@example.com", "a\rb", "a\x00", "a\x1b[0m", "a\u2028b", "a\x85b"])
def test_compose_refuses_control_characters_in_headers(bad: str) -> None:
    """Nothing can start a header of its own, and the refusal names the field, never its content."""
    for field, given in (
        ("subject", {"subject": bad}),
        ("sender_name", {"account": account(sender_name=bad)}),
        ("receiver", {"receiver": f"{bad}@example.com"}),
        ("receiver", {"receiver": f"bob@{bad}.example.com"}),
        ("message_id", {"message_id": bad}),
    ):
        with pytest.raises(InvalidInput, match=field) as caught:
            write(**given)
        assert "Bcc" not in str(caught.value)


@pytest.mark.parametrize("bad", ["bob", "bob@", "@example.com", "a b@example.com", "a@b, c@d", "<a@b>", "a@b@c", ""])
def test_compose_refuses_what_is_no_address(bad: str) -> None:
    """One plain address, or nothing is sent."""
    with pytest.raises(InvalidInput, match="receiver is not a mail address"):
        write(receiver=bad)


@pytest.mark.parametrize("field", [{"subject": "\ud800"}, {"text": "\udfff"}])
def test_compose_refuses_half_a_character(field: dict[str, str]) -> None:
    """Half a surrogate pair is an error in words, not a traceback of an encoder."""
    with pytest.raises(InvalidInput, match="half a surrogate pair"):
        write(**field)


def test_compose_writes_international_domains_in_ascii() -> None:
    """A domain that is not ASCII needs no special server, and ß stays a letter of its own (IDNA 2008)."""
    envelope = write(receiver="bob@straße.example", account=account(sender="otp@Bücher.example"))
    assert envelope.receiver == "bob@xn--strae-oqa.example"
    assert envelope.sender == "otp@xn--bcher-kva.example"
    assert not envelope.smtputf8
    assert read(envelope)["To"] == "bob@xn--strae-oqa.example"
    assert read(envelope)["Message-ID"] == "<otp-pi.1.abc@xn--bcher-kva.example>"


@pytest.mark.parametrize("domain", ["-ü.example", "ü..example", "ü" * 70])
def test_compose_refuses_domains_that_cannot_exist(domain: str) -> None:
    """A domain that no name server can hold is refused before any server is asked."""
    with pytest.raises(InvalidInput, match="receiver has a domain that cannot exist"):
        write(receiver=f"bob@{domain}")


def test_compose_asks_for_smtputf8_only_for_local_parts() -> None:
    """Only a name before the @ that is not ASCII needs the extension; then the headers are UTF-8."""
    envelope = write(receiver="józef@example.org", subject="é")
    assert envelope.smtputf8
    assert "To: józef@example.org\r\n".encode() in envelope.content
    assert not write(subject="é").smtputf8


def test_compose_keeps_long_addresses_whole() -> None:
    """The longest address is not broken by folding."""
    long = "a" * 64 + "@" + ".".join(["b" * 61] * 3)
    envelope = write(receiver=long, account=account(sender=long))
    assert f"\r\nTo: {long}\r\n".encode() in envelope.content
    assert envelope.receiver == long


def test_envelope_repr_hides_the_content() -> None:
    """A code does not get into a log by way of a repr."""
    assert "123456" not in repr(write())


def test_address_names_what_it_is() -> None:
    """The error speaks of the field that was meant."""
    with pytest.raises(InvalidInput, match="sender is not a mail address"):
        address("nobody", "sender")
