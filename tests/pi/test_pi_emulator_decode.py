"""What the emulator reads and writes in PDU mode, against published PDUs and a second implementation."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smspdudecoder.codecs import GSM
from smspdudecoder.fields import SMSDeliver, SMSSubmit

from otp.pi.emulator.alphabet import DEFAULT, EXTENSION, characters, pack, septets_of, unpack
from otp.pi.emulator.arrived import Joiner, Part
from otp.pi.emulator.decode import Concatenation, DecodeError, Submitted, relative_validity, submitted
from otp.pi.emulator.encode import delivers, status_report

GSM_TEXT = st.text(alphabet=[character for character in DEFAULT if character != "\x1b"] + list(EXTENSION.values()))


def read(pdu: str, length: int | None = None, *, now: float = 0.0) -> Submitted:
    centre = int(pdu[:2], 16) + 1
    return submitted(pdu, len(pdu) // 2 - centre if length is None else length, now=now)


def test_published_submit_with_relative_validity_is_read() -> None:
    """The hellohello of the Dreamfabric tutorial: international receiver, four days, GSM 7 bit."""
    message = read("0011000B916407281553F80000AA0AE8329BFD4697D9EC37")
    assert (message.receiver, message.text, message.validity) == ("+46708251358", "hellohello", 4 * 86_400.0)
    assert (message.alphabet, message.report, message.flash, message.smsc) == ("gsm7", False, False, "")
    assert message.concatenation is None


def test_submit_with_a_centre_of_its_own_is_read() -> None:
    """A service centre in front is told, national or international, with and without fill."""
    body = "11000B916407281553F80000AA0AE8329BFD4697D9EC37"
    assert read("07919761980614F8" + body).smsc == "+79168960418"
    assert read("03818090" + body).smsc == "0809"


def test_every_character_of_the_alphabet_is_the_second_implementations() -> None:
    """Both tables agree on all 128 septets and the ten that follow an escape."""
    assert GSM.ALPHABET == DEFAULT
    assert GSM.ALPHABET_EXT == EXTENSION


@given(GSM_TEXT)
def test_packed_text_is_read_by_the_second_implementation(text: str) -> None:
    """Septets that are packed come out of the other decoder, apart from fill."""
    septets = [septet for character in text for septet in septets_of(character) or ()]
    packed = pack(septets)
    assert characters(unpack(packed, len(septets))) == text
    other = GSM.decode(packed.hex()) if packed else ""
    assert other[: len(text)] == text


def test_escape_that_leads_nowhere_is_shown_as_telephones_do() -> None:
    """An unknown extension is its default character, an escape at the end a blank: a cut pair is seen."""
    assert characters([0x1B, 0x41, 0x61, 0x1B]) == "Aa "
    assert septets_of("\x1b") is None
    assert septets_of("ع") is None


@pytest.mark.parametrize(
    ("pdu", "receiver", "text", "alphabet"),
    [
        ("0001000B915121551532F400000CC8F79D9C07E54F61363B04", "+15125551234", "Howdy y'all!", "gsm7"),
        ("001100048021430008020400410042", "1234", "AB", "ucs2"),
        ("0011000481214300F402020102", "1234", "0102", "8bit"),
    ],
)
def test_submit_of_other_kinds_is_read(pdu: str, receiver: str, text: str, alphabet: str) -> None:
    """A message without validity, short numbers, UCS-2 and 8 bit data, as the second implementation reads them."""
    message = read(pdu)
    assert (message.receiver, message.text, message.alphabet) == (receiver, text, alphabet)
    other = SMSSubmit.decode(StringIO(pdu))
    assert other["recipient"]["number"] == receiver.lstrip("+")
    assert other["user_data"]["data"] == (bytes.fromhex(text) if alphabet == "8bit" else text)


def test_flash_report_and_star_codes_are_read() -> None:
    """Class 0, the wish for a report, and digits beyond nine."""
    message = read("00310005911A2BF30010FF00")
    assert (message.receiver, message.flash, message.report) == ("+*1#23", True, True)
    assert message.validity == 63 * 7 * 86_400.0
    assert read("00310005911A2BF30018FF00").alphabet == "ucs2"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 300),
        (143, 12 * 3600),
        (144, 12.5 * 3600),
        (167, 24 * 3600),
        (168, 2 * 86_400),
        (196, 30 * 86_400),
        (197, 5 * 7 * 86_400),
        (255, 63 * 7 * 86_400),
    ],
)
def test_relative_validity_follows_the_table(value: int, seconds: float) -> None:
    """Steps of five minutes, half hours, days and weeks meet as 23.040 has them."""
    assert relative_validity(value) == seconds


def test_absolute_validity_is_told_as_a_span() -> None:
    """A validity until 12:00:00 in a zone of -1 h is 13:00 UTC; a zone of 0 is UTC."""
    noon = 1_767_225_600.0 + 12 * 3600  # 2026-01-01
    assert read("0019000481214300006210102100004800", now=noon).validity == 3600.0
    assert read("0019000481214300006210102100000000", now=noon).validity == 0.0


@pytest.mark.parametrize(
    ("header", "reference"), [("050003070301", 7), ("06080401070301", 263), ("090502AABB0003070301", 7)]
)
def test_concatenation_is_read_with_both_kinds_of_reference(header: str, reference: int) -> None:
    """References of 8 and 16 bits are found, also behind another element, and the text behind the header."""
    message = read(f"004100048121430008{len(header) // 2 + 2:02X}{header}00E9")
    assert message.concatenation == Concatenation(reference=reference, total=3, index=1)
    assert message.text == "é"


def test_header_without_concatenation_leaves_one_message() -> None:
    """Other information elements alone make no long message."""
    message = read("00410004812143000807040502AABB0041")
    assert (message.concatenation, message.text) == (None, "A")


HEAD = "0011000481214300"
WITH_HEADER = "0051000481214300"
BROKEN = {
    "": "even number of hexadecimal",
    "00 110": "even number of hexadecimal",
    "001": "even number of hexadecimal",
    "0591": "inside its service centre",
    "00": "inside its first octet",
    "0010": "no SMS-SUBMIT",
    "0011": "inside its message reference",
    "0011000091": "1 to 20 digits",
    "0011001591": "1 to 20 digits",
    "00110004112143": "bit 7",
    "00110004D12143": "alphanumeric",
    "001100048121F3": "digit that is none",
    "00110003812143": "filled up",
    "001100038121": "inside its receiver",
    HEAD + "20AA00": "compressed, reserved",
    HEAD + "0CAA00": "compressed, reserved",
    HEAD + "80AA00": "compressed, reserved",
    HEAD + "00AA05E8": "5 octets were announced, 1 came",
    HEAD + "00AA00E8": "0 octets were announced, 1 came",
    HEAD + "08AA8D" + "00" * 141: "do not fit",
    HEAD + "08AA0100": "two octets a character",
    "000900048121430000" + "00" * 8: "enhanced",
    "00190004812143000062106A2100000000": "digit that is none",
    "0019000481214300006231102100000000": "no day that exists",
    WITH_HEADER + "08AA00": "header is longer",
    WITH_HEADER + "08AA020500": "header is longer",
    WITH_HEADER + "00AA0100": "header is longer",
    WITH_HEADER + "08AA06050003070002": "part 2 of 0",
    WITH_HEADER + "08AA06050003070203": "part 3 of 2",
    WITH_HEADER + "08AA0403000507": "inside its information element",
}


@pytest.mark.parametrize("pdu", BROKEN)
def test_submit_that_breaks_a_rule_is_refused(pdu: str) -> None:
    """Each rule of the standard that is broken is named."""
    with pytest.raises(DecodeError, match=BROKEN[pdu]):
        submitted(pdu, len(pdu) // 2 - 1, now=0.0)


def test_submit_of_another_length_than_announced_is_refused() -> None:
    """AT+CMGS= counts the octets behind the service centre, and both lengths are named."""
    with pytest.raises(DecodeError, match="22 octets were announced, 23 came"):
        submitted("0011000B916407281553F80000AA0AE8329BFD4697D9EC37", 22, now=0.0)


# -- what the network brings


def decoded(text: str, sender: str = "+628111", centre: str = "+62811") -> list[dict[str, Any]]:
    """Return what the second implementation makes of an incoming message."""
    encoded = delivers(sender, text, at=1_767_225_600.0, reference=9, smsc=centre)
    for pdu, length in encoded:
        assert len(pdu) // 2 - int(pdu[:2], 16) - 1 == length
    return [SMSDeliver.decode(StringIO(pdu)) for pdu, _ in encoded]


@pytest.mark.parametrize("sender", ["+628111", "08111", "Bank", "MMoney", "Design@Home"])
def test_incoming_message_is_read_by_the_second_implementation(sender: str) -> None:
    """Sender, time and text come out, be the sender a number or a name."""
    (message,) = decoded("Hi € {x}", sender)
    assert message["sender"]["number"].rstrip("@") == sender.lstrip("+")
    assert message["user_data"]["data"] == "Hi € {x}"
    assert message["scts"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert message["smsc"]["number"] == "62811"


def test_incoming_message_from_a_service_number_has_its_signs() -> None:
    """A star is half-octet 10, a hash 11 (24.008, table 10.5.118)."""
    ((pdu, _),) = delivers("*123#", "x", at=0, reference=0, smsc="")
    assert pdu[4:14] == "05811A32FB"


def test_incoming_message_without_sender_and_centre_is_read() -> None:
    """Empty numbers are no digits, not a crash."""
    (message,) = decoded("x", "", "")
    assert (message["sender"]["length"], message["smsc"]["number"]) == (0, None)


# The second implementation counts an escape pair as one septet and shows fill behind it; so texts without.
PLAIN = sorted(set(DEFAULT) - {"\x1b"})
UNPAIRED = st.one_of(
    st.text(alphabet=PLAIN), st.text(alphabet=st.characters(min_codepoint=0x600, exclude_categories=["Cs"]))
)


@given(UNPAIRED.filter(lambda text: "€" not in text))
def test_incoming_text_of_any_kind_comes_out_whole(text: str) -> None:
    """Parts that are joined are the text, however long and in whatever script; no part is cut inside a character."""
    parts = decoded(text)
    assert "".join(part["user_data"]["data"] for part in parts) == text
    for index, part in enumerate(parts, 1):
        if len(parts) > 1:
            element = part["user_data"]["header"]["elements"][0]["data"]
            assert element == {"reference": 9, "parts_count": len(parts), "part_number": index}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("a" * 152 + "€" * 5, 2),
        ("ع" * 70, 1),
        ("ع" * 71, 2),
        ("😀" * 35, 1),
        ("ع" * 66 + "😀" * 3, 2),
    ],
)
def test_incoming_text_takes_as_many_parts_as_the_standard_says(text: str, parts: int) -> None:
    """160 or 153 septets, 70 or 67 units, and no pair in two parts."""
    messages = decoded(text)
    assert len(messages) == parts
    assert "".join(message["user_data"]["data"] for message in messages) == text


def test_status_report_has_the_layout_of_the_standard() -> None:
    """Type, reference, receiver, both times and the status follow each other (23.040, 9.2.2.3)."""
    report = status_report("+628111", reference=5, status=0x46, sent_at=0, at=1_767_225_600.0, smsc="")
    assert report == ("0006050691261811" + "07101000000000" + "62101000000000" + "46", 22)


# -- the receiver's telephone


def piece(index: int, text: str, *, total: int = 2, reference: int | None = 1) -> Part:
    return Part(
        modem="one",
        receiver="+62",
        text=text,
        reference=reference,
        total=total,
        index=index,
        number=index,
        at=float(index),
        validity=None,
        report=False,
        flash=False,
        alphabet="ucs2",
    )


def test_part_that_comes_twice_is_joined_once() -> None:
    """A repeated part is known as such and does not stand twice in the text."""
    joiner = Joiner()
    assert [joiner.seen("+62", 1, 2, 1, "a") for _ in range(2)] == [False, True]
    assert not joiner.seen("+62", None, 1, 1, "a")
    assert joiner.add(piece(1, "a")) is None
    assert joiner.add(piece(1, "a")) is None
    whole = joiner.add(piece(2, "b"))
    assert whole is not None
    assert (whole.text, whole.parts, whole.numbers, whole.at, whole.duplicate) == ("ab", 2, (1, 2), 2.0, False)
    assert not joiner.open


def test_whole_message_that_comes_twice_is_flagged() -> None:
    """A telephone shows it twice; a test sees that it was the same."""
    joiner = Joiner()
    wholes = [joiner.add(piece(index, text)) for _ in range(2) for index, text in ((2, "b"), (1, "a"))]
    assert [whole.duplicate for whole in wholes if whole] == [False, True]


def test_reference_that_is_used_again_begins_a_new_message() -> None:
    """Parts of a message that never got complete do not end up in the next one."""
    joiner = Joiner()
    joiner.add(piece(1, "old"))
    joiner.add(piece(1, "new "))
    whole = joiner.add(piece(2, "text"))
    assert whole is not None
    assert whole.text == "new text"


def test_pair_that_was_cut_between_parts_is_joined_again() -> None:
    """Octets are joined, not characters; a half that stays alone is shown as a replacement character."""
    joiner = Joiner()
    joiner.add(piece(1, "\ud83d"))
    whole = joiner.add(piece(2, "\ude00"))
    assert whole is not None
    assert whole.text == "😀"
    alone = joiner.add(piece(1, "\ud83d", total=1, reference=None))
    assert alone is not None
    assert alone.text == "�"
