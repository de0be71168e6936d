"""The emulated modem, through its port, when it misbehaves: every row of a driver's table of failures."""

import math
from pathlib import Path

import pytest

from otp.pi.emulator import Emulator, Knobs
from tests.pi.emulated import Port, become_true, hello, part


def quiet(**knobs: object) -> Emulator:
    """Return a modem without echo and greeting."""
    return Emulator(knobs=Knobs(echo=False, boot=False, **knobs))  # type: ignore[arg-type]


async def prompted(port: Port) -> None:
    """Bring the modem to its prompt for hello."""
    port.write(f"AT+CMGS={hello()[1]}\r")
    await port.until(b"\r\n> ")


# -- before the prompt: not sent


async def test_modem_without_a_prompt_waits_for_the_body() -> None:
    """A driver that does not send ESC first has its next command taken for the body; after ESC all is well."""
    async with quiet(no_prompt=True) as modem, Port(modem.port) as port:
        port.write("AT+CMGS=20\r")
        port.write("AT\r\x1b")
        assert await port.until(b"OK\r\n") == "\r\nOK\r\n"
        assert await port.ask("AT") == ["OK"]
        assert not modem.parts


@pytest.mark.parametrize(("code", "final"), [(0, "ERROR"), (38, "+CMS ERROR: 38")])
async def test_modem_refuses_instead_of_the_prompt(code: int, final: str) -> None:
    """An error before the prompt comes as often as the knob says, then messages go through."""
    async with quiet(cms=code, cms_times=1, cms_at="prompt") as modem, Port(modem.port) as port:
        assert await port.ask("AT+CMGS=20") == [final]
        assert await port.send(*hello()) == ["+CMGS: 0", "OK"]


async def test_modem_goes_deaf_at_the_prompt() -> None:
    """Nothing more is heard of it, ESC included, until the knob is turned back."""
    async with quiet(silent_at="prompt") as modem, Port(modem.port) as port:
        port.write("AT+CMGS=20\r")
        port.write("\x1bAT\r")
        await become_true(lambda: modem.commands)
        modem.receive_sms("+628111", "one")
        modem.knobs.silent_at = ""
        port.write("\r")
        assert await port.ask("AT") == ["OK"]
    assert list(modem.commands) == ["AT+CMGS=20", "AT"]


async def test_modem_that_is_silent_says_nothing_at_all() -> None:
    """Not even echo comes from a modem that hangs; replugging with the knob turned back heals it."""
    async with Emulator(knobs=Knobs(boot=False, silent_at="idle")) as modem:
        async with Port(modem.port) as port:
            port.write("AT\r")
            modem.say("^MARK")
            assert await port.until(b"^MARK\r\n") == "\r\n^MARK\r\n"
            modem.unplug()
            assert await port.hung_up() == ""
        modem.knobs.silent_at = ""
        modem.replug()
        async with Port(modem.port) as port:
            assert (await port.ask("AT"))[-1] == "OK"


@pytest.mark.parametrize(("at", "heard"), [("command", ""), ("prompt", "\r\n> ")])
async def test_modem_is_unplugged_around_the_prompt(at: str, heard: str) -> None:
    """The driver reads the end of the port, before the prompt or right after it, and nothing was sent."""
    async with quiet(drop_at=at) as modem, Port(modem.port) as port:
        port.write("AT+CMGS=20\r")
        # A terminal throws away what was not read when its other end is closed.
        assert await port.hung_up() in {heard, ""}
        assert not modem.parts
        assert modem.knobs.drop_at == ""


async def test_modem_is_unplugged_in_the_middle_of_the_body() -> None:
    """Half of a body never reaches the network."""
    pdu, length = hello()
    async with quiet(drop_at="half_body") as modem, Port(modem.port) as port:
        await prompted(port)
        port.write(pdu[: length + 1])
        await port.hung_up()
        assert not modem.parts
        assert modem.bodies == 0


# -- after the body: an error


async def test_network_refuses_as_often_as_asked() -> None:
    """+CMS ERROR comes for the next messages, counted; a negative count is for ever."""
    async with quiet(cms=21, cms_times=2) as modem, Port(modem.port) as port:
        answers = [await port.send(*hello()) for _ in range(3)]
        assert answers == [["+CMS ERROR: 21"], ["+CMS ERROR: 21"], ["+CMGS: 0", "OK"]]
        modem.knobs.cms_times = -1
        assert [await port.send(*hello()) for _ in range(3)] == [["+CMS ERROR: 21"]] * 3


async def test_one_part_of_a_long_message_fails() -> None:
    """Part 2 is refused once; sent again it completes the message, and no part is there twice."""
    async with quiet(cms=42, cms_times=1, cms_part=2) as modem, Port(modem.port) as port:
        answers = [await port.send(*part(index, 3)) for index in (1, 2, 3, 2)]
        assert answers[1] == ["+CMS ERROR: 42"]
        assert [single.index for single in modem.parts] == [1, 3, 2]
        assert [whole.parts for whole in modem.arrived] == [3]


async def test_message_of_an_unregistered_modem_is_refused() -> None:
    """Without a network a message is refused with 331, and the operator is not named."""
    async with quiet(registered=False) as modem, Port(modem.port) as port:
        assert await port.ask("AT+CREG?") == ["+CREG: 0,2", "OK"]
        assert await port.ask("AT+COPS?") == ["+COPS: 0", "OK"]
        assert await port.send(*hello()) == ["+CMS ERROR: 331"]
        await port.ask("AT+CREG=1")
        modem.set_registered(True, roaming=True)
        assert await port.until(b"5\r\n") == "\r\n+CREG: 5\r\n"
        assert await port.send(*hello()) == ["+CMGS: 0", "OK"]
        await port.ask("AT+CREG=0")
        modem.set_registered(True)
        assert await port.ask("AT+CREG?") == ["+CREG: 0,1", "OK"]


async def test_message_without_a_service_centre_is_refused() -> None:
    """A card without a centre refuses with 330, unless the message names one."""
    pdu, length = hello()
    async with quiet() as modem, Port(modem.port) as port:
        modem.sim.smsc = ""
        assert await port.send(pdu, length) == ["+CMS ERROR: 330"]
        assert await port.send("069126180100" + "00" + pdu[2:], length) == ["+CMGS: 0", "OK"]


# -- after the body: silence


@pytest.mark.parametrize("lost", [False, True])
async def test_modem_goes_deaf_after_the_body(lost: bool) -> None:
    """Nobody can tell whether the message went out: the knob says which it was."""
    async with quiet(silent_at="body", lost=lost) as modem, Port(modem.port) as port:
        await prompted(port)
        port.write(hello()[0] + "\x1aAT\r")
        await become_true(lambda: modem.bodies)
        assert len(modem.arrived) == (not lost)
        modem.unplug()
        assert await port.hung_up() == ""


@pytest.mark.parametrize("lost", [False, True])
async def test_modem_is_unplugged_after_the_body(lost: bool) -> None:
    """The port ends between Ctrl-Z and the result; the knob says whether the message went out."""
    async with quiet(drop_at="body", lost=lost) as modem, Port(modem.port) as port:
        await prompted(port)
        port.write(hello()[0] + "\x1a")
        await port.hung_up()
        assert len(modem.arrived) == (not lost)


async def test_modem_is_unplugged_between_result_and_ok_and_comes_back(tmp_path: Path) -> None:
    """It is back under the same link after the time that the knob says, and healthy."""
    knobs = Knobs(echo=False, boot=False, drop_at="result", replug_after=0.01)
    async with Emulator(knobs=knobs, link=tmp_path / "modem") as modem:
        async with Port(modem.port) as port:
            await prompted(port)
            port.write(hello()[0] + "\x1a")
            await port.hung_up()
        await become_true((tmp_path / "modem").is_symlink)
        async with Port(modem.port) as port:
            assert await port.send(*hello()) == ["+CMGS: 1", "OK"]
    assert len(modem.arrived) == 2


async def test_result_comes_late_in_the_middle_of_something_else() -> None:
    """The modem answers other commands meanwhile, then +CMGS of the message comes of its own."""
    async with quiet(late_result=0.05) as modem, Port(modem.port) as port:
        await prompted(port)
        port.write(hello()[0] + "\x1a")
        assert await port.ask("AT") == ["OK"]
        assert await port.until(b"OK\r\n") == "\r\n+CMGS: 0\r\n\r\nOK\r\n"


async def test_result_never_comes() -> None:
    """An infinite delay of the result leaves a modem that works and a message of unknown fate."""
    async with quiet(late_result=math.inf) as modem, Port(modem.port) as port:
        await prompted(port)
        port.write(hello()[0] + "\x1a")
        assert await port.ask("AT") == ["OK"]
        assert len(modem.arrived) == 1


async def test_network_that_takes_its_time_keeps_the_modem_busy() -> None:
    """Commands that come meanwhile wait, and so does what the modem has to say of its own accord."""
    async with quiet(delay=0.05) as modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,0,0")
        await prompted(port)
        port.write(hello()[0] + "\x1aAT+CGMI\r")
        await become_true(lambda: modem.bodies)
        assert not modem.parts
        modem.receive_sms("+628111", "one")
        answer = await port.until(b"huawei\r\n\r\nOK\r\n")
    assert answer == '\r\n+CMGS: 0\r\n\r\nOK\r\n\r\n+CMTI: "SM",1\r\n\r\nhuawei\r\n\r\nOK\r\n'


async def test_unplugged_modem_sends_nothing_late() -> None:
    """What the network had not taken yet is gone with the power."""
    async with quiet(delay=0.02) as modem, Port(modem.port) as port:
        await prompted(port)
        port.write(hello()[0] + "\x1a")
        await become_true(lambda: modem.bodies)
        modem.unplug()
        modem.knobs.delay = 0
        modem.replug()
        async with Port(modem.port) as again:
            assert await again.send(*hello()) == ["+CMGS: 0", "OK"]
    assert len(modem.parts) == 1


# -- noise


async def test_noise_comes_in_the_middle() -> None:
    """Lines of the modem's own stand before the prompt, before the final result, and between +CMGS and OK."""
    pdu, length = hello()
    async with quiet(noise=("^RSSI:18", '+CMTI: "SM",7')) as modem, Port(modem.port) as port:
        noise = '\r\n^RSSI:18\r\n\r\n+CMTI: "SM",7\r\n'
        port.write(f"AT+CMGS={length}\r")
        assert await port.until(b"> ") == f"{noise}\r\n> "
        port.write(pdu + "\x1a")
        assert await port.until(b"OK\r\n") == f"\r\n+CMGS: 0\r\n{noise}\r\nOK\r\n"


async def test_message_that_comes_in_while_a_body_is_taken_is_told_afterwards() -> None:
    """A prompt is not disturbed by an incoming message."""
    pdu, length = hello()
    async with quiet() as modem, Port(modem.port) as port:
        await port.ask("AT+CNMI=2,1,0,0,0")
        port.write(f"AT+CMGS={length}\r")
        await port.until(b"> ")
        modem.receive_sms("+628111", "one")
        port.write(pdu + "\x1a")
        assert await port.until(b"1\r\n") == '\r\n+CMGS: 0\r\n\r\nOK\r\n\r\n+CMTI: "SM",1\r\n'


async def test_command_that_a_modem_does_not_know_is_an_error() -> None:
    """Any command can be taken away from a modem."""
    async with quiet(unsupported={"+CNMI"}) as modem, Port(modem.port) as port:
        assert await port.ask("AT+CNMI=2,1,0,1,0") == ["ERROR"]


# -- the card


async def test_card_asks_for_its_pin() -> None:
    """Before the PIN nothing that needs the card works; afterwards all does, until the power was off."""
    async with quiet(pin="1234") as modem:
        async with Port(modem.port) as port:
            await port.ask("AT+CMEE=1;+CREG=1;+CSMS=0")
            assert await port.ask("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
            assert await port.ask("AT+CREG?") == ["+CREG: 1,2", "OK"]
            assert await port.ask("AT+CIMI") == ["+CME ERROR: 11"]
            assert await port.ask("AT+CMGS=20") == ["+CMS ERROR: 311"]
            port.write('AT+CPIN="1234"\r')
            assert await port.until(b"1\r\n") == "\r\nOK\r\n\r\n+CREG: 1\r\n"
            assert await port.ask('AT+CPIN="1234"') == ["+CME ERROR: 3"]
            assert await port.send(*hello()) == ["+CMGS: 0", "OK"]
            modem.unplug()
        modem.replug()
        async with Port(modem.port) as port:
            assert await port.ask("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
            assert await port.ask("AT+CPIN=1234") == ["OK"]


async def test_card_counts_wrong_pins_and_then_wants_its_puk() -> None:
    """Three wrong PINs, over replugging too, lock the card; the PUK sets a new PIN."""
    async with quiet(pin="1234", puk="87654321") as modem:
        async with Port(modem.port) as port:
            await port.ask("AT+CMEE=1")
            assert await port.ask('AT+CPIN="0000"') == ["+CME ERROR: 16"]
            assert await port.ask('AT+CPIN="0001"') == ["+CME ERROR: 16"]
            modem.unplug()
        modem.replug()
        async with Port(modem.port) as port:
            await port.ask("AT+CMEE=2")
            assert await port.ask('AT+CPIN="0002"') == ["+CME ERROR: SIM PUK required"]
            await port.ask("AT+CMEE=1")
            assert await port.ask("AT+CPIN?") == ["+CPIN: SIM PUK", "OK"]
            assert await port.ask("AT^CPIN?") == ["^CPIN: SIM PUK,10,0,10,3", "OK"]
            assert await port.ask('AT+CPIN="1234"') == ["+CME ERROR: 12"]
            assert await port.ask("AT+CMGL=4") == ["+CMS ERROR: 316"]
            assert await port.ask('AT+CPIN="00000000","4321"') == ["+CME ERROR: 16"]
            assert modem.sim.puk_tries == 9
            assert await port.ask('AT+CPIN="87654321","4321"') == ["OK"]
            assert await port.ask("AT+CPIN?") == ["+CPIN: READY", "OK"]
            assert modem.sim.tries == 3
            assert modem.knobs.pin == "4321"


async def test_card_whose_puk_was_wrong_too_often_is_dead() -> None:
    """After ten wrong PUKs the right one does not help either."""
    async with quiet(pin="1234", pin_tries=0) as modem, Port(modem.port) as port:
        for _ in range(10):
            await port.ask('AT+CPIN="00000000","4321"')
        assert await port.ask('AT+CPIN="12345678","4321"') == ["ERROR"]
        assert modem.sim.state == "SIM PUK"


async def test_modem_without_a_card_says_so() -> None:
    """A missing card has its own numbers, for both kinds of commands."""
    async with quiet(sim=False) as modem, Port(modem.port) as port:
        await port.ask("AT+CMEE=1")
        assert await port.ask("AT+CPIN?") == ["+CME ERROR: 10"]
        assert await port.ask("AT+CIMI") == ["+CME ERROR: 10"]
        assert await port.ask("AT+CMGL=4") == ["+CMS ERROR: 310"]
        assert await port.ask('AT+CPIN="1234"') == ["+CME ERROR: 10"]


async def test_acknowledgement_in_time_keeps_reports_on() -> None:
    """When the time for +CNMA is over, what was acknowledged changes nothing."""
    async with quiet(acknowledge_within=0.02, ussd_delay=0.02) as modem, Port(modem.port) as port:
        await port.ask("AT+CSMS=1;+CNMI=2,1,0,1,0")
        await port.send(*hello(first=0x31))
        await port.until(b"\r\n+CDS: 26\r\n")
        await port.until(b"00\r\n")
        assert await port.ask("AT+CNMA") == ["OK"]
        await port.ask('AT+CUSD=1,"*1#",15')
        await port.until(b"+CUSD: 4\r\n")  # set after the time for +CNMA, and as long, so it comes after it
        assert await port.ask("AT+CNMI?") == ["+CNMI: 2,1,0,1,0", "OK"]


async def test_ussd_answer_never_comes() -> None:
    """A network may take a code and stay silent."""
    async with quiet(ussd_delay=math.inf) as modem, Port(modem.port) as port:
        assert await port.ask('AT+CUSD=1,"*123#",15') == ["OK"]
        assert await port.ask("AT") == ["OK"]
