"""USSD answers are read in the coding they come in, and nothing but a code is sent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from otp.pi import settings
from otp.pi.emulator import Emulator, Knobs, Ussd
from otp.pi.modems import ussd
from otp.pi.modems.identity import Finder
from otp.pi.modems.modem import Modem
from otp.pi.modems.news import News
from otp.pi.modems.status import ModemState, NotSentError

SMS = settings.Sms(at_timeout=0.3, ussd_timeout=0.5, health_interval=0.5, reopen_longest=0.1)


@pytest.mark.parametrize(
    ("text", "dcs", "expected"),
    [
        ("Balance: 5,000", 15, "Balance: 5,000"),
        ("1234", 15, "1234"),
        ("12345678", 0, "12345678"),
        ("DEADBEEF01", 15, "DEADBEEF01"),
        ("AA180C3602", 15, "*100#"),
        ("C8329BFD06", None, "Hello"),
        ("00480069", 72, "Hi"),
        ("0048006", 72, "0048006"),
        ("1234", 72, "\u1234"),
        ("656E00480069", 0x11, "Hi"),
        ("00480069", 0x98, "Hi"),
        ("4869", 68, "Hi"),
        ("Hi!", 68, "Hi!"),
        ("4869", 0xF4, "Hi"),
        ("4869", 0xF0, "4869"),
        ("C8329BFD06", 0x40, "Hello"),
    ],
)
def test_ussd_text_in_each_coding(text: str, dcs: int | None, expected: str) -> None:
    """The coding decides, not what a text looks like; digits alone are text."""
    assert ussd.decode(text, dcs) == expected


@pytest.mark.parametrize(("code", "packed"), [("*100#", "AA180C3602"), ("*101#", "AA182C3602")])
def test_ussd_code_packed(code: str, packed: str) -> None:
    """A code is packed seven bits a character."""
    assert ussd.pack(code) == packed


def test_ussd_code_of_seven_characters_is_filled_with_cr() -> None:
    """Seven septets leave seven bits over, which must not read as @."""
    assert ussd.decode(ussd.pack("*123*1#"), 15) in ("*123*1#", ussd.pack("*123*1#"))
    assert int.from_bytes(bytes.fromhex(ussd.pack("*123*1#")), "little") >> 49 == ord("\r")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("+CUSD: 2", "ended"),
        ("+CUSD: 4", "not_supported"),
        ("+CUSD: 5", "network_timeout"),
        ("+CUSD: rubbish", "unreadable"),
    ],
)
def test_ussd_without_an_answer_says_why(line: str, reason: str) -> None:
    """What the network says instead of an answer is the reason."""
    with pytest.raises(NotSentError) as caught:
        ussd.read(line)
    assert caught.value.reason == reason


def test_ussd_answer_that_ends_the_session_is_an_answer() -> None:
    """Mode 2 with a text is that text; only mode 1 may be replied to."""
    answer = ussd.read('+CUSD: 2,"Bye",15')
    assert (answer.text, answer.replyable, answer.dcs, answer.raw) == ("Bye", False, 15, '+CUSD: 2,"Bye",15')
    assert ussd.read('+CUSD: 1,"More?",15').replyable
    assert ussd.read("+CUSD: 0").text == ""


class Bench:
    """An emulated modem that knows some codes, and its driver, ready."""

    def __init__(self, emulator: Emulator, modem: Modem) -> None:
        self.emulator = emulator
        self.modem = modem


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async def take(news: News) -> None:
        raise AssertionError

    link = tmp_path / "modem"
    knobs = Knobs(ussd={"*888#": Ussd("Saldo Rp 5.000\n1 Beli", {"1": Ussd("Terima kasih")}), "*1#": Ussd("1234")})
    async with Emulator(link=link, knobs=knobs) as emulator:
        modem = Modem(settings.Modem(name="one", port=str(link)), SMS, news=take, finder=Finder(at_timeout=0.3))
        changed = asyncio.Event()
        modem.on_change = changed.set
        task = asyncio.create_task(modem.run())
        async with asyncio.timeout(20):
            while modem.status.state is not ModemState.READY:
                changed.clear()
                await changed.wait()
        yield Bench(emulator, modem)
        task.cancel()
        await asyncio.wait((task,))


@pytest.mark.parametrize("kind", ["text", "ucs2", "packed"])
async def test_modem_asks_with_a_code_and_replies(bench: Bench, kind: str) -> None:
    """Each kind of modem gives the same text, and a menu can be replied to."""
    bench.emulator.knobs.ussd_format = kind  # type: ignore[assignment]
    answer = await bench.modem.ussd("*888#")
    assert (answer.text, answer.replyable) == ("Saldo Rp 5.000\n1 Beli", True)
    answer = await bench.modem.ussd("1")
    assert (answer.text, answer.replyable) == ("Terima kasih", False)
    assert (await bench.modem.ussd("*1#")).text == "1234"


async def test_modem_does_not_send_what_is_no_code(bench: Bench) -> None:
    """Nothing but digits, star, hash and plus reaches the modem."""
    for code in ("", '*1#",15;+CMGD=1,4', "*1#\r", "x", "1" * 65):
        with pytest.raises(NotSentError, match="invalid_code"):
            await bench.modem.ussd(code)
    assert not any("CUSD=1" in command for command in bench.emulator.commands)


async def test_modem_gives_up_on_a_network_that_does_not_answer(bench: Bench) -> None:
    """No answer in time: the session is ended, and the next code gets its own answer."""
    bench.emulator.knobs.ussd_delay = float("inf")
    with pytest.raises(NotSentError, match="network_timeout"):
        await bench.modem.ussd("*888#")
    assert "AT+CUSD=2" in bench.emulator.commands
    bench.emulator.say('+CUSD: 0,"too late",15')
    heard = list(bench.emulator.commands).count("AT+CSQ")
    async with asyncio.timeout(10):
        while list(bench.emulator.commands).count("AT+CSQ") == heard:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
    bench.emulator.knobs.ussd_delay = 0.0
    assert (await bench.modem.ussd("*1#")).text == "1234"


async def test_modem_unplugged_while_the_network_thinks(bench: Bench) -> None:
    """A modem that is pulled out gives no answer."""
    bench.emulator.knobs.ussd_delay = float("inf")
    asking = asyncio.create_task(bench.modem.ussd("*888#"))
    async with asyncio.timeout(10):
        while not any("CUSD=1" in command for command in bench.emulator.commands):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
    bench.emulator.unplug()
    with pytest.raises(NotSentError, match="unplugged"):
        await asking
    with pytest.raises(NotSentError, match="not_ready"):
        await bench.modem.ussd("*888#")


async def test_modem_that_knows_no_ussd_says_so(bench: Bench) -> None:
    """The modem's own refusal is the reason."""
    bench.emulator.knobs.unsupported = frozenset({"+CUSD"})
    with pytest.raises(NotSentError) as caught:
        await bench.modem.ussd("*888#")
    assert caught.value.reason in ("error", "cme_100", "cme_4")


async def test_ussd_session_that_cannot_be_ended_is_given_up_all_the_same(bench: Bench) -> None:
    """A modem that goes deaf while the network thinks: the reason is the network's silence."""
    bench.emulator.knobs.ussd_delay = float("inf")
    asking = asyncio.create_task(bench.modem.ussd("*888#"))
    async with asyncio.timeout(10):
        while not any("CUSD=1" in command for command in bench.emulator.commands):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)
    bench.emulator.knobs.silent_at = "idle"
    with pytest.raises(NotSentError, match="network_timeout"):
        await asking
