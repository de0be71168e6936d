"""The emulated modem, through its port, as long as nothing goes wrong."""

import asyncio
from pathlib import Path

import pytest

from otp.pi.emulator import Emulator, Knobs, Ussd
from tests.pi.emulated import Port, hello, part


async def test_modem_when_switched_on_repeats_what_it_hears() -> None:
    """Echo is on until ATE0, as on every real modem, and answers are framed by CR LF on both sides."""
    async with Emulator(knobs=Knobs(boot=False)) as modem, Port(modem.port) as port:
        port.write("AT\r")
        assert await port.until(b"OK\r\n") == "AT\r\r\nOK\r\n"
        port.write("ATE0\r")
        assert await port.until(b"OK\r\n") == "ATE0\r\r\nOK\r\n"
        port.write("AT\r")
        assert await port.until(b"OK\r\n") == "\r\nOK\r\n"


async def test_modem_greets_with_its_boot_lines() -> None:
    """What a modem says of its own accord when it starts is there before the first command."""
    async with Emulator() as modem, Port(modem.port) as port:
        assert (await port.until(b"^SIMST:1\r\n")).startswith("\r\n^BOOT:12345678,0,0,0,77\r\n")


@pytest.fixture
async def modem() -> Emulator:
    return Emulator(knobs=Knobs(echo=False, boot=False))


ANSWERS = {
    "AT": ["OK"],
    "at+csq": ["+CSQ: 18,99", "OK"],
    "AT+CSQ;+CREG?": ["+CSQ: 18,99", "+CREG: 0,1", "OK"],
    "ATE0V1+CMEE=1": ["OK"],
    "AT+CMEE?": ["+CMEE: 0", "OK"],
    "AT&F": ["OK"],
    "AT+CPIN?": ["+CPIN: READY", "OK"],
    "AT^CPIN?": ["^CPIN: READY,10,3,10,3", "OK"],
    "AT+CPINR": ["+CPINR: SIM PIN,3,3", "+CPINR: SIM PUK,10,10", "OK"],
    "AT+COPS?": ['+COPS: 0,0,"TELKOMSEL",2', "OK"],
    "AT+COPS=3,2;+COPS?": ['+COPS: 0,2,"51010",2', "OK"],
    "AT+COPS=0": ["OK"],
    "AT+CREG=2;+CREG?": ['+CREG: 2,1,"00C3","4A1F"', "OK"],
    "AT+CGSN": ["860000000000017", "OK"],
    "AT+CIMI": ["510101234567890", "OK"],
    "AT^ICCID": ["^ICCID: 8962100012345678905", "OK"],
    "AT+CCID": ["ERROR"],
    "AT+CGMI": ["huawei", "OK"],
    "AT+CGMM": ["E173", "OK"],
    "AT+CGMR": ["11.126.16.04.00", "OK"],
    "AT+CSCS?": ['+CSCS: "IRA"', "OK"],
    'AT+CSCS="GSM";+CSCS?': ['+CSCS: "GSM"', "OK"],
    'AT+CMEE=1;+CSCS="KLINGON"': ["+CME ERROR: 50"],
    'AT+CMEE=2;+CSCS="KLINGON"': ["+CME ERROR: incorrect parameters"],
    'AT+CSCS="KLINGON"': ["ERROR"],
    "AT+CSCA?": ['+CSCA: "+6281100000",145', "OK"],
    'AT+CSCA="0811";+CSCA?': ['+CSCA: "0811",129', "OK"],
    'AT+CSCA="home"': ["+CMS ERROR: 304"],
    "AT+CSMS=1": ["+CSMS: 1,1,1", "OK"],
    "AT+CSMS?": ["+CSMS: 0,1,1,1", "OK"],
    "AT+CNMI=2,1,0,1,0": ["OK"],
    "AT+CNMI?": ["+CNMI: 0,0,0,0,0", "OK"],
    "AT+CNMI=?": ["+CNMI: (0-3),(0-3),(0-3),(0-2),(0,1)", "OK"],
    "AT+CNMI=9": ["ERROR"],
    "AT+CMGF=0": ["OK"],
    "AT+CMGF?": ["+CMGF: 0", "OK"],
    "AT+CMGF=1": ["+CMS ERROR: 303"],
    "AT+CPMS?": ['+CPMS: "SM",0,20,"SM",0,20,"SM",0,20', "OK"],
    'AT+CPMS="SM","SM","SM"': ["+CPMS: 0,20,0,20,0,20", "OK"],
    'AT+CPMS="XX"': ["+CMS ERROR: 303"],
    "AT+CMGR=1": ["+CMS ERROR: 321"],
    "AT+CMGD=1": ["+CMS ERROR: 321"],
    "AT+CMGL=4": ["OK"],
    "AT+CNMA": ["+CMS ERROR: 340"],
    "AT+CUSD?": ["+CUSD: 0", "OK"],
    "AT+CUSD=2": ["OK"],
    "AT+CUSD=1": ["OK"],
    'AT+CPIN="1","2"': ["ERROR"],
    "AT+CSQ=?": ["OK"],
    "AT+CMGS=abc": ["+CMS ERROR: 304"],
    "AT+CMGS=500": ["+CMS ERROR: 304"],
    'AT+CMGS="+6281234"': ["+CMS ERROR: 304"],
    "AT+NONSENSE": ["ERROR"],
    "AT+NONSENSE=?": ["ERROR"],
    "AT+CSQ?": ["ERROR"],
    'AT+CUSD=1,"*123': ["ERROR"],
    "AT#": ["ERROR"],
    "AT^CURC=0": ["OK"],
}


@pytest.mark.parametrize("command", ANSWERS)
async def test_command_of_the_table_is_answered_as_real_modems_do(modem: Emulator, command: str) -> None:
    """Each command has the information lines and the final result of the standards, in one burst."""
    async with modem, Port(modem.port) as port:
        assert await port.ask(command) == ANSWERS[command]
        assert list(modem.commands) == [command]


async def test_commands_that_come_byte_by_byte_are_understood(modem: Emulator) -> None:
    """How the driver's writes are cut makes no difference, not even inside CR LF."""
    async with modem, Port(modem.port) as port:
        for byte in b"AT+CSQ\r\nAT+CGM\x08MI\r\n":
            port.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert await port.until(b"OK\r\n") == "\r\n+CSQ: 18,99\r\n\r\nOK\r\n"
        assert await port.until(b"OK\r\n") == "\r\nhuawei\r\n\r\nOK\r\n"


async def test_commands_in_one_burst_are_answered_in_order(modem: Emulator) -> None:
    """Nothing is lost when a driver does not wait, a message in the middle included."""
    pdu, length = hello()
    async with modem, Port(modem.port) as port:
        port.write(f"AT+CGMI\rAT+CMGS={length}\r{pdu}\x1aAT+CGMM\r")
        answer = await port.until(b"E173\r\n\r\nOK\r\n")
    assert answer == "\r\nhuawei\r\n\r\nOK\r\n\r\n> \r\n+CMGS: 0\r\n\r\nOK\r\n\r\nE173\r\n\r\nOK\r\n"


async def test_lines_that_are_no_command_are_passed_over(modem: Emulator) -> None:
    """Rubbish on the line, Ctrl-Z and ESC outside a body get no answer, and do not spoil the next command."""
    async with modem, Port(modem.port) as port:
        port.write("rubbish\r\x1a\rAT+FOO\x1b")
        assert await port.ask("AT") == ["OK"]


async def test_information_names_the_modem(modem: Emulator) -> None:
    """ATI tells maker, model, revision and IMEI on lines of their own."""
    async with modem, Port(modem.port) as port:
        assert "IMEI: 860000000000017" in await port.ask("ATI")


@pytest.mark.parametrize(
    ("maker", "command", "line"),
    [("simcom", "AT+CCID", "8962100012345678905"), ("quectel", "AT+QCCID", "+QCCID: 8962100012345678905")],
)
async def test_modem_of_another_maker_has_its_own_ways(maker: str, command: str, line: str) -> None:
    """The number of the card is read by another command from each maker."""
    async with Emulator(knobs=Knobs(maker=maker, echo=False, boot=False)) as modem, Port(modem.port) as port:
        assert await port.ask(command) == [line, "OK"]
        assert await port.ask("AT^ICCID") == ["ERROR"]


async def test_reset_forgets_what_was_set() -> None:
    """ATZ turns echo on again and takes back +CMEE and +CNMI."""
    async with Emulator(knobs=Knobs(boot=False)) as modem, Port(modem.port) as port:
        await port.ask("ATE0+CMEE=1;+CNMI=2,1,0,1,0")
        await port.ask("ATZ")
        port.write("AT+CNMI?\r")
        assert await port.until(b"OK\r\n") == "AT+CNMI?\r\r\n+CNMI: 0,0,0,0,0\r\n\r\nOK\r\n"


# -- sending


async def test_message_in_pdu_mode_arrives_decoded(modem: Emulator) -> None:
    """The receiver, the text and the validity that were encoded come out at the network."""
    async with modem, Port(modem.port) as port:
        assert await port.send(*hello()) == ["+CMGS: 0", "OK"]
        assert await port.send(*hello("62811")) == ["+CMGS: 1", "OK"]
        first, second = await modem.wait_for(2)
    assert (first.receiver, first.text, first.validity, first.numbers) == ("+6281234567890", "hello", 900.0, (0,))
    assert (second.receiver, second.parts) == ("+62811", 1)
    assert [single.number for single in modem.parts] == [0, 1]


async def test_body_is_echoed_while_echo_is_on() -> None:
    """A driver that left echo on sees the body again, before the result."""
    pdu, length = hello()
    async with Emulator(knobs=Knobs(boot=False)) as modem, Port(modem.port) as port:
        port.write(f"AT+CMGS={length}\r")
        assert await port.until(b"> ") == f"AT+CMGS={length}\r\r\n> "
        port.write(pdu + "\x1a")
        assert await port.until(b"OK\r\n") == f"{pdu}\r\n+CMGS: 0\r\n\r\nOK\r\n"


async def test_body_with_line_ends_is_taken(modem: Emulator) -> None:
    """CR and LF inside a body do not end it: Ctrl-Z does."""
    pdu, length = hello()
    async with modem, Port(modem.port) as port:
        assert await port.send(f"{pdu[:9]}\r\n{pdu[9:]}\r", length) == ["+CMGS: 0", "OK"]


async def test_escape_ends_a_body_without_sending(modem: Emulator) -> None:
    """ESC gives the prompt up, and the modem is back at commands."""
    async with modem, Port(modem.port) as port:
        port.write("AT+CMGS=20\r")
        await port.until(b"> ")
        port.write("0011\x1b")
        assert await port.until(b"OK\r\n") == "\r\nOK\r\n"
        assert await port.ask("AT+CGMI") == ["huawei", "OK"]
    assert not modem.parts
    assert modem.bodies == 0


async def test_body_of_another_length_is_refused(modem: Emulator) -> None:
    """A length that is one octet off, and a body that is no hexadecimal, are +CMS ERROR: 304."""
    pdu, length = hello()
    async with modem, Port(modem.port) as port:
        assert await port.send(pdu, length + 1) == ["+CMS ERROR: 304"]
        assert await port.send(pdu[:-1] + "x", length) == ["+CMS ERROR: 304"]
        assert await port.send(pdu[:-1], length) == ["+CMS ERROR: 304"]
    assert not modem.parts
    assert modem.bodies == 3


async def test_parts_of_a_long_message_arrive_as_one(modem: Emulator) -> None:
    """A telephone shows a long message when its last part came, in order; each part is kept besides."""
    async with modem, Port(modem.port) as port:
        await port.send(*part(2, 2, text=b"cd"))
        assert not modem.arrived
        await port.send(*part(1, 2, text=b"ab"))
        assert [whole.text for whole in await modem.wait_for(1)] == ["61626364"]
    assert [single.index for single in modem.parts] == [2, 1]


async def test_message_that_arrives_is_told() -> None:
    """The callbacks hear of every part and of every whole message."""
    parts: list[int] = []
    texts: list[str] = []
    knobs = Knobs(echo=False)
    async with (
        Emulator(
            knobs=knobs,
            on_part=lambda single: parts.append(single.index),
            on_message=lambda whole: texts.append(whole.text),
        ) as modem,
        Port(modem.port) as port,
    ):
        waiting = asyncio.create_task(modem.wait_for(1))
        await port.send(*part(1, 2))
        assert (parts, texts) == ([1], [])
        await port.send(*part(2, 2))
        await waiting
        assert (parts, texts) == ([1, 2], ["61626162"])


# -- receiving


async def test_received_message_is_stored_and_announced(modem: Emulator) -> None:
    """With +CNMI mt 1 a message lies on the card until it is deleted; read marks it as read."""
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,0,0")
        modem.receive_sms("+628111", "hellohello", at=0)
        assert await port.until(b"1\r\n") == '\r\n+CMTI: "SM",1\r\n'
        pdu = "069126180100000406912618110000071010000000000AE8329BFD4697D9EC37"
        assert await port.ask("AT+CMGR=1") == ["+CMGR: 0,,25", pdu, "OK"]
        assert await port.ask("AT+CMGL=0") == ["OK"]
        assert await port.ask("AT+CMGL=4") == ["+CMGL: 1,1,,25", pdu, "OK"]
        assert await port.ask("AT+CMGD=1") == ["OK"]
        assert await port.ask("AT+CMGL=4") == ["OK"]


async def test_received_messages_can_be_deleted_together(modem: Emulator) -> None:
    """+CMGD with flag 1 deletes what was read, with flag 4 everything."""
    async with modem, Port(modem.port) as port:
        modem.receive_sms("+628111", "one")
        await port.ask("AT+CMGL")
        modem.receive_sms("Bank", "two")
        assert await port.ask("AT+CMGD=1,1") == ["OK"]
        assert list(modem.sim.messages) == [2]
        assert await port.ask("AT+CMGD=1,4") == ["OK"]
        assert not modem.sim.messages


async def test_received_message_waits_in_the_network_while_the_card_is_full() -> None:
    """What does not fit on the card is delivered once there is room."""
    async with Emulator(knobs=Knobs(echo=False, boot=False, capacity=1)) as modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,0,0")
        modem.receive_sms("+628111", "one")
        modem.receive_sms("+628111", "two")
        assert await port.until(b"1\r\n") == '\r\n+CMTI: "SM",1\r\n'
        assert len(modem.sim.messages) == 1
        await port.ask("AT+CMGD=1")
        assert await port.until(b"1\r\n") == '\r\n+CMTI: "SM",1\r\n'


async def test_received_message_goes_straight_to_the_driver_with_mt_2(modem: Emulator) -> None:
    """+CMT brings the PDU itself; in service 0 nobody has to acknowledge."""
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,2,0,0,0")
        modem.receive_sms("+628111", "one")
        assert await port.until(b"\r\n+CMT: ,19\r\n")
        assert not modem.sim.messages
        assert (await port.ask("AT+CNMA"))[-1] == "+CMS ERROR: 340"


async def test_delivery_report_comes_when_it_was_asked_for(modem: Emulator) -> None:
    """A message with the status report bit is reported with its reference, after +CMGS."""
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,1,0")
        assert await port.send(*hello(first=0x31)) == ["+CMGS: 0", "OK"]
        report = await port.until(b"00\r\n")
        assert report.startswith("\r\n+CDS: 26\r\n0691261801000006000D91261832547698F0")
        await port.send(*hello())
        await port.send(*hello())
        modem.report(1, 70)
        assert (await port.until(b"46\r\n")).startswith("\r\n+CDS: 26\r\n")


async def test_delivery_report_of_nothing_is_refused(modem: Emulator) -> None:
    """A test that reports what was never sent is told so."""
    async with modem:
        with pytest.raises(LookupError, match="message reference 9"):
            modem.report(9)


async def test_delivery_report_is_not_sent_where_the_knob_is_off(modem: Emulator) -> None:
    """A network without reports takes the wish and says nothing."""
    modem.knobs.reports = False
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,1,0")
        await port.send(*hello(first=0x31))
        assert await port.ask("AT") == ["OK"]


async def test_delivery_report_is_stored_with_ds_2(modem: Emulator) -> None:
    """+CDSI announces a report that lies on the card."""
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,2,0")
        await port.send(*hello(first=0x31))
        assert await port.until(b'+CDSI: "SM",1\r\n')


async def test_delivery_report_waits_for_a_driver_that_wants_it(modem: Emulator) -> None:
    """Reports that came before +CNMI are handed over when it is set."""
    async with modem, Port(modem.port) as port:
        await port.send(*hello(first=0x31))
        await port.ask("AT+CNMI=2,1,0,1,0")
        await port.until(b"\r\n+CDS: 26\r\n")


async def test_reports_in_service_1_come_one_by_one(modem: Emulator) -> None:
    """After +CSMS=1 the next report comes only when +CNMA acknowledged the one before."""
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CSMS=1;+CNMI=2,1,0,1,0")
        await port.send(*hello(first=0x31))
        await port.until(b"\r\n+CDS: 26\r\n")
        await port.until(b"00\r\n")
        assert await port.send(*hello(first=0x31)) == ["+CMGS: 1", "OK"]
        assert await port.ask("AT") == ["OK"]
        port.write("AT+CNMA\r")
        assert (await port.until(b"00\r\n")).startswith("\r\nOK\r\n\r\n+CDS: 26\r\n069126180100000601")
        assert await port.ask("AT+CNMA=1") == ["OK"]
        assert await port.ask("AT+CNMA") == ["+CMS ERROR: 340"]


async def test_report_that_nobody_acknowledges_turns_reports_off(modem: Emulator) -> None:
    """A driver that forgets +CNMA loses its routing, as 27.005 says, and gets the report when it sets it again."""
    modem.knobs.acknowledge_within = 0.01
    async with modem, Port(modem.port) as port:
        await port.ask("AT+CSMS=1;+CNMI=2,1,0,1,0")
        await port.send(*hello(first=0x31))
        await port.until(b"\r\n+CDS: 26\r\n")
        await port.until(b"00\r\n")
        while "+CNMI: 2,0,0,0,0" not in await port.ask("AT+CNMI?"):
            pass
        modem.knobs.acknowledge_within = 60
        await port.ask("AT+CNMI=2,1,0,1,0")
        await port.until(b"\r\n+CDS: 26\r\n")
        await port.until(b"00\r\n")
        assert await port.ask("AT+CNMA") == ["OK"]


async def test_report_that_was_not_acknowledged_comes_again_after_a_restart(modem: Emulator) -> None:
    """The network repeats what a modem lost with its power."""
    async with modem:
        async with Port(modem.port) as port:
            await port.ask("AT+CSMS=1;+CNMI=2,1,0,1,0")
            await port.send(*hello(first=0x31))
            await port.until(b"\r\n+CDS: 26\r\n")
            modem.unplug()
            await port.hung_up()
        modem.replug()
        async with Port(modem.port) as port:
            await port.ask("AT+CNMI=2,1,0,1,0")
            await port.until(b"\r\n+CDS: 26\r\n")


# -- USSD

MENU = {
    "*123#": Ussd("Pulsa 5000"),
    "*112#": Ussd("Pulsa 5000"),
    "*100#": Ussd("1 Buy\n2 Info", {"1": Ussd("Bought"), "2": Ussd("More", {"0": Ussd("Bye")})}),
    "*7#": Ussd("الرصيد"),
}


async def test_ussd_code_is_answered_after_ok(modem: Emulator) -> None:
    """The answer comes of its own, as text with dcs 15; what the alphabet lacks as UCS-2 with dcs 72."""
    modem.knobs.ussd = MENU
    async with modem, Port(modem.port) as port:
        assert await port.ask('AT+CUSD=1,"*123#",15') == ["OK"]
        assert await port.until(b"15\r\n") == '\r\n+CUSD: 0,"Pulsa 5000",15\r\n'
        await port.ask('AT+CUSD=1,"*7#",15')
        assert await port.until(b"72\r\n") == '\r\n+CUSD: 0,"0627064406310635064A062F",72\r\n'


async def test_ussd_menu_takes_replies(modem: Emulator) -> None:
    """A menu keeps its session until an answer ends it, or +CUSD=2 does."""
    modem.knobs.ussd = MENU
    async with modem, Port(modem.port) as port:
        for code, answer in (("*100#", '1,"1 Buy\n2 Info",15'), ("2", '1,"More",15'), ("0", '0,"Bye",15'), ("0", "4")):
            await port.ask(f'AT+CUSD=1,"{code}",15')
            assert await port.until(f"+CUSD: {answer}\r\n".encode())
        await port.ask('AT+CUSD=1,"*100#",15')
        await port.ask("AT+CUSD=2")
        await port.ask('AT+CUSD=1,"1",15')
        assert await port.until(b"+CUSD: 4\r\n")


@pytest.mark.parametrize(
    ("form", "setting", "code", "answer"),
    [
        ("ucs2", "", "*123#", '"00500075006C0073006100200035003000300030",72'),
        ("text", 'AT+CSCS="UCS2"', "*123#", '"00500075006C0073006100200035003000300030",15'),
        ("packed", "", "AA584C3602", '"D03A7B1E06D5603018",15'),
    ],
)
async def test_ussd_answer_in_other_forms(modem: Emulator, form: str, setting: str, code: str, answer: str) -> None:
    """Makers write the same answer as UCS-2 or as packed septets in hexadecimal; the latter also read it so."""
    modem.knobs.ussd, modem.knobs.ussd_format = MENU, form  # type: ignore[assignment]
    async with modem, Port(modem.port) as port:
        await port.ask(setting or "AT")
        await port.ask(f'AT+CUSD=1,"{code}",15')
        assert (await port.until(b"\r\n+CUSD: 0,")) == "\r\n+CUSD: 0,"
        heard = await port.until(b"\r\n")
        assert heard.rstrip() == answer


async def test_ussd_code_in_plain_text_is_refused_by_a_modem_that_takes_it_packed(modem: Emulator) -> None:
    """Such a modem answers ERROR, so that the driver packs the code."""
    modem.knobs.ussd_format = "packed"
    async with modem, Port(modem.port) as port:
        assert await port.ask('AT+CUSD=1,"*123#",15') == ["ERROR"]


async def test_ussd_answer_is_kept_to_itself_unless_it_is_presented(modem: Emulator) -> None:
    """With +CUSD=0 a code is sent and its answer thrown away."""
    modem.knobs.ussd = MENU
    async with modem, Port(modem.port) as port:
        assert await port.ask('AT+CUSD=0,"*123#",15') == ["OK"]
        assert await port.ask("AT") == ["OK"]


# -- plugs and links


async def test_link_leads_to_the_port_as_long_as_it_is_plugged_in(tmp_path: Path) -> None:
    """Unplugged, the driver reads the end and the link is gone; plugged in again it leads to a new pty."""
    link = tmp_path / "modem"
    link.symlink_to("/nowhere")
    async with Emulator(link=link) as modem:
        async with Port(modem.port) as port:
            assert modem.port == str(link)
            modem.unplug()
            modem.unplug()
            await port.hung_up()
        assert not link.is_symlink()
        assert modem.port == str(link)
        modem.replug()
        modem.replug()
        async with Port(str(link)) as port:
            await port.ask("AT")
    assert not link.is_symlink()
    assert modem.port == str(link)


async def test_modem_that_left_does_not_take_anothers_link_away(tmp_path: Path) -> None:
    """A link that was pointed elsewhere since is not ours to remove."""
    link = tmp_path / "modem"
    async with Emulator(link=link):
        link.unlink()
        link.symlink_to("/elsewhere")
    assert link.readlink() == Path("/elsewhere")


async def test_driver_may_close_and_open_the_port_at_will(modem: Emulator) -> None:
    """A closed port is no power cut: settings stay, and the modem goes on."""
    async with modem:
        async with Port(modem.port) as port:
            await port.ask("AT+CMEE=1")
        for _ in range(3):
            async with Port(modem.port) as port:
                assert await port.ask("AT+CMEE?") == ["+CMEE: 1", "OK"]


async def test_answers_in_small_pieces_are_the_same_answers(modem: Emulator) -> None:
    """The chunk knob cuts writes, to show that a driver joins what belongs together."""
    modem.knobs.chunk = 1
    async with modem, Port(modem.port) as port:
        assert await port.ask("AT+CGMI") == ["huawei", "OK"]


async def test_modem_to_which_nobody_listens_keeps_going(modem: Emulator) -> None:
    """What no driver reads is lost after a while, and the modem answers the next one that comes."""
    async with modem:
        for _ in range(3000):
            modem.say("^RSSI: 18" + " " * 100)
        async with Port(modem.port) as port:
            assert (await port.ask("AT"))[-1] == "OK"


async def test_unplugged_modem_says_nothing(modem: Emulator) -> None:
    """What happens to a modem without a cable goes nowhere."""
    async with modem:
        modem.unplug()
        modem.say("^RSSI: 1")
        modem.receive_sms("+628111", "one")
        assert not modem.sim.messages
        modem.replug()
        assert len(modem.sim.messages) == 1
    assert modem.port == ""
