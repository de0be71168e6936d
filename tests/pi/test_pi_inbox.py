"""What modems bring unasked, and who is told."""

import asyncio
import json
import logging
from typing import Any

import pytest

from otp.numbers import Numbers
from otp.pi import events, receivers, settings
from otp.pi.events import Courier, Event, Events, UndeliveredError
from otp.pi.inbox import Inbox, Token
from otp.pi.journal import StorageError
from otp.pi.modems.news import LateReference, Received, Reported

SMS = Received(modem="sim-1", sender="+6281200000000", text="canary \U0001f600", sent_at=1.5)


class FakeJournal:
    """Keeps what it is given; ``broken`` keeps nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.broken = False
        self.row: int | None = 5

    def _call(self, *values: object) -> None:
        if self.broken:
            raise StorageError("the disk is full")
        self.calls.append(values)

    async def received(self, modem: str, sender: str, text: str, sent_at: float) -> int:
        self._call("received", modem, sender, text, sent_at)
        return 7

    async def delivery_report(
        self, modem: str, reference: int, receiver_key: str, delivered: bool | None, at: float
    ) -> int | None:
        self._call("report", modem, reference, receiver_key, delivered, at)
        return self.row

    async def late_reference(self, modem: str, number: int, part: int, reference: int) -> None:
        self._call("late", modem, number, part, reference)


class Rig:
    """An inbox that tells a list."""

    def __init__(self) -> None:
        self.journal = FakeJournal()
        self.events: list[Event] = []
        self.looked: list[int] = []
        self.inbox = Inbox(self.journal, Numbers(region="ID"), emit=self.events.append, look_again=self.look_again)

    async def look_again(self, number: int) -> None:
        self.looked.append(number)


def reported(outcome: str, receiver: str = "+6281200000000") -> Reported:
    return Reported(modem="sim-1", reference=17, receiver=receiver, outcome=outcome, status=0, at=2.5)


async def test_received_sms_is_stored_then_told(caplog: pytest.LogCaptureFixture) -> None:
    """The event has all of it and the number of its row; the log has neither text nor sender."""
    rig = Rig()
    with caplog.at_level(logging.DEBUG, logger="otp"):
        await rig.inbox.take(SMS)
    assert rig.journal.calls == [("received", "sim-1", SMS.sender, SMS.text, 1.5)]
    assert rig.events == [
        {
            "event": "received",
            "journal": 7,
            "modem": "sim-1",
            "sender": SMS.sender,
            "message": SMS.text,
            "sent_at": 1.5,
            "part": 0,
            "parts": 1,
        }
    ]
    assert "canary" not in caplog.text
    assert SMS.sender not in caplog.text


async def test_received_sms_that_cannot_be_stored_stays_on_the_card() -> None:
    """The modem learns that it was not taken, and nobody is told of it yet."""
    rig = Rig()
    rig.journal.broken = True
    with pytest.raises(StorageError):
        await rig.inbox.take(SMS)
    assert rig.events == []


@pytest.mark.parametrize(("outcome", "delivered"), [("delivered", True), ("pending", None), ("failed", False)])
async def test_delivery_report_finds_its_message_by_the_one_spelling(outcome: str, delivered: bool | None) -> None:
    """A network that reports the national form of a number means the same receiver."""
    rig = Rig()
    await rig.inbox.take(reported(outcome, "0812-345-6789"))
    assert rig.journal.calls == [("report", "sim-1", 17, "+628123456789", delivered, 2.5)]
    assert rig.events[0] == {
        "event": "report",
        "journal": 5,
        "modem": "sim-1",
        "reference": 17,
        "receiver": "0812-345-6789",
        "outcome": outcome,
        "status": 0,
        "at": 2.5,
    }


@pytest.mark.parametrize("receiver", ["", "@"])
async def test_delivery_report_of_an_odd_receiver_is_kept_as_it_is(receiver: str) -> None:
    """A receiver that is no number breaks nothing, and a report of nobody's message says so."""
    rig = Rig()
    rig.journal.row = None
    await rig.inbox.take(reported("delivered", receiver))
    assert rig.journal.calls[0][3] == receiver
    assert rig.events[0]["journal"] is None


async def test_late_reference_reaches_the_journal_and_then_the_outbox() -> None:
    """The token that went with the part says whose it is; one of somebody else's is left alone."""
    rig = Rig()
    await rig.inbox.take(LateReference(modem="sim-1", token="foreign", reference=9))
    await rig.inbox.take(LateReference(modem="sim-1", token=Token(5, 1), reference=9))
    assert rig.journal.calls == [("late", "sim-1", 5, 1, 9)]
    assert rig.looked == [5]
    assert rig.events == []


@pytest.mark.parametrize("key", ["command", "callback_topic"])
def test_alarm_cannot_look_like_a_command(key: str) -> None:
    """No event ever has a key that would make a command of it."""
    with pytest.raises(ValueError, match=key):
        events.alarm("budget", 1.0, **{key: "send-sms"})


def test_alarm_cannot_pretend_to_be_another_event() -> None:
    """Its own fields win over those that are handed in."""
    assert events.alarm("budget", 1.0, event="received")["event"] == "alarm"


class Script:
    """A receiver that raises what it is told to, then takes everything."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.offered: list[bytes] = []
        self.taken: list[bytes] = []
        self.pauses: list[float] = []
        self.settled = asyncio.Event()

    async def deliver(self, body: bytes) -> None:
        self.offered.append(body)
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(body)
        self.settled.set()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)


async def run_until(script: Script, courier: Courier) -> None:
    task = asyncio.create_task(courier.run())
    async with asyncio.timeout(10):
        await script.settled.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_courier_tries_again_with_growing_pauses() -> None:
    """A receiver that is away for a while misses nothing, and is not hammered."""
    script = Script(*[ConnectionError("canary")] * 8)
    courier = Courier("webhook", script.deliver, sleep=script.sleep)
    courier.put(b"1")
    await run_until(script, courier)
    assert script.taken == [b"1"]
    assert script.pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert (courier.delivered, courier.dropped, len(courier)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("errors", "offered"),
    [
        ([UndeliveredError("http_400", permanent=True)], 1),
        ([UndeliveredError("http_500")] * events.TRIES, events.TRIES),
        ([KeyError("canary")] * events.TRIES, events.TRIES),
    ],
)
async def test_courier_gives_up_what_is_never_taken(
    errors: list[Exception], offered: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One event that a receiver cannot digest does not hold up those behind it."""
    script = Script(*errors)
    courier = Courier("webhook", script.deliver, sleep=script.sleep)
    courier.put(b"canary")
    courier.put(b"2")
    await run_until(script, courier)
    assert (script.offered.count(b"canary"), script.taken) == (offered, [b"2"])
    assert courier.dropped == 1
    assert "event_dropped" in caplog.text
    assert "canary" not in caplog.text


async def test_courier_drops_the_newest_when_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    """Memory is bounded; what was dropped is counted, in few log lines."""
    courier = Courier("webhook", Script().deliver)
    for _ in range(events.MAX_WAITING + 100):
        courier.put(b"x")
    assert (len(courier), courier.dropped) == (events.MAX_WAITING, 100)
    assert caplog.text.count("event_dropped") == 7


async def test_events_without_a_receiver_cost_nothing() -> None:
    """Nobody to tell: nothing is kept, nothing runs."""
    told = Events()
    told.emit({"event": "alarm"})
    await told.run()
    assert told.couriers == ()
    assert told.dropped == 0


async def test_topic_without_a_road_is_no_receiver() -> None:
    """A topic needs a server to be on."""
    assert receivers.open_events(settings.Events(topic="events"), None).couriers == ()


async def test_events_are_ascii_json() -> None:
    """Whatever a message says, the body is plain JSON that any receiver reads."""
    courier = Courier("topic", Script().deliver)
    Events([courier]).emit(events.received(7, SMS))
    body = courier._waiting[0]
    assert body.isascii()
    assert json.loads(body)["message"] == SMS.text
