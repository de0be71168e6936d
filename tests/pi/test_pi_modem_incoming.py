"""What comes in is handed on once, whole, and deleted only after it was taken."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from otp.pi import settings
from otp.pi.emulator import Emulator, Knobs
from otp.pi.modems.identity import Finder
from otp.pi.modems.incoming_sms import INCOMPLETE, MAX_PARTS, Joiner, Ready
from otp.pi.modems.modem import Modem
from otp.pi.modems.news import News, Received, Reported
from otp.pi.modems.pdu import Concat, Deliver, submits
from otp.pi.modems.status import ModemState

SMS = settings.Sms(at_timeout=0.3, prompt_timeout=0.3, result_timeout=0.5, health_interval=0.3, reopen_longest=0.1)
LONG = "The quick brown fox jumps over the lazy dog. " * 8


def part(index: int, total: int = 3, reference: int = 7, sender: str = "+62811") -> Deliver:
    return Deliver(sender, f"<{index}>", 1000.0 + index, Concat(reference, total, index))


def received(text: str, *, at: float, index: int = 0, total: int = 1) -> Received:
    return Received(modem="one", sender="+62811", text=text, sent_at=at, part=index, total=total)


def test_joiner_single_message_goes_on_at_once() -> None:
    """What has no parts is whole; one part of one is whole too."""
    joiner = Joiner("one")
    single = Deliver("+62811", "hi", 5.0)
    assert joiner.add(single, ("SM", 1), 0.0) == Ready((received("hi", at=5.0),), (("SM", 1),))
    assert joiner.add(single, None, 0.0) == Ready((received("hi", at=5.0),), ())
    assert joiner.add(part(1, total=1), None, 0.0) == Ready((received("<1>", at=1001.0),), ())


def test_joiner_parts_in_any_order_become_one() -> None:
    """The last part to come completes the message; all its places go with it, those of repeated parts too."""
    joiner = Joiner("one")
    assert joiner.add(part(3), ("SM", 1), 0.0) is None
    assert joiner.add(part(1), ("SM", 2), 0.0) is None
    assert joiner.add(part(1), ("SM", 5), 0.0) is None
    assert joiner.holds(("SM", 5))
    assert not joiner.holds(("SM", 3))
    done = joiner.add(part(2), ("ME", 3), 0.0)
    assert done == Ready((received("<1><2><3>", at=1001.0, total=3),), (("SM", 1), ("SM", 2), ("SM", 5), ("ME", 3)))
    assert not joiner.holds(("SM", 5))


def test_joiner_parts_of_different_messages_are_kept_apart() -> None:
    """Reference, sender and number of parts tell messages apart."""
    joiner = Joiner("one")
    for other in (part(1, 2), part(2, 2, reference=8), part(2, 2, sender="+62812"), part(2, 3)):
        assert joiner.add(other, None, 0.0) is None


def test_joiner_gives_up_on_missing_parts_after_a_day() -> None:
    """What came goes on part by part, and says which of how many."""
    joiner = Joiner("one")
    joiner.add(part(3), ("SM", 1), 0.0)
    joiner.add(part(1), None, 100.0)
    assert joiner.overdue(INCOMPLETE - 1) == []
    assert joiner.overdue(INCOMPLETE) == [
        Ready(
            (received("<1>", at=1001.0, index=1, total=3), received("<3>", at=1003.0, index=3, total=3)), (("SM", 1),)
        )
    ]
    assert joiner.overdue(INCOMPLETE * 2) == []


def test_joiner_keeps_so_many_parts_and_no_more() -> None:
    """A flood of first parts takes no more memory than the limit; the oldest go on."""
    joiner = Joiner("one")
    for reference in range(MAX_PARTS + 3):
        joiner.add(part(1, reference=reference), None, 0.0)
    assert len(joiner.overdue(0.0)) == 3
    assert joiner.overdue(0.0) == []


class Bench:
    """An emulated modem, its driver, and what the driver told."""

    def __init__(self, emulator: Emulator, link: Path) -> None:
        self.emulator = emulator
        self.link = link
        self.news: list[News] = []
        self.failures = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def take(self, news: News) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("disk full")
        self.news.append(news)
        self.changed.set()

    async def ready(self, **changes: Any) -> Modem:
        given = settings.Modem(**({"name": "one", "port": str(self.link)} | changes))
        modem = Modem(given, SMS, news=self.take, finder=Finder(at_timeout=0.3))
        modem.on_change = self.changed.set
        self.task = asyncio.create_task(modem.run())
        await self.until(lambda: modem.status.state is ModemState.READY)
        return modem

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - what the emulator holds is told by no event
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait((self.task,))

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.news if isinstance(each, Received)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    link = tmp_path / "modem"
    async with Emulator(link=link, knobs=Knobs()) as emulator:
        bench = Bench(emulator, link)
        yield bench
        await bench.stop()


@pytest.mark.parametrize("text", ["hello", "é €[]", "سلام 👋", LONG])
async def test_modem_receives_a_message_and_deletes_it(bench: Bench, text: str) -> None:
    """A message of any length and alphabet comes as one, and its places on the card are free again."""
    await bench.ready()
    bench.emulator.receive_sms("+6281234567890", text, at=1_700_000_000.0)
    await bench.until(lambda: bench.texts)
    assert bench.texts == [text]
    assert isinstance(bench.news[0], Received)
    assert (bench.news[0].sender, bench.news[0].sent_at) == ("+6281234567890", 1_700_000_000.0)
    await bench.until(lambda: not bench.emulator.sim.messages)


async def test_modem_takes_what_was_stored_before_it_started(bench: Bench) -> None:
    """What came while nobody listened is taken at the start; noise in the middle does no harm."""
    bench.emulator.knobs.noise = ("^RSSI:20", '+CMTI: "SM",77', "RING")
    bench.emulator.knobs.chunk = 5
    bench.emulator.receive_sms("+62811", "one")
    bench.emulator.receive_sms("+62811", LONG)
    await bench.ready()
    await bench.until(lambda: len(bench.texts) == 2)
    assert bench.texts == ["one", LONG]
    await bench.until(lambda: not bench.emulator.sim.messages)


async def test_modem_keeps_a_message_on_the_card_until_it_was_taken(bench: Bench) -> None:
    """What could not be stored here stays on the card and comes again."""
    await bench.ready()
    bench.failures = 1
    bench.emulator.receive_sms("+62811", LONG)
    await bench.until(lambda: bench.texts)
    assert (bench.texts, bench.failures) == ([LONG], 0)
    await bench.until(lambda: not bench.emulator.sim.messages)


async def test_modem_reports_delivery(bench: Bench) -> None:
    """A report names the reference that was returned; it is acknowledged, so that the next one comes."""
    modem = await bench.ready()

    async def before() -> None:
        pass

    [submit] = submits("+6281234567890", "hi", reference=1, validity=300, report=True)
    references = [await modem.submit(submit, token=number, before_body=before) for number in range(3)]
    await bench.until(lambda: len(bench.news) == 3)
    reports = [each for each in bench.news if isinstance(each, Reported)]
    assert sorted(each.reference for each in reports) == references
    assert {(each.modem, each.receiver, each.outcome, each.status) for each in reports} == {
        ("one", "+6281234567890", "delivered", 0)
    }
    await bench.until(lambda: bench.emulator.commands.count("AT+CNMA") == 3)


async def test_modem_without_acknowledgement_still_reports(bench: Bench) -> None:
    """A modem that knows no AT+CSMS is sent no AT+CNMA."""
    bench.emulator.knobs.unsupported = frozenset({"+CSMS", "+CNMA"})
    modem = await bench.ready()

    async def before() -> None:
        pass

    [submit] = submits("+6281234567890", "hi", reference=1, validity=300, report=True)
    await modem.submit(submit, token=1, before_body=before)
    await bench.until(lambda: bench.news)
    assert "AT+CNMA" not in bench.emulator.commands


async def test_modem_that_tells_nothing_unasked_is_looked_through(bench: Bench) -> None:
    """Without +CMTI a message is found by the next look at the card."""
    bench.emulator.knobs.unsupported = frozenset({"+CNMI", "+CPMS"})
    await bench.ready()
    bench.emulator.receive_sms("+62811", "found")
    await bench.until(lambda: bench.texts == ["found"])
    await bench.until(lambda: not bench.emulator.sim.messages)


async def test_modem_does_not_ask_for_reports_that_nobody_wants(bench: Bench) -> None:
    """delivery_reports = false: the modem is told so."""
    await bench.ready(delivery_reports=False)
    assert "AT+CNMI=2,1,0,0,0" in bench.emulator.commands


async def test_modem_writes_no_secret_to_the_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Neither PIN nor text nor number, sent or received, is in the log, however much is logged."""
    caplog.set_level(logging.DEBUG)
    bench.emulator.knobs.pin = "7391"
    bench.emulator.unplug()
    bench.emulator.replug()
    modem = await bench.ready(pin="7391")

    async def before() -> None:
        pass

    [submit] = submits("+6281234567890", "canary one", reference=1, validity=300, report=False)
    await modem.submit(submit, token=1, before_body=before)
    bench.emulator.receive_sms("+6281987654321", "canary two")
    await bench.until(lambda: bench.texts)
    bench.emulator.unplug()
    await bench.until(lambda: modem.status.state is ModemState.ABSENT)
    drivers = [record for record in caplog.records if not record.name.startswith("asyncio")]
    assert drivers
    for secret in ("7391", "canary", submit.hex, "81234567890", "81987654321"):
        assert not any(secret in record.getMessage() for record in drivers)
