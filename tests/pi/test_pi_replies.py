"""What modems of several makers answer is read the same; noise is nothing."""

import pytest

from otp.pi.modems import replies
from otp.pi.modems.replies import Result, Stored, Ussd


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("OK", Result(ok=True)),
        ("ERROR", Result(ok=False, kind="error")),
        ("COMMAND NOT SUPPORT", Result(ok=False, kind="error")),
        ("+CMS ERROR: 38", Result(ok=False, kind="cms", code=38)),
        ("+CME ERROR:10", Result(ok=False, kind="cme", code=10)),
        ("+CME ERROR: SIM busy", Result(ok=False, kind="cme", code=None)),
        ("OKAY", None),
        ("+CSQ: 1,2", None),
    ],
)
def test_result_of_a_command(line: str, expected: Result | None) -> None:
    """Final results, with the number where there is one."""
    assert replies.result(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+COPS: 0,0,"TELKOMSEL",2', ["0", "0", "TELKOMSEL", "2"]),
        ('+CMTI: "SM", 3', ["SM", "3"]),
        ("+CMGL: 1,1,,24", ["1", "1", "", "24"]),
        ('+X: "a,b",c', ["a,b", "c"]),
        ('+X: "open', ['"open']),
        ("+X:", []),
        ("nothing", []),
    ],
)
def test_fields_of_a_line(line: str, expected: list[str]) -> None:
    """Commas part fields, but not within quotes."""
    assert replies.fields(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CREG: 0,1", True),
        ("+CREG: 0,5", True),
        ('+CREG: 2,1,"00C3","0011"', True),
        ("+CEREG: 0,6", True),
        ("+CREG: 0,2", False),
        ("+CREG: 0,3", False),
        ("+CREG: 1", True),
        ('+CREG: 5,"00C3","0011"', True),
        ("+CREG: ?", None),
    ],
)
def test_registration_asked_and_unasked(line: str, expected: bool | None) -> None:
    """Home, roaming and SMS only are registered; the unsolicited form lacks the first field."""
    assert replies.registered(line) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CSQ: 18,0", (18, 0)),
        ("+CSQ: 31,99", (31, None)),
        ("+CSQ: 99,99", (None, None)),
        ("+CSQ: 0", (0, None)),
        ("+CSQ:", (None, None)),
        ("+CSQ: x,y", (None, None)),
    ],
)
def test_signal_known_or_not(line: str, expected: tuple[int | None, int | None]) -> None:
    """99 is not known, and so is what is no number."""
    assert replies.signal(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"), [('+COPS: 0,0,"Tsel, ID",2', "Tsel, ID"), ("+COPS: 0", ""), ("+COPS:", "")]
)
def test_operator_or_none(line: str, expected: str) -> None:
    """Without a network there is no name."""
    assert replies.operator(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"), [("+CMGS: 255", 255), ("+CMGS:7", 7), ("+CMGS:", None), ("+CMGS: -1", None)]
)
def test_reference_of_a_sent_message(line: str, expected: int | None) -> None:
    """The reference is a number or nothing."""
    assert replies.reference(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+CMTI: "SM",3', ("SM", 3)),
        ('+CDSI: "ME",12', ("ME", 12)),
        ('+CMTI: "SM"', None),
        ('+CMTI: "S";+X",3', None),
        ('+CMTI: "sm",3', None),
        ('+CMTI: "SM",3;+CMGD=1', None),
    ],
)
def test_place_of_a_stored_message(line: str, expected: tuple[str, int] | None) -> None:
    """Only two capitals and a number are a place: both go into commands."""
    assert replies.stored_at(line) == expected


def test_stored_messages_of_a_list_and_of_one_index() -> None:
    """Each head line goes with the PDU behind it; what has none is left out."""
    pdu = "0791261812345678F9"
    lines = ["+CMGL: 1,1,,24", pdu, "+CMGL: 2,3,,24", "+CMGL: 4,0,,9", pdu, "+CMGL: x,0,,9", pdu]
    assert replies.stored(lines) == [Stored(1, 1, pdu), Stored(4, 0, pdu)]
    assert replies.stored(["+CMGR: 0,,24", pdu], 7) == [Stored(7, 0, pdu)]
    assert replies.stored(["+CMGR: "], 7) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+CUSD: 0,"Balance: 5,000 "IDR"",15', Ussd(0, 'Balance: 5,000 "IDR"', 15)),
        ('+CUSD: 1,"a\nb", 72', Ussd(1, "a\nb", 72)),
        ('+CUSD: 1,"a"', Ussd(1, "a", None)),
        ('+CUSD: 0,"a",', Ussd(0, "a", None)),
        ("+CUSD: 4", Ussd(4, None, None)),
        ("+CUSD: 2,,15", Ussd(2, None, None)),
        ("+CUSD: no", None),
    ],
)
def test_ussd_line(line: str, expected: Ussd | None) -> None:
    """Text may hold commas, quotes and ends of lines."""
    assert replies.ussd(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("+CPINR: SIM PIN,3,3", 3),
        ("^CPIN: SIM PIN,2,10,2,10,3", 2),
        ("^CPIN: SIM PIN,10,1,10,3", 1),
        ("^CPIN: READY,,10,3,10,3", 3),
        ("^CPIN: READY", None),
        ("+SPIC: 1,10,3,10", 1),
        ("+SPIC:", None),
    ],
)
def test_tries_left_of_a_pin(line: str, expected: int | None) -> None:
    """Each maker has a place of its own for the tries of the PIN."""
    assert replies.tries_left(line) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["860000000000017"], "860000000000017"),
        (['+CGSN: "860000000000017"'], "860000000000017"),
        (["SMS Ready", "+CCID: 8962100012345678905F"], "8962100012345678905F"),
        (["Quectel"], ""),
        ([], ""),
    ],
)
def test_number_of_a_device_or_card(lines: list[str], expected: str) -> None:
    """The number is found with and without prefix and quotes."""
    assert replies.device_number(lines) == expected


@pytest.mark.parametrize(("lines", "expected"), [(['+CGMI: "huawei"'], "huawei"), (["Quectel"], "Quectel"), ([], "")])
def test_free_text_of_an_answer(lines: list[str], expected: str) -> None:
    """Names of makers come with and without prefix and quotes."""
    assert replies.free_text(lines) == expected
