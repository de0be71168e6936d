"""The GSM 7 bit alphabet, its packing, and the division of texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp.pi.modems import gsm7, text

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = "\f^{}\\[~]|€"
ALPHABET = BASIC + EXTENSION


def encoded(found: str) -> bytes:
    septets = gsm7.characters(found)
    assert septets is not None
    return b"".join(septets)


def test_alphabet_has_127_characters_and_ten_more() -> None:
    """Each character has septets of its own, one for the basic table and two for the extension."""
    assert len(BASIC) == len(set(BASIC)) == 127
    assert len({encoded(char) for char in ALPHABET}) == 137
    assert all(len(encoded(char)) == 1 for char in BASIC)
    assert all(len(encoded(char)) == 2 for char in EXTENSION)


@pytest.mark.parametrize(
    ("char", "septets"), [("@", b"\0"), ("é", b"\5"), ("€", b"\x1be"), ("Δ", b"\x10"), ("à", b"\x7f")]
)
def test_characters_stand_where_the_standard_has_them(char: str, septets: bytes) -> None:
    """A few places of 23.038, by hand."""
    assert encoded(char) == septets


@pytest.mark.parametrize("char", ["ê", "ç", "á", "`", "\x1b", "م", "😀", "\0"])
def test_character_outside_the_alphabet_makes_it_another(char: str) -> None:
    """One such character and the text is not GSM-7; the escape is no character at all."""
    assert gsm7.characters("a" + char) is None


def test_packing_of_the_textbook_example() -> None:
    """``hellohello`` is E8329BFD4697D9EC37 in every introduction to SMS."""
    assert gsm7.pack(encoded("hellohello")).hex().upper() == "E8329BFD4697D9EC37"
    assert gsm7.unpack(bytes.fromhex("E8329BFD4697D9EC37"), 10) == b"hellohello"


def test_unknown_escapes_read_as_the_standard_says() -> None:
    """An extension that we do not know shows the basic character, a lone escape a blank."""
    assert gsm7.decode(b"\x1ba\x1b\x1bb\x1b") == "a b "


@given(st.text(ALPHABET, max_size=200), st.integers(0, 6))
def test_text_survives_packing(found: str, fill: int) -> None:
    """What is packed and unpacked is the same, with any number of fill bits."""
    septets = encoded(found)
    packed = gsm7.pack(septets, fill)
    assert len(packed) == (fill + 7 * len(septets) + 7) // 8
    assert gsm7.decode(gsm7.unpack(packed, len(septets), fill)) == found


@pytest.mark.parametrize(
    ("found", "is_gsm7", "lengths"),
    [
        ("", True, [0]),
        ("a" * 160, True, [160]),
        ("a" * 161, True, [153, 8]),
        ("€" * 80, True, [160]),
        ("€" * 81, True, [152, 10]),
        ("a" * 152 + "€" + "b" * 10, True, [152, 12]),
        ("م" * 70, False, [140]),
        ("م" * 71, False, [134, 8]),
        ("😀" * 35, False, [140]),
        ("😀" * 36, False, [132, 12]),
        ("a" * 66 + "😀" + "b" * 5, False, [132, 14]),
    ],
)
def test_division_keeps_characters_whole(found: str, is_gsm7: bool, lengths: list[int]) -> None:
    """The limits of 23.040, and no part that ends within an escape or a surrogate pair."""
    divided = text.divide(found)
    assert (divided.gsm7, [len(units) for units in divided.units]) == (is_gsm7, lengths)


@given(st.text(st.characters(codec="utf-8"), max_size=600))
def test_parts_together_are_the_text(found: str) -> None:
    """Nothing is lost, doubled or split, whatever the text."""
    divided = text.divide(found)
    if divided.gsm7:
        assert "".join(gsm7.decode(units) for units in divided.units) == found
        assert all(len(units) <= (160 if len(divided.units) == 1 else 153) for units in divided.units)
    else:
        assert "".join(units.decode("utf-16-be") for units in divided.units) == found
        assert all(len(units) <= (140 if len(divided.units) == 1 else 134) for units in divided.units)
