"""The driver against the emulated modem: every way a message can go wrong, and healing from all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from otp.pi import settings
from otp.pi.emulator import Emulator, Knobs
from otp.pi.modems.dialogue import NoReferenceError
from otp.pi.modems.identity import Finder
from otp.pi.modems.modem import Modem
from otp.pi.modems.news import LateReference, News
from otp.pi.modems.pdu import Submit
from otp.pi.modems.status import ModemState, NotSentError, OutcomeUnknownError

SUBMIT = Submit("0031000C912618214365870000AA05C8329BFD06", 19)
SMS = settings.Sms(
    at_timeout=0.3,
    prompt_timeout=0.3,
    result_timeout=0.5,
    ussd_timeout=1.0,
    health_interval=0.5,
    reopen_longest=0.1,
)


class Bench:
    """A modem in software, and the driver of it."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.emulator = Emulator(link=link, knobs=Knobs(reports=False))
        self.news: list[News] = []
        self.changed = asyncio.Event()
        self.modem: Modem
        self.task: asyncio.Task[None] | None = None
        self.finder = Finder(at_timeout=SMS.at_timeout, candidates=lambda: [str(link)])

    async def take(self, news: News) -> None:
        self.news.append(news)
        self.changed.set()

    def start(self, **changes: Any) -> Modem:
        given = {"name": "one", "port": str(self.link)} | changes
        self.modem = Modem(settings.Modem(**given), SMS, news=self.take, finder=self.finder)
        self.modem.on_change = self.changed.set
        self.task = asyncio.create_task(self.modem.run())
        return self.modem

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    async def poll(self, true: Callable[[], object]) -> None:
        """Wait for what the emulator tells by no event."""
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - there is nothing to wait on
                await asyncio.sleep(0.005)

    async def state(self, state: ModemState) -> None:
        await self.until(lambda: self.modem.status.state is state)

    async def ready(self, **changes: Any) -> Modem:
        modem = self.start(**changes)
        await self.state(ModemState.READY)
        return modem

    async def submit(self, token: object = "token") -> int:
        async def before() -> None:
            pass

        return await self.modem.submit(SUBMIT, token=token, before_body=before)

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait((self.task,))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path / "modem")
    async with bench.emulator:
        yield bench
        await bench.stop()


async def test_modem_healthy_sends(bench: Bench) -> None:
    """A healthy modem is ready, says who it is, and sends."""
    modem = await bench.ready(imei="860000000000017", imsi="510101234567890")
    assert (modem.status.imei, modem.status.imsi, modem.status.iccid) == (
        "860000000000017",
        "510101234567890",
        "8962100012345678905",
    )
    assert (modem.status.manufacturer, modem.status.model, modem.status.operator) == ("huawei", "E173", "TELKOMSEL")
    assert (modem.status.signal, modem.status.rssi_dbm, modem.status.registered) == (18, -77, True)
    assert await bench.submit() == bench.emulator.parts[-1].number
    assert (await bench.emulator.wait_for(1))[0].text == "Hello"


async def test_modem_sends_one_after_another(bench: Bench) -> None:
    """Messages handed over at once are sent one at a time, each with a reference of its own."""
    await bench.ready()
    references = await asyncio.gather(*(bench.submit() for _ in range(5)))
    assert len(set(references)) == 5
    assert len(bench.emulator.parts) == 5


async def test_modem_noise_in_the_middle_of_everything(bench: Bench) -> None:
    """Unsolicited lines before prompts, results and OKs, in pieces of three octets, do no harm."""
    bench.emulator.knobs.noise = (
        "^RSSI:20",
        "^BOOT:12345678,0,0,0,77",
        '+CMTI: "SM",9',
        "+CREG: 1",
        "RING",
        "+CMGS: x",
    )
    bench.emulator.knobs.chunk = 3
    await bench.ready()
    for _ in range(3):
        assert await bench.submit() == bench.emulator.parts[-1].number


# -- the failure table


@pytest.mark.parametrize("knob", [{"no_prompt": True}, {"silent_at": "prompt"}])
async def test_modem_without_a_prompt_has_not_sent(bench: Bench, knob: dict[str, Any]) -> None:
    """No prompt: nothing was sent; the modem heals by itself and sends the next one."""
    await bench.ready()
    for name, value in knob.items():
        setattr(bench.emulator.knobs, name, value)
    with pytest.raises(NotSentError, match="no_prompt"):
        await bench.submit()
    bench.emulator.knobs.no_prompt = False
    bench.emulator.knobs.silent_at = ""
    await bench.state(ModemState.READY)
    assert await bench.submit() == bench.emulator.parts[-1].number
    assert len(bench.emulator.parts) == 1


@pytest.mark.parametrize("place", ["prompt", "body"])
async def test_modem_refused_by_number_has_not_sent(bench: Bench, place: str) -> None:
    """An error of the network, before or after the body, carries its number and its kind."""
    await bench.ready()
    bench.emulator.knobs.cms, bench.emulator.knobs.cms_times = 38, 1
    bench.emulator.knobs.cms_at = "prompt" if place == "prompt" else "body"
    with pytest.raises(NotSentError) as caught:
        await bench.submit()
    assert (caught.value.reason, caught.value.cms, caught.value.kind) == ("cms_38", 38, "network")
    await bench.submit()
    assert len(bench.emulator.parts) == 1


async def test_modem_plain_error_has_not_sent(bench: Bench) -> None:
    """An error without a number has no kind."""
    await bench.ready()
    bench.emulator.knobs.cms_times = 1
    with pytest.raises(NotSentError) as caught:
        await bench.submit()
    assert (caught.value.reason, caught.value.cms, caught.value.kind) == ("error", None, None)


async def test_modem_error_332_after_the_body_is_unknown(bench: Bench) -> None:
    """The network's own time-out says nothing of whether it took the message; before the body nothing was sent."""
    await bench.ready()
    bench.emulator.knobs.cms, bench.emulator.knobs.cms_times = 332, 2
    with pytest.raises(OutcomeUnknownError) as caught:
        await bench.submit()
    assert caught.value.reason == "cms_332"
    bench.emulator.knobs.cms_at = "prompt"
    with pytest.raises(NotSentError):
        await bench.submit()


async def test_modem_silent_after_the_body_is_unknown(bench: Bench) -> None:
    """Silence after the body: unknown; nothing goes out until it has answered again."""
    await bench.ready()
    bench.emulator.knobs.silent_at = "body"
    with pytest.raises(OutcomeUnknownError) as caught:
        await bench.submit()
    assert caught.value.reason == "timeout"
    with pytest.raises(NotSentError, match="not_ready"):
        await bench.submit()
    bench.emulator.knobs.silent_at = ""
    await bench.state(ModemState.READY)
    assert await bench.submit() == bench.emulator.parts[-1].number


async def test_modem_late_reference_belongs_to_its_own_message(bench: Bench) -> None:
    """A reference after the time-out comes as news for its token, and is not the next message's."""
    await bench.ready()
    bench.emulator.knobs.late_result = SMS.result_timeout + 0.1
    with pytest.raises(OutcomeUnknownError):
        await bench.submit("first")
    bench.emulator.knobs.late_result = 0.0
    await bench.state(ModemState.READY)
    second = await bench.submit("second")
    first, last = (part.number for part in bench.emulator.parts)
    assert bench.news == [LateReference(modem="one", token="first", reference=first)]
    assert second == last


async def test_modem_reference_that_never_comes_does_not_keep_it_for_ever(bench: Bench) -> None:
    """A modem that goes on without ever giving its answer sends again after a while."""
    await bench.ready()
    bench.emulator.knobs.late_result = float("inf")
    with pytest.raises(OutcomeUnknownError):
        await bench.submit()
    bench.emulator.knobs.late_result = 0.0
    await bench.state(ModemState.READY)
    assert await bench.submit() == bench.emulator.parts[-1].number
    assert bench.news == []


@pytest.mark.parametrize("place", ["command", "prompt"])
async def test_modem_unplugged_before_the_body_has_not_sent(bench: Bench, place: str) -> None:
    """Unplugged before the body: not sent; it is back as soon as it is plugged in."""
    await bench.ready()
    bench.emulator.knobs.replug_after = 0.05
    bench.emulator.knobs.drop_at = "command" if place == "command" else "prompt"
    # After the prompt the body may be on its way before the end of the cable is seen.
    with pytest.raises(NotSentError if place == "command" else (NotSentError, OutcomeUnknownError), match="unplugged"):
        await bench.submit()
    assert bench.emulator.parts == []
    await bench.state(ModemState.READY)
    await bench.submit()
    assert len(bench.emulator.parts) == 1


async def test_modem_unplugged_after_the_body_is_unknown(bench: Bench) -> None:
    """Unplugged when the body was out: unknown; it heals when it is back."""
    await bench.ready()
    bench.emulator.knobs.replug_after = 0.05
    bench.emulator.knobs.drop_at = "body"
    with pytest.raises(OutcomeUnknownError, match="unplugged"):
        await bench.submit()
    await bench.state(ModemState.ABSENT)
    await bench.state(ModemState.READY)
    await bench.submit()


async def test_modem_unplugged_at_the_result_is_never_called_not_sent(bench: Bench) -> None:
    """When it goes with the result, the reference is there or the outcome is unknown."""
    await bench.ready()
    bench.emulator.knobs.drop_at = "result"
    try:
        assert await bench.submit() == bench.emulator.parts[-1].number
    except OutcomeUnknownError as error:
        assert error.reason == "unplugged"  # noqa: PT017 - both ends are right


async def test_modem_replugged_on_another_port_heals(bench: Bench) -> None:
    """The link leads elsewhere after replugging, and is followed anew."""
    modem = await bench.ready()
    bench.emulator.unplug()
    await bench.state(ModemState.ABSENT)
    assert modem.status.signal is None
    with pytest.raises(NotSentError, match="not_ready"):
        await bench.submit()
    bench.emulator.replug()
    await bench.state(ModemState.READY)
    await bench.submit()


async def test_modem_that_hangs_is_opened_anew(bench: Bench) -> None:
    """A modem that answers nothing any more is given up, and is back when it answers."""
    await bench.ready()
    bench.emulator.knobs.silent_at = "idle"
    await bench.state(ModemState.ABSENT)
    assert "does not answer" in bench.modem.status.detail
    bench.emulator.knobs.silent_at = ""
    await bench.state(ModemState.READY)


async def test_modem_without_a_network_is_not_ready(bench: Bench) -> None:
    """Not registered: it says so, takes nothing, and notices when the network is back."""
    bench.emulator.knobs.registered = False
    bench.start()
    await bench.state(ModemState.NOT_REGISTERED)
    with pytest.raises(NotSentError, match="not_ready"):
        await bench.submit()
    bench.emulator.set_registered(True, roaming=True)
    await bench.state(ModemState.READY)


async def test_modem_notices_that_the_network_is_gone(bench: Bench) -> None:
    """The next look at its health finds the network gone."""
    await bench.ready()
    bench.emulator.knobs.registered = False
    await bench.state(ModemState.NOT_REGISTERED)


async def test_modem_answering_ok_alone_after_the_body_is_unknown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OK without a reference proves nothing, and the reason says so."""
    modem = await bench.ready()

    async def no_reference(*args: object, **kwargs: object) -> int:
        raise NoReferenceError

    assert modem._dialogue is not None
    monkeypatch.setattr(modem._dialogue, "submit", no_reference)
    with pytest.raises(OutcomeUnknownError, match="no_reference"):
        await bench.submit()


# -- SIM card and PIN


async def test_modem_without_a_sim_card(bench: Bench) -> None:
    """No card: it says so, and goes on when there is one."""
    bench.emulator.knobs.sim = False
    bench.start()
    await bench.state(ModemState.SIM_MISSING)
    bench.emulator.knobs.sim = True
    await bench.state(ModemState.READY)


async def test_modem_enters_its_pin(bench: Bench) -> None:
    """With the right PIN the card opens, also after replugging."""
    bench.emulator.knobs.pin = "1234"
    bench.emulator.unplug()
    bench.emulator.replug()
    await bench.ready(pin="1234")
    bench.emulator.unplug()
    await bench.state(ModemState.ABSENT)
    bench.emulator.replug()
    await bench.state(ModemState.READY)


async def test_modem_wants_a_pin_that_is_not_given(bench: Bench) -> None:
    """No PIN in the settings: it waits and says so."""
    bench.emulator.knobs.pin = "1234"
    bench.start()
    await bench.state(ModemState.PIN_NEEDED)
    assert not any(command.startswith("AT+CPIN=") for command in bench.emulator.commands)


async def test_modem_tries_a_wrong_pin_once(bench: Bench) -> None:
    """A wrong PIN is tried once and never again, not even after replugging: three wrong ones lock the card."""
    bench.emulator.knobs.pin = "1234"
    bench.start(pin="9999")
    await bench.state(ModemState.PIN_WRONG)
    bench.emulator.unplug()
    await bench.state(ModemState.ABSENT)
    bench.emulator.replug()
    await bench.state(ModemState.PIN_WRONG)
    assert [command for command in bench.emulator.commands if command.startswith("AT+CPIN=")] == ['AT+CPIN="9999"']


async def test_modem_does_not_risk_the_last_try(bench: Bench) -> None:
    """When one try is left, it is left to a human."""
    bench.emulator.knobs.pin, bench.emulator.sim.tries = "1234", 1
    bench.emulator.unplug()
    bench.emulator.replug()
    bench.start(pin="1234")
    await bench.state(ModemState.PIN_WRONG)
    assert not any(command.startswith("AT+CPIN=") for command in bench.emulator.commands)


async def test_modem_pin_that_is_none_is_not_tried(bench: Bench) -> None:
    """What is no PIN never reaches the modem."""
    bench.emulator.knobs.pin = "1234"
    bench.start(pin='1234";+CMGD=1')
    await bench.state(ModemState.PIN_WRONG)
    assert not any(command.startswith("AT+CPIN=") for command in bench.emulator.commands)


# -- which port, which modem


async def test_modem_is_found_by_its_numbers(bench: Bench) -> None:
    """Without a port the one that answers with the IMEI and IMSI is used."""
    await bench.ready(port="", imei="86000000000001", imsi="510101234567890")
    assert bench.modem.status.port == str(bench.link)


@pytest.mark.parametrize("wrong", [{"imei": "111111111111111"}, {"imsi": "222222222222222"}])
async def test_modem_with_other_numbers_is_refused(bench: Bench, wrong: dict[str, str]) -> None:
    """A port on which somebody else answers is not used, and the reason is said."""
    bench.start(**wrong)
    await bench.until(lambda: "is not the modem with this" in bench.modem.status.detail)
    assert bench.modem.status.state is ModemState.ABSENT


async def test_modem_switched_off_leaves_its_port_alone(bench: Bench) -> None:
    """Active = false: the port is never opened."""
    bench.start(active=False)
    assert bench.task is not None
    await bench.task
    assert bench.modem.status.state is ModemState.STOPPED
    assert not bench.emulator.commands


async def test_modem_stops_when_cancelled(bench: Bench) -> None:
    """Cancelled, it closes its port and says that it stopped."""
    await bench.ready()
    await bench.stop()
    assert bench.modem.status.state is ModemState.STOPPED
    with bench.finder.hold(str(bench.link)):
        pass


async def test_two_modems_on_one_port_are_told_apart(bench: Bench) -> None:
    """A port belongs to one modem; the other says so."""
    await bench.ready()
    other = Modem(settings.Modem(name="two", port=str(bench.link)), SMS, news=bench.take, finder=bench.finder)
    other.on_change = bench.changed.set
    task = asyncio.create_task(other.run())
    await bench.until(lambda: "belongs to another modem" in other.status.detail)
    task.cancel()
    await asyncio.wait((task,))


# -- who hands over


async def test_modem_whose_caller_fails_sends_nothing(bench: Bench) -> None:
    """What the caller raises before the body comes back to it, and the modem is ready for the next."""
    modem = await bench.ready()

    async def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await modem.submit(SUBMIT, token=1, before_body=fail)
    assert bench.emulator.bodies == 0
    await bench.submit()


async def test_modem_refuses_what_is_no_pdu(bench: Bench) -> None:
    """Only hexadecimal digits reach the wire as a body."""
    modem = await bench.ready()

    async def before() -> None:
        raise AssertionError

    with pytest.raises(NotSentError, match="no_pdu"):
        await modem.submit(Submit("0011\x1aAT+CMGD=0,4\r", 19), token=1, before_body=before)


async def test_modem_cancelled_after_the_body_keeps_its_token(bench: Bench) -> None:
    """Who gives up waiting after the body still gets the late reference as news."""
    await bench.ready()
    bench.emulator.knobs.delay = 0.3
    sending = asyncio.create_task(bench.submit("given up"))
    await bench.poll(lambda: bench.emulator.bodies)
    sending.cancel()
    await asyncio.wait((sending,))
    await bench.until(lambda: bench.news)
    assert bench.news == [LateReference(modem="one", token="given up", reference=bench.emulator.parts[-1].number)]


async def test_modem_cancelled_before_the_body_sends_nothing(bench: Bench) -> None:
    """Who gives up before the body has sent nothing."""
    modem = await bench.ready()
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(modem.submit(SUBMIT, token=1, before_body=wait))
    await waiting.wait()
    sending.cancel()
    await asyncio.wait((sending,))
    await bench.submit()
    assert len(bench.emulator.parts) == 1


async def test_modem_whose_news_are_not_taken_goes_on(bench: Bench) -> None:
    """A late reference that nobody could take does not end the modem."""
    await bench.ready()

    async def fail(news: News) -> None:
        bench.news.append(news)
        raise OSError

    bench.modem._news = fail
    bench.emulator.knobs.late_result = SMS.result_timeout + 0.1
    with pytest.raises(OutcomeUnknownError):
        await bench.submit()
    await bench.state(ModemState.READY)
    assert len(bench.news) == 1


async def test_modem_that_refuses_to_be_set_up_says_so(bench: Bench) -> None:
    """A modem without PDU mode is of no use, and says which error it gave."""
    bench.emulator.knobs.unsupported = frozenset({"+CMGF"})
    bench.start()
    await bench.until(lambda: "refused to be set up" in bench.modem.status.detail)


async def test_modem_that_restarts_unseen_is_set_up_again(bench: Bench) -> None:
    """A modem that says it has just started is greeted again."""
    bench.emulator.knobs.maker = "quectel"
    await bench.ready()
    heard = list(bench.emulator.commands).count("AT+CMEE=1")
    bench.emulator.say("RDY")
    await bench.poll(lambda: list(bench.emulator.commands).count("AT+CMEE=1") > heard)
    await bench.state(ModemState.READY)


async def test_modem_trouble_that_nobody_foresaw_is_survived(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a modem's task stumbles over, it starts anew."""

    async def fail(modem: settings.Modem) -> str:
        raise RuntimeError

    monkeypatch.setattr(bench.finder, "find", fail)
    bench.start()
    await bench.until(lambda: "the log says where" in bench.modem.status.detail)
    monkeypatch.undo()
    await bench.state(ModemState.READY)
