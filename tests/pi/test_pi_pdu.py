"""PDUs, against published examples and two other implementations."""

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smspdudecoder.fields import SMSSubmit

from otp.pi.emulator.decode import submitted
from otp.pi.modems import addresses, gsm7, pdu, timestamps
from tests.pi.test_pi_gsm7 import ALPHABET

RECEIVER = "+628126666666"
STAMP = "62112232548580"  # 2026-11-22 23:45:58 +02:00


def submit(text: str, *, receiver: str = RECEIVER, **more: object) -> list[pdu.Submit]:
    values: dict[str, object] = {"reference": 7, "validity": 300.0, "report": True}
    return pdu.submits(receiver, text, **(values | more))  # type: ignore[arg-type]


def test_submit_is_the_textbook_example() -> None:
    """``hellohello`` to +46708251358, as introductions to PDU mode have it, but for our time of validity."""
    (found,) = submit("hellohello", receiver="+46708251358", validity=4 * 86_400, report=False)
    assert found.hex == "0011000B916407281553F80000AA0AE8329BFD4697D9EC37"
    assert found.length == len(found.hex) // 2 - 1


def test_submit_is_the_example_of_the_table() -> None:
    """The table at the top of the module shows what is really written, octet for octet."""
    (found,) = submit("hello", receiver="+62812345")
    cells = re.findall(r"^\| ((?:[0-9A-F]{2})+(?: [0-9A-F]+)*) +\|", pdu.__doc__ or "", re.MULTILINE)
    assert found.hex == "".join(cells).replace(" ", "")


def test_numbers_are_written_as_the_table_shows() -> None:
    """The table at the top of the module: type and digits."""
    rows = re.findall(
        r"^\| ``([+0-9*#]+)`` +\| ([0-9A-F]{2}) +\| ([0-9A-F ]+?) +\|", addresses.__doc__ or "", re.MULTILINE
    )
    assert len(rows) == 4
    for number, kind, digits in rows:
        assert addresses.encode(number)[1] == bytes.fromhex(kind + digits)


def test_submit_to_a_service_centre_counts_its_octets() -> None:
    """The service centre stands before the part, is not counted, and has its length in octets."""
    (found,) = submit("a", smsc="+46705008999")
    assert found.hex.startswith("07916407058099F9")
    assert found.length == len(found.hex) // 2 - 8


def test_submit_without_validity_leaves_it_to_the_network() -> None:
    """No validity, no octet for it."""
    (bounded,), (unbounded,) = submit("a"), submit("a", validity=None)
    assert int(bounded.hex[2:4], 16) == 0x31
    assert int(unbounded.hex[2:4], 16) == 0x21
    assert bounded.length == unbounded.length + 1


@pytest.mark.parametrize(
    ("receiver", "field"),
    [
        ("+628126666666", "0C91261862666666"),
        ("081234567", "098180214365F7"),
        ("123", "038121F3"),
        ("*123#", "05811A32FB"),
        ("+" + "1" * 20, "1491" + "1" * 20),
    ],
)
def test_receiver_has_type_and_swapped_digits(receiver: str, field: str) -> None:
    """International numbers are marked as such, all others are left to the network; odd ones are filled up."""
    (found,) = submit("a", receiver=receiver)
    assert found.hex[6:].startswith(field)


@pytest.mark.parametrize(
    "receiver", ["", "+", "+12", "1" * 21, "+" + "1" * 21, "12a", "alice", '1";AT', "1\r2", "+1*2", "0812*1", "0812#"]
)
def test_receiver_that_cannot_be_dialled_is_refused_without_being_named(receiver: str) -> None:
    """Nothing but digits and signs of a telephone gets into a PDU."""
    with pytest.raises(pdu.SmsTextError) as caught:
        submit("a", receiver=receiver)
    assert caught.value.reason == "not_dialable"
    assert not receiver or receiver not in str(caught.value)


def test_text_that_takes_too_many_parts_is_refused() -> None:
    """The limit is the setting's, and 255 at most; the sentence has both numbers."""
    assert len(submit("a" * 153 * 3, max_parts=3)) == 3
    with pytest.raises(pdu.SmsTextError, match=r"^The message takes 4 parts of an SMS; 3 are allowed\.$") as caught:
        submit("a" * (153 * 3 + 1), max_parts=3)
    assert caught.value.reason == "too_long"
    with pytest.raises(pdu.SmsTextError):
        submit("a" * 153 * 256, max_parts=1000)
    assert pdu.parts_needed("a" * 161) == 2


def test_text_with_half_a_character_is_refused_without_being_quoted() -> None:
    """Half a surrogate pair has no UTF-16; the error says so, and neither it nor its cause holds the text."""
    with pytest.raises(pdu.SmsTextError, match="half a surrogate pair") as caught:
        submit("secret \ud83d")
    assert caught.value.reason == "not_text"
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_parts_of_a_long_text_say_where_they_belong() -> None:
    """Reference, total and index, the same reference in all; the second attempt is the same."""
    first, second = submit("a" * 161, reference=263), submit("a" * 161, reference=7)
    assert first == second
    assert [found.hex[30:42] for found in first] == ["050003070201", "050003070202"]


def test_neither_part_shows_its_text() -> None:
    """What is on its way to a modem is not for logs."""
    (found,) = submit("secret")
    assert found.hex not in repr(found)
    assert "secret" not in repr(pdu.Deliver("1", "secret", 0.0))


SENDABLE = st.one_of(
    st.text(ALPHABET, max_size=400),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200),
)


@settings(max_examples=200)
@given(SENDABLE, st.integers(0, 255))
def test_second_implementation_reads_the_same_text(text: str, reference: int) -> None:
    """The package smspdudecoder reads what we write: text, receiver, and the header of each part."""
    parts = submit(text, reference=reference)
    read = [SMSSubmit.decode(StringIO(part.hex)) for part in parts]
    assert {each["recipient"]["number"] for each in read} == {RECEIVER.removeprefix("+")}
    found = "".join(each["user_data"]["data"] for each in read)
    if read[0]["dcs"]["encoding"] == "gsm":
        # It shows the bits that fill up an octet as one more character.
        found, text = found.replace("@", ""), text.replace("@", "")
    assert found == text
    if len(parts) > 1:
        headers = [each["user_data"]["header"]["elements"][0]["data"] for each in read]
        assert [(each["reference"], each["part_number"]) for each in headers] == [
            (reference, index) for index in range(1, len(parts) + 1)
        ]


def test_emulator_reads_the_same_text() -> None:
    """The emulator's decoder, written from the standard on its own, agrees on all that we send."""
    for text in ("ASCII", ALPHABET, "é à ü", "مرحبا", "😀" * 40, "x" * 500, "€" * 200):
        parts = [submitted(part.hex, part.length, now=0.0) for part in submit(text)]
        assert "".join(part.text for part in parts) == text
        assert {part.receiver for part in parts} == {RECEIVER}


@pytest.mark.parametrize(
    ("seconds", "period"),
    [
        (0, 0),
        (299, 0),
        (599, 0),
        (600, 1),
        (43_200, 143),
        (44_999, 143),
        (45_000, 144),
        (86_400, 167),
        (172_799, 167),
        (172_800, 168),
        (30 * 86_400, 196),
        (34 * 86_400, 196),
        (35 * 86_400, 197),
        (63 * 7 * 86_400, 255),
        (1e9, 255),
    ],
)
def test_validity_is_rounded_down(seconds: float, period: int) -> None:
    """Each step of 23.040, 9.2.3.12.1, from both sides."""
    assert timestamps.validity(seconds) == period


def _seconds(period: int) -> int:
    if period <= 143:
        return (period + 1) * 300
    if period <= 167:
        return 43_200 + (period - 143) * 1800
    return (period - 166) * 86_400 if period <= 196 else (period - 192) * 604_800


@given(st.floats(300, 63 * 604_800))
def test_validity_never_outlives_the_deadline(seconds: float) -> None:
    """From five minutes on, what the network is told is never longer, and the next step would be."""
    period = timestamps.validity(seconds)
    assert _seconds(period) <= seconds
    assert period == 255 or _seconds(period + 1) > seconds


# -- reading


def test_delivered_message_is_read() -> None:
    """The textbook example of a message that comes in: How are you?"""
    found = pdu.read("07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37")
    assert isinstance(found, pdu.Deliver)
    assert (found.sender.lstrip("+"), found.text, found.concat) == ("27838890001", "hellohello", None)
    assert found.sent_at == datetime(1999, 3, 29, 15, 16, 59, tzinfo=UTC).timestamp() - 8 * 900


def deliver(text: bytes, *, coding: str = "00", length: int | None = None, first: str = "04", sender: str = "") -> str:
    size = len(text) if length is None else length
    return f"00{first}{sender or '0C91261862666666'}00{coding}{STAMP}{size:02X}{text.hex()}"


@pytest.mark.parametrize(
    ("coding", "body", "length", "text"),
    [
        ("00", bytes.fromhex("E8329BFD06"), 5, "hello"),
        ("F1", bytes.fromhex("E8329BFD06"), 5, "hello"),
        ("0C", bytes.fromhex("E8329BFD06"), 5, "hello"),
        ("C8", bytes.fromhex("E8329BFD06"), 5, "hello"),
        ("80", bytes.fromhex("E8329BFD06"), 5, "hello"),
        ("08", "مر😀".encode("utf-16-be"), None, "مر😀"),
        ("E0", "مر".encode("utf-16-be"), None, "مر"),
        ("04", b"h\xe9llo", None, "h\xe9llo"),
        ("F4", b"h\xe9llo", None, "h\xe9llo"),
    ],
)
def test_delivered_message_is_read_in_its_alphabet(coding: str, body: bytes, length: int | None, text: str) -> None:
    """The data coding schemes of 23.038: general, message class, message waiting."""
    found = pdu.read(deliver(body, coding=coding, length=length))
    assert isinstance(found, pdu.Deliver)
    assert (found.sender, found.text) == (RECEIVER, text)
    assert found.sent_at == (datetime(2026, 11, 22, 23, 45, 58, tzinfo=UTC) - timedelta(hours=2)).timestamp()


@pytest.mark.parametrize(
    ("field", "name"), [("0BD0CDE6DB5DCE03", "MMoney"), ("14D0C4F23C7D760390EF7619", "Design@Home")]
)
def test_sender_may_be_a_name(field: str, name: str) -> None:
    """Alphanumeric senders are packed GSM-7; the examples are those of smspdudecoder's documentation."""
    found = pdu.read(deliver(b"", sender=field))
    assert isinstance(found, pdu.Deliver)
    assert found.sender == name


@pytest.mark.parametrize(
    ("header", "concat"),
    [
        ("050003070201", pdu.Concat(7, 2, 1)),
        ("06080401070201", pdu.Concat(0x107, 2, 1)),
        ("0A24000100050003070201", None),
        ("080301000500030702", None),
        ("050003070203", None),
        ("050003070000", None),
        ("0401020304", None),
    ],
)
def test_header_of_a_part_is_read(header: str, concat: pdu.Concat | None) -> None:
    """8 and 16 bit references; headers that make no sense make no part."""
    found = pdu.read(deliver(bytes.fromhex(header) + "م".encode("utf-16-be"), coding="08", first="44"))
    assert isinstance(found, pdu.Deliver)
    assert found.concat == concat
    assert found.text == "م"


def test_part_in_gsm7_begins_behind_its_fill_bits() -> None:
    """Text behind a header begins at a septet."""
    (first, _) = submit("a" * 153 + "b" * 10)
    user_data = bytes.fromhex(first.hex)[15:]  # behind the service centre's length and 14 octets of the part's head
    found = pdu.read(deliver(user_data, first="44", length=160))
    assert isinstance(found, pdu.Deliver)
    assert (found.text, found.concat) == ("a" * 153, pdu.Concat(7, 2, 1))


@pytest.mark.parametrize("octets", range(7))
def test_message_that_was_cut_off_is_read_as_far_as_it_goes(octets: int) -> None:
    """Septets that are not there are not made up: they would read as ``@``."""
    found = pdu.read(deliver(gsm7.pack(b"hellohe")[:octets], length=160))
    assert isinstance(found, pdu.Deliver)
    assert found.text == "hellohe"[: octets * 8 // 7]


def test_part_that_was_cut_off_in_its_header_has_no_text() -> None:
    """A header and nothing behind it is a part without text, not a fault."""
    found = pdu.read(deliver(bytes.fromhex("050003070201"), first="44", length=160))
    assert isinstance(found, pdu.Deliver)
    assert (found.text, found.concat) == ("", pdu.Concat(7, 2, 1))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, "delivered"),
        (1, "pending"),
        (2, "delivered"),
        (0x20, "pending"),
        (0x3F, "pending"),
        (0x40, "failed"),
        (0x60, "failed"),
    ],
)
def test_status_report_is_read(status: int, outcome: str) -> None:
    """What became of a part, in a word."""
    found = pdu.read(f"0006A30C91261862666666{STAMP}{STAMP}{status:02X}")
    assert isinstance(found, pdu.StatusReport)
    assert (found.reference, found.receiver, found.status, found.outcome) == (0xA3, RECEIVER, status, outcome)
    assert found.at == datetime(2026, 11, 22, 21, 45, 58, tzinfo=UTC).timestamp()


def test_status_report_without_a_time_counts() -> None:
    """Some networks leave the time of discharge empty."""
    found = pdu.read(f"0006A30C91261862666666{STAMP}{'0' * 14}00")
    assert isinstance(found, pdu.StatusReport)
    assert (found.outcome, found.at) == ("delivered", 0.0)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "zz",
        "07",
        "00",
        "0001",
        deliver(b"ab")[:20],
        deliver(b"", coding="08", first="44"),
        deliver(b"\xff\x00", coding="08", first="44"),
        "00040C91261862666666" + "0000" + "F" * 14 + "00",
        "00040C91261862666666" + "0000" + "99999999999999" + "00",
    ],
)
def test_broken_pdu_is_told_and_not_quoted(broken: str) -> None:
    """Whatever a modem brings is read or refused, never a fault."""
    with pytest.raises(pdu.PduError) as caught:
        pdu.read(broken)
    assert len(str(caught.value)) < 50


@given(st.binary(max_size=200))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    """No sequence of octets ends in another exception."""
    try:
        pdu.read(noise.hex())
    except pdu.PduError:
        return


def test_time_of_the_last_century() -> None:
    """Two digits: 70 to 99 are the nineties and before."""
    assert timestamps.read(bytes.fromhex("99309251619580")) < timestamps.read(bytes.fromhex("62112232548580"))
    assert timestamps.read(bytes.fromhex("6211223254850A")) > timestamps.read(bytes.fromhex("62112232548502"))
    with pytest.raises(ValueError, match="too short"):
        timestamps.read(b"")
