"""What modems of several makers say of SIM card, PIN, network and store leads to the right words and deeds."""

from typing import cast

import pytest
from pydantic import SecretStr

from otp.pi.modems import health
from otp.pi.modems.dialogue import CommandError, Dialogue
from otp.pi.modems.health import Health, Sim
from otp.pi.modems.incoming_sms import MAX_UNREADABLE, Incoming
from otp.pi.modems.news import News, Received, Reported
from otp.pi.modems.pin import Pin
from otp.pi.modems.replies import Result
from otp.pi.modems.status import ModemState, ModemStatus

DELIVER = "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07"
REPORT = "07911326040000F006050B911346610089F6" + "20806291731408" * 2 + "00"


class Fake:
    """A dialogue whose answers are written down; what is not is refused."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, list[str] | CommandError] = {}

    def on(self, command: str, *lines: str) -> "Fake":
        self.answers[command] = list(lines)
        return self

    def refuse(self, command: str, kind: str = "error", code: int | None = None) -> "Fake":
        self.answers[command] = CommandError(Result(ok=False, kind=kind, code=code))
        return self

    async def ask(self, command: str, *, prefix: str = "", free: bool = False) -> list[str]:
        self.asked.append(command)
        answer = self.answers.get(command, CommandError(Result(ok=False, kind="error")))
        if isinstance(answer, CommandError):
            raise answer
        return answer

    @property
    def dialogue(self) -> Dialogue:
        return cast("Dialogue", self)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("READY", Sim.READY),
        ("SIM PIN", Sim.PIN),
        ("SIM PUK", Sim.PUK),
        ("NOT INSERTED", Sim.MISSING),
        ("PH-NET PIN", Sim.BUSY),
    ],
)
async def test_sim_card_as_the_modem_tells(said: str, expected: Sim) -> None:
    """What is neither ready nor locked nor missing may become ready."""
    assert await health.sim(Fake().on("AT+CPIN?", f"+CPIN: {said}").dialogue) is expected


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("error", None, Sim.MISSING),
        ("cme", 10, Sim.MISSING),
        ("cme", 13, Sim.MISSING),
        ("cme", 11, Sim.PIN),
        ("cme", 12, Sim.PUK),
        ("cme", 14, Sim.BUSY),
    ],
)
async def test_sim_card_as_an_error_tells(kind: str, code: int | None, expected: Sim) -> None:
    """Some modems answer with an error what others say in words."""
    assert await health.sim(Fake().refuse("AT+CPIN?", kind, code).dialogue) is expected


async def test_sim_card_that_is_not_named_is_busy() -> None:
    """An OK without an answer is no answer."""
    assert await health.sim(Fake().on("AT+CPIN?").dialogue) is Sim.BUSY


async def test_tries_left_are_asked_for_in_each_maker_s_way() -> None:
    """The first way that a modem knows is used; one that knows none does not tell."""
    assert await health.tries_left(Fake().on("AT+SPIC", "+SPIC: 2,10,3,10").dialogue) == 2
    assert (
        await health.tries_left(Fake().on("AT+CPINR", "+CPINR: SIM PIN,,").on("AT^CPIN?", "^CPIN: X").dialogue) is None
    )
    assert await health.tries_left(Fake().dialogue) is None


async def test_iccid_is_asked_for_in_each_maker_s_way() -> None:
    """A modem that knows none of the ways has none."""
    assert await health.iccid(Fake().on("AT+CCID").on("AT+QCCID", "+QCCID: 89621000123456789055").dialogue) == (
        "89621000123456789055"
    )
    assert await health.iccid(Fake().dialogue) == ""


async def test_look_without_any_answer_is_not_registered() -> None:
    """A modem that refuses all questions is not known to be registered."""
    assert await health.look(Fake().dialogue) == Health(False, "", None, None)


async def test_look_finds_a_modem_that_only_lte_knows() -> None:
    """Registered in LTE alone is registered; without a name there is none."""
    fake = Fake().on("AT+CREG?", "+CREG: 0,3").on("AT+CEREG?", "+CEREG: 0,5").on("AT+CSQ").on("AT+COPS?")
    assert await health.look(fake.dialogue) == Health(True, "", None, None)


def test_status_as_json_has_no_secret_and_the_strength_in_dbm() -> None:
    """The dictionary is ready for JSON."""
    status = ModemStatus(name="one", signal=31, state=ModemState.READY)
    assert status.to_dict()["rssi_dbm"] == -51
    assert status.to_dict()["state"] == "ready"
    assert ModemStatus(name="one").to_dict()["rssi_dbm"] is None


# -- PIN


async def test_pin_refused_for_a_busy_card_is_tried_again() -> None:
    """A busy card has not looked at the PIN: no try is gone."""
    pin, fake = Pin(SecretStr("1234")), Fake().refuse('AT+CPIN="1234"', "cme", 14)
    await pin.enter(fake.dialogue)
    await pin.enter(fake.dialogue)
    assert fake.asked.count('AT+CPIN="1234"') == 2


async def test_pin_taken_is_not_entered_twice_before_the_card_is_ready() -> None:
    """A card that takes its time after the PIN is waited for."""
    pin, fake = Pin(SecretStr("1234")), Fake().on('AT+CPIN="1234"')
    await pin.enter(fake.dialogue)
    await pin.enter(fake.dialogue)
    assert fake.asked.count('AT+CPIN="1234"') == 1
    assert pin.trouble(Sim.PIN)[0] is ModemState.OPENING


@pytest.mark.parametrize(
    ("sim", "state", "word"),
    [
        (Sim.PIN, ModemState.PIN_NEEDED, "set pin"),
        (Sim.PUK, ModemState.PIN_NEEDED, "PUK"),
        (Sim.MISSING, ModemState.SIM_MISSING, "put it in"),
        (Sim.BUSY, ModemState.OPENING, "not ready yet"),
    ],
)
def test_trouble_with_a_card_in_words(sim: Sim, state: ModemState, word: str) -> None:
    """Each trouble has a state, and words that say what to do."""
    found = Pin(SecretStr("")).trouble(sim)
    assert found[0] is state
    assert word in found[1]


# -- the store


class Inbox:
    """What one modem receives, without the modem."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.now = 0.0
        self.incoming = Incoming("one", self.take, lambda: self.now)

    async def take(self, news: News) -> None:
        self.news.append(news)


async def test_announcement_of_no_place_or_of_an_unknown_store_is_dropped() -> None:
    """What names no place is not asked for; a store that cannot be selected neither."""
    inbox, fake = Inbox(), Fake()
    await inbox.incoming.announced(fake.dialogue, '+CMTI: "SM"')
    assert fake.asked == []
    await inbox.incoming.announced(fake.dialogue, '+CMTI: "XY",1')
    assert fake.asked == ['AT+CPMS="XY"']


async def test_message_in_another_store_is_read_and_deleted_there() -> None:
    """The store is changed for what lies elsewhere, and back for the next look."""
    inbox = Inbox()
    fake = Fake().on("AT+CPMS?", '+CPMS: "SM",1,20,"SM",1,20,"SM",1,20').on('AT+CPMS="ME"').on('AT+CPMS="SM"')
    fake.on("AT+CMGR=3", "+CMGR: 0,,24", DELIVER).on("AT+CMGD=3").on("AT+CMGL=4")
    await inbox.incoming.begin(fake.dialogue)
    await inbox.incoming.announced(fake.dialogue, '+CMTI: "ME",3')
    await inbox.incoming.sweep(fake.dialogue)
    assert fake.asked == ["AT+CPMS?", 'AT+CPMS="ME"', "AT+CMGR=3", "AT+CMGD=3", 'AT+CPMS="SM"', "AT+CMGL=4"]
    assert [type(each) for each in inbox.news] == [Received]


async def test_store_that_cannot_be_selected_is_not_listed() -> None:
    """Nothing is read from a store that the modem refuses, and nothing of it is deleted."""
    inbox = Inbox()
    fake = Fake().on("AT+CPMS?", '+CPMS: "SM",1,20,"SM",1,20,"SM",1,20')
    await inbox.incoming.begin(fake.dialogue)
    await inbox.incoming.sweep(fake.dialogue)
    await inbox.incoming._delete(fake.dialogue, (("SM", 1),))
    assert fake.asked == ["AT+CPMS?", 'AT+CPMS="SM"', 'AT+CPMS="SM"']


async def test_store_that_is_not_named_is_read_as_it_is() -> None:
    """A modem that does not name its stores is read from whichever it has; one that was written here is left alone."""
    inbox = Inbox()
    fake = Fake().on("AT+CPMS?").on("AT+CMGL=4", "+CMGL: 2,2,,24", DELIVER, "+CMGL: 3,1,,24", DELIVER).on("AT+CMGD=3")
    await inbox.incoming.begin(fake.dialogue)
    await inbox.incoming.sweep(fake.dialogue)
    assert fake.asked == ["AT+CPMS?", "AT+CMGL=4", "AT+CMGD=3"]


async def test_message_that_cannot_be_read_stays_and_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """Garbage is neither deleted nor handed on, and the memory of it is bounded."""
    inbox = Inbox()
    fake = Fake().on("AT+CMGL=4", "+CMGL: 1,1,,24", "FFFFFFFFFFFFFFFF")
    await inbox.incoming.sweep(fake.dialogue)
    await inbox.incoming.sweep(fake.dialogue)
    assert caplog.text.count("sms_unreadable") == 1
    for number in range(MAX_UNREADABLE + 5):
        fake.on("AT+CMGL=4", f"+CMGL: {number},1,,24", "FFFFFFFFFFFFFFFF")
        await inbox.incoming.sweep(fake.dialogue)
    assert len(inbox.incoming._unreadable) == MAX_UNREADABLE
    await inbox.incoming.direct(fake.dialogue, "FFFFFFFFFFFFFFFF")
    assert len(inbox.incoming._unreadable) == MAX_UNREADABLE
    assert inbox.news == []
    assert set(fake.asked) == {"AT+CMGL=4"}


async def test_message_that_comes_directly_is_acknowledged_after_it_was_taken() -> None:
    """+CMT: with AT+CSMS=1 the network waits for AT+CNMA; without there is none."""
    inbox, fake = Inbox(), Fake()
    await inbox.incoming.direct(fake.dialogue, DELIVER)
    inbox.incoming.acknowledge = True
    await inbox.incoming.direct(fake.dialogue, DELIVER)
    assert fake.asked == ["AT+CNMA"]
    assert len(inbox.news) == 2


async def test_stored_report_is_deleted_after_it_was_taken() -> None:
    """A report that a modem stores is read by its place, like a message."""
    inbox = Inbox()
    fake = Fake().on('AT+CPMS="SR"').on("AT+CMGR=5", "+CMGR: 0,,24", REPORT).on("AT+CMGD=5")
    await inbox.incoming.announced(fake.dialogue, '+CDSI: "SR",5')
    assert [type(each) for each in inbox.news] == [Reported]
    assert fake.asked[-1] == "AT+CMGD=5"


async def test_parts_that_wait_are_not_read_again_and_go_on_after_a_day() -> None:
    """A part that waits for others stays on the card untouched; in the end it goes on alone and is deleted."""
    inbox = Inbox()
    part = "07911326040000F0440B911346610089F60000208062917314080A0500030702" + "01C834"
    fake = Fake().on("AT+CMGL=4", "+CMGL: 4,1,,24", part).on("AT+CMGD=4")
    await inbox.incoming.sweep(fake.dialogue)
    await inbox.incoming.sweep(fake.dialogue)
    await inbox.incoming.announced(fake.dialogue, '+CMTI: "SM",9')
    assert inbox.news == []
    inbox.now = 86_400.0
    await inbox.incoming.sweep(fake.dialogue)
    assert [(each.part, each.total) for each in inbox.news if isinstance(each, Received)] == [(1, 2)]
    assert fake.asked[-1] == "AT+CMGD=4"
