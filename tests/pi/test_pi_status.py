"""How the service says how it is."""

import json

import pytest

from broker.version import __version__
from otp.pi import status
from otp.pi.journal import StorageError
from otp.pi.model import State
from otp.pi.modems.status import ModemState
from otp.pi.status import Status
from tests.pi.rest_doubles import NOW, Input, Row, World, modem


@pytest.fixture
def world() -> World:
    return World()


async def test_all_is_well(world: World) -> None:
    """With everything connected and registered it is ready."""
    assert await world.status.ready() == (True, [])


async def test_nothing_configured_is_ready() -> None:
    """What is not configured is not missed."""
    assert await Status(World().journal).ready() == (True, [])


async def test_journal_that_says_why(world: World) -> None:
    """The journal's own words are shown, since they say what to do."""
    world.journal.fail = StorageError("journal.db: the disk is full; make room")
    assert await world.status.ready() == (False, ["the journal failed: journal.db: the disk is full; make room"])


async def test_journal_that_can_only_be_read(world: World) -> None:
    """On a full disk the service is not ready, although the journal still tells what waits."""
    world.journal.full = StorageError("journal.db: the disk is full; make room")
    snapshot = await world.status.snapshot()
    assert snapshot.reasons() == ["the journal failed: journal.db: the disk is full; make room"]
    assert snapshot.queue


@pytest.mark.parametrize("state", [state for state in ModemState if state is not ModemState.READY])
async def test_modem_that_cannot_send(state: ModemState, world: World) -> None:
    """An active modem in any other state than ready is named with its state; one that is switched off is not missed."""
    world.modems = [modem(), modem("two", state), modem("off", state, active=False)]
    assert await world.status.ready() == (False, [f"modem two is {state.value.replace('_', ' ')}"])


async def test_reasons_name_what_is_at_fault(world: World) -> None:
    """Every fault has its sentence, at once."""
    world.modems = [modem("one", ModemState.PIN_NEEDED, detail="give modem.pin")]
    world.inputs = [Input("amqp"), Input("ws-2", connected=False, detail="127.0.0.1:9000: connection refused")]
    world.journal.fail = OSError("canary")
    world.status.stopping = True
    ready, reasons = await world.status.ready()
    assert not ready
    assert reasons[0] == "it is stopping"
    assert reasons[1].startswith("the journal failed: OSError at _look:")
    assert reasons[2:] == [
        "modem one is pin needed: give modem.pin",
        "input ws-2 is not connected: 127.0.0.1:9000: connection refused",
    ]


async def test_journal_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that hangs is not waited for."""
    monkeypatch.setattr(status, "JOURNAL_TIME", 0.05)
    world.journal.hang = True
    assert await world.status.ready() == (False, ["the journal failed: no answer within 0.05 s"])


async def test_queue_and_its_oldest(world: World) -> None:
    """What waits is counted by state, and the age of the oldest told, whatever ended before."""
    assert (await world.status.snapshot()).oldest_waiting == 0.0
    world.journal.kept = [
        Row(1, State.SENT, NOW - 900),
        Row(2, State.SENDING, NOW - 30),
        Row(3, State.QUEUED, NOW - 20),
        Row(4, State.QUEUED, NOW - 10),
        Row(5, State.UNKNOWN, NOW - 60),
    ]
    found = await world.status.snapshot()
    assert found.queue == {"queued": 2, "routed": 0, "sending": 1, "unknown": 1}
    assert found.oldest_waiting == 30.0
    world.journal.kept = [Row(1, State.QUEUED, NOW + 5)]
    assert (await world.status.snapshot()).oldest_waiting == 0.0


async def test_snapshot_as_json(world: World) -> None:
    """The whole of it can be written as JSON, with everybody by name."""
    world.events = [{"event": "modem_ready", "time": NOW}]
    found = json.loads(json.dumps((await world.status.snapshot()).to_dict()))
    assert found.pop("uptime") >= 0
    assert found == {
        "version": __version__,
        "ready": True,
        "reasons": [],
        "started": NOW,
        "inputs": [{"name": "amqp", "topic": "sms", "connected": True, "since": NOW - 5, "detail": "", "received": 7}],
        "modems": [modem().to_dict()],
        "mail": [{"name": "first", "state": "ready"}],
        "queue": {"queued": 0, "routed": 0, "sending": 0, "unknown": 0},
        "oldest_waiting": 0.0,
        "events": [{"event": "modem_ready", "time": NOW}],
    }
