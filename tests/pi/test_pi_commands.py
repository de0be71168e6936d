"""What each command does, whatever road it came over."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from otp.errors import StoreError
from otp.pi import settings
from otp.pi.journal import Journal, StorageError
from otp.pi.model import Channel, Origin, Outcome, Priority, RejectedError, State, UnstoredError
from otp.pi.modems.status import ModemState, NotSentError
from otp.store import OtpStore
from tests.conftest import until
from tests.pi.command_doubles import E164, NOW, RECEIVER, Desk, desk

SMS: dict[str, Any] = {"receiver": RECEIVER, "message": "hello", "id": 5, "expiration": int(NOW) + 60}
OTP: dict[str, Any] = {
    "receiver": RECEIVER,
    "message": "Your OTP is %s",
    "reference": "r1",
    "expiration": int(NOW) + 60,
    "param1": "9",
}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Desk]:
    """Commands with a modem that works."""
    async with desk(tmp_path) as made:
        yield made


# -- messages


async def test_sms_is_stored_sent_and_answered(here: Desk) -> None:
    """0000 with the modem and the network's reference; the receiver is dialled in E.164."""
    answer = await here.ask("send-sms", **SMS)
    assert (answer["command"], answer["response_code"]) == ("send-sms", "0000")
    assert (answer["data"]["modemID"], answer["data"]["result"]) == ("one", "+CMGS: 7")
    assert answer["data"]["receiver"] == RECEIVER
    row = await here.last()
    assert (row.receiver, row.channel, row.road, row.user, row.message_id) == (E164, Channel.SMS, "rest", "app", "5")
    assert here.outbox.texts == {row.number: "hello"}
    assert here.counts.commands == {("send-sms", "rest", "0000"): 1}


@pytest.mark.parametrize("command", ["send-email", "send-mail", "send-message"])
async def test_mail_is_answered_under_the_name_it_was_asked_for(here: Desk, command: str) -> None:
    """``send-mail`` and ``send-email`` are the same; ``send-message`` goes by the receiver's @."""
    answer = await here.ask(command, **SMS | {"receiver": "a@example.com", "subject": "Code"})
    assert (answer["command"], answer["response_code"]) == (command, "0000")
    assert (await here.last()).channel is Channel.MAIL


async def test_message_to_a_number_is_an_sms_without_subject(here: Desk) -> None:
    """``send-message`` has a subject always; an SMS has none."""
    await here.ask("send-message", **SMS | {"subject": "Code"})
    row = await here.last()
    assert row.channel is Channel.SMS
    assert (await here.journal.message(row.number)).subject == ""


@pytest.mark.parametrize(
    ("command", "receiver"), [("send-sms", "a@example.com"), ("send-email", RECEIVER), ("send-email", "a b@c d")]
)
async def test_receiver_that_does_not_suit_the_command_is_told(here: Desk, command: str, receiver: str) -> None:
    """1102 with a sentence, and a row that says so."""
    answer = await here.ask(command, **SMS | {"receiver": receiver})
    assert (answer["response_code"], answer["reason"]) == ("1102", "invalid_input")
    assert (await here.last()).state is State.FAILED
    assert here.outbox.woken == 0


async def test_same_message_again_is_1201_and_not_sent(here: Desk) -> None:
    """Over whichever road: once."""
    await here.ask("send-sms", **SMS)
    await here.take("send-message", **SMS)
    answer = await here.ask("send-sms", **SMS)
    assert (answer["response_code"], answer["reason"]) == ("1201", "duplicate")
    assert await here.states() == [State.QUEUED, State.DUPLICATE, State.DUPLICATE]


async def test_message_that_is_too_late_is_1203_and_not_sent(here: Desk) -> None:
    """Milliseconds or seconds, number or text: past is past."""
    for late in (int(NOW) - 1, str(int(NOW) - 1), (int(NOW) - 1) * 1000):
        answer = await here.ask("send-sms", **SMS | {"expiration": late, "id": str(late)})
        assert (answer["response_code"], answer["reason"]) == ("1203", "expired")
    assert await here.states() == [State.EXPIRED] * 3
    assert here.outbox.woken == 0


async def test_text_longer_than_its_channel_carries_is_told(here: Desk) -> None:
    """1,600 characters of an SMS are the bound; a mail may have more."""
    answer = await here.ask("send-sms", **SMS | {"message": "x" * 1601})
    assert answer["response_code"] == "1102"
    answer = await here.ask("send-email", **SMS | {"message": "x" * 1601, "receiver": "a@example.com"})
    assert answer["response_code"] == "0000"


async def test_outcome_that_takes_too_long_is_1111(tmp_path: Path) -> None:
    """The caller is told that it is stored; the message is sent all the same."""
    async with desk(tmp_path, answer_timeout=0.05) as here:
        here.outbox.end = None
        answer = await here.ask("send-sms", **SMS)
        assert (answer["response_code"], answer["reason"]) == ("1111", "queued")
        assert here.outbox.woken == 1


async def test_message_is_a_code_when_it_looks_like_one(here: Desk) -> None:
    """Good for minutes, short, and four to ten digits in a row: it goes before others."""
    found = []
    for number, (text, life) in enumerate(
        [("Your code is 1234", 60), ("Your code is 1234", 6000), ("123", 60), ("x" * 320 + " 1234", 60)]
    ):
        await here.take("send-sms", **SMS | {"message": text, "expiration": int(NOW) + life, "id": number})
        found.append((await here.journal.message((await here.last()).number)).priority)
    assert found == [Priority.OTP, Priority.OTHER, Priority.OTHER, Priority.OTHER]


# -- where nothing can be sent


async def test_no_modem_configured_is_1000(here: Desk) -> None:
    """Nothing will come of waiting, on any road."""
    here.pool.configured = False
    answer = await here.ask("send-sms", **SMS)
    assert (answer["response_code"], answer["reason"]) == ("1000", "no_modem_configured")
    await here.take("send-sms", **SMS | {"id": 6})
    assert await here.states() == [State.FAILED, State.FAILED]


async def test_no_modem_that_works_is_1101_at_once_for_who_waits(here: Desk) -> None:
    """A caller over HTTP may try elsewhere; what came over a road waits for a modem to come back."""
    here.pool.state = ModemState.NOT_REGISTERED
    answer = await here.ask("send-sms", **SMS)
    assert (answer["response_code"], answer["reason"]) == ("1101", "no_modem")
    await here.take("send-sms", **SMS | {"id": 6})
    assert await here.states() == [State.FAILED, State.QUEUED]
    answer = await here.ask("send-email", **SMS | {"receiver": "a@example.com"})
    assert answer["response_code"] == "0000", "mail needs no modem"


async def test_blocked_receiver_is_refused_however_it_is_written(here: Desk) -> None:
    """Blocked in one spelling is blocked in all, until it is unblocked."""
    assert (await here.ask("block-msisdn", receiver=E164))["response_code"] == "0000"
    answer = await here.ask("send-sms", **SMS | {"receiver": "0812-6666 666"})
    assert (answer["response_code"], answer["reason"]) == ("1102", "blocked")
    assert (await here.ask("request-otp", **OTP))["reason"] == "blocked"
    assert (await here.ask("unblock-msisdn", msisdn="00628126666666"))["response_code"] == "0000"
    assert (await here.ask("send-sms", **SMS))["response_code"] == "0000"
    assert here.refused == ["blocked", "blocked"]


async def test_guards_refuse_by_country_and_budget(tmp_path: Path) -> None:
    """One key that leaked sends neither abroad nor without end, and each refusal is told."""
    guards = settings.Guards(countries=("ID",), per_user_hour=1)
    async with desk(tmp_path, guards=guards) as here:
        answer = await here.ask("send-sms", **SMS | {"receiver": "+14155550100"})
        assert (answer["response_code"], answer["reason"]) == ("1102", "country")
        assert (await here.ask("send-sms", **SMS))["response_code"] == "0000"
        answer = await here.ask("send-sms", **SMS | {"id": 6})
        assert (answer["response_code"], answer["reason"]) == ("1102", "budget:user_hour")
        assert here.refused == ["country", "budget:user_hour"]
        assert await here.states() == [State.BLOCKED, State.QUEUED, State.BLOCKED]


# -- codes


async def test_code_is_made_sent_and_verified_once(here: Desk) -> None:
    """0000 with the time it expires, never with the code; right once, then 1202."""
    answer = await here.ask("request-otp", **OTP)
    assert answer["response_code"] == "0000"
    assert (answer["expires_at"], answer["resend_after"]) == (int(NOW) + 60, 30)
    (text,) = here.outbox.texts.values()
    code = text.removeprefix("Your OTP is ")
    assert code.isdecimal()
    assert code not in str({**answer, "expires_at": 0, "data": {**answer["data"], "date_time": 0}})
    question = {"receiver": E164, "reference": "r1", "param1": "9"}
    wrong = f"{(int(code) + 1) % 10**6:06}"
    for otp, wanted in ((wrong, "1202"), (code, "0000"), (code, "1202")):
        answer = await here.ask("verify-otp", otp=otp, **question)
        assert answer["response_code"] == wanted
        assert answer["data"]["reference"] == "r1"


async def test_code_that_is_too_old_is_1203(here: Desk) -> None:
    """Late is not wrong."""
    await here.ask("request-otp", **OTP)
    (text,) = here.outbox.texts.values()
    here.now += 61
    answer = await here.ask("verify-otp", receiver=RECEIVER, reference="r1", param1="9", otp=text[-6:])
    assert answer["response_code"] == "1203"


async def test_code_for_a_reference_that_has_one_is_1201(here: Desk) -> None:
    """Until it expires there is one code for a reference, whoever asks under whatever id."""
    await here.ask("request-otp", **OTP | {"id": 1})
    answer = await here.ask("request-otp", **OTP | {"id": 2})
    assert (answer["response_code"], answer["reason"]) == ("1201", "duplicate_reference")
    assert (await here.last()).state is State.DUPLICATE


async def test_codes_for_one_reference_at_once_are_one(here: Desk) -> None:
    """Two requests that meet make one code."""
    answers = await asyncio.gather(*(here.ask("request-otp", **OTP | {"id": number}) for number in range(5)))
    assert sorted(answer["response_code"] for answer in answers) == ["0000", "1201", "1201", "1201", "1201"]


async def test_code_whose_message_was_never_stored_is_made_again(here: Desk) -> None:
    """A crash between code and journal: the road brings the request again, and the receiver gets a code."""
    here.store.create(receiver=RECEIVER, reference="r1", params=("9",), lifetime=60)
    answer = await here.ask("request-otp", **OTP)
    assert answer["response_code"] == "0000"
    (text,) = here.outbox.texts.values()
    answer = await here.ask("verify-otp", receiver=RECEIVER, reference="r1", param1="9", otp=text[-6:])
    assert answer["response_code"] == "0000"


async def test_code_that_was_not_sent_frees_its_reference(here: Desk) -> None:
    """A failed send costs nothing: the same reference can be asked for again."""
    works, here.outbox.end = here.outbox.end, lambda number: Outcome(number=number, state=State.FAILED, reason="cms_28")
    answer = await here.ask("request-otp", **OTP)
    assert (answer["response_code"], answer["reason"]) == ("1102", "cms_28")
    here.outbox.end = works
    assert (await here.ask("request-otp", **OTP))["response_code"] == "0000"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"message": "no place for a code"}, "1102"),
        ({"message": "%s %s"}, "1102"),
        ({"expiration": int(NOW) - 10}, "1203"),
    ],
)
async def test_code_that_cannot_be_made_is_told(here: Desk, change: dict[str, Any], code: str) -> None:
    """A template without one place for the code, or no time to live: nothing is made, nothing is sent."""
    assert (await here.ask("request-otp", **OTP | change))["response_code"] == code
    assert here.outbox.texts == {}
    assert (await here.ask("request-otp", **OTP))["response_code"] == "0000"


async def test_lifetime_above_the_maximum_is_shortened_and_told(here: Desk) -> None:
    """Ten minutes are the longest."""
    answer = await here.ask("request-otp", **OTP | {"expiration": int(NOW) + 3600})
    assert answer["expires_at"] == int(NOW) + 600
    assert answer["message"].endswith("Its lifetime is 600 s, the longest allowed.")


async def test_code_is_sent_again_and_cancelled(here: Desk) -> None:
    """A resend carries the same code; a cancelled one is not right any more."""
    await here.ask("request-otp", **OTP)
    here.now += 31
    answer = await here.ask("resend-otp", receiver=RECEIVER, reference="r1", message="Again: %s")
    assert answer["response_code"] == "0000"
    first, second = here.outbox.texts.values()
    assert second == f"Again: {first[-6:]}"
    assert (await here.ask("cancel-otp", receiver=RECEIVER, reference="r1"))["response_code"] == "0000"
    answer = await here.ask("verify-otp", receiver=RECEIVER, reference="r1", param1="9", otp=first[-6:])
    assert answer["response_code"] == "1202"


async def test_code_under_way_when_the_service_ends_stays_right(tmp_path: Path) -> None:
    """Its message is sent after the next start, so it must not be taken back."""
    async with desk(tmp_path) as here:
        here.outbox.end = None
        await here.take("request-otp", **OTP)
        await until(lambda: here.outbox.texts)
        (text,) = here.outbox.texts.values()
        await here.commands.close()
        code = here.store.verify(receiver=RECEIVER, reference="r1", params=("9",), otp=text[-6:])
        assert code.value == "0000"


# -- modems


async def test_modem_list_has_the_keys_that_readers_know(here: Desk) -> None:
    """Name, state, IMEI and signal of every modem."""
    answer = await here.ask("get-modem-list")
    modem = answer["data"]["modem_list"]["one"]
    assert (modem["id"], modem["connected"], modem["imei"]) == ("one", True, "35")
    assert modem["signalStrength"] == {"value": 18, "rssi": -77, "condition": "good", "class": "good", "ber": None}
    assert await here.states() == []


@pytest.mark.parametrize(
    ("signal", "word"), [(None, "unknown"), (0, "poor"), (2, "marginal"), (10, "ok"), (15, "good"), (31, "excellent")]
)
async def test_signal_has_a_word(here: Desk, signal: int | None, word: str) -> None:
    """Numbers of +CSQ mean nothing to most."""
    here.pool.signal = signal
    modem = (await here.ask("get-modem-list"))["data"]["modem_list"]["one"]
    assert modem["signalStrength"]["condition"] == word


@pytest.mark.parametrize("modem_id", ["", "one"])
async def test_ussd_is_asked_once_and_recorded(here: Desk, modem_id: str) -> None:
    """The network's answer comes back; the row is done."""
    answer = await here.ask("request-ussd", ussd_code="*123#", modem_id=modem_id)
    assert answer["response_code"] == "0000"
    data = answer["data"]
    assert (data["ussd_content"], data["ussd_content_raw"], data["replyable"]) == ("Pulsa: 10", "+CUSD", True)
    assert here.pool.modems["one"].asked == ["*123#"]
    assert await here.states() == [State.DONE]


async def test_ussd_that_is_not_answered_is_1102(here: Desk) -> None:
    """The reason is the modem's."""
    here.pool.modems["one"].answer = NotSentError("network_timeout")
    answer = await here.ask("request-ussd", ussd_code="*123#")
    assert (answer["response_code"], answer["reason"]) == ("1102", "network_timeout")
    row = await here.last()
    assert (row.state, row.reason) == (State.FAILED, "network_timeout")


async def test_ussd_without_a_modem(here: Desk) -> None:
    """A name that nobody has, no modem that works, no modem at all."""
    assert (await here.ask("request-ussd", ussd_code="*1#", modem_id="two"))["reason"] == "unknown_modem"
    here.pool.state = ModemState.ABSENT
    assert (await here.ask("request-ussd", ussd_code="*1#"))["response_code"] == "1101"
    here.pool.modems.clear()
    assert (await here.ask("request-ussd", ussd_code="*1#"))["response_code"] == "1000"


@pytest.mark.parametrize("code", ['*1#"', "*1#\r\nATD112;", "*1#\x1a", "a", "1" * 65])
async def test_ussd_code_cannot_inject_a_command(here: Desk, code: str) -> None:
    """Digits, star, hash and plus are all that reaches a modem."""
    assert (await here.ask("request-ussd", ussd_code=code))["response_code"] == "1102"
    assert await here.states() == [State.FAILED]
    assert here.pool.modems["one"].asked == []


# -- what is no command


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "invalid_message"),
        (b"\xff", "invalid_message"),
        (b"[]", "invalid_message"),
        (b'{"command": "set-gpio-value", "data": {}}', "unknown_command"),
        (b'{"command": "send-sms", "data": {"receiver": "1"}}', "invalid_input"),
    ],
)
async def test_payload_that_is_no_command_is_rejected_and_kept(here: Desk, payload: bytes, reason: str) -> None:
    """It stands in the journal with its length, and is refused for good on a road; HTTP answers 1102."""
    with pytest.raises(RejectedError):
        await here.commands.take(payload, here.road)
    row = await here.last()
    assert (row.state, row.reason, row.length, row.road) == (State.REJECTED, reason, len(payload), "amqp")
    answer = await here.commands.ask(payload, Origin(road="rest"))
    assert (answer["response_code"], answer["reason"]) == ("1102", reason)
    assert here.counts.rejected == {reason: 2}
    assert here.counts.commands["unreadable", "amqp", "1102"] == 1


async def test_answer_of_somebody_else_is_no_command(here: Desk) -> None:
    """What has a response code is left alone, and told to who sent it over HTTP."""
    payload = b'{"command": "send-sms", "response_code": "0000", "data": {"receiver": "0812", "message": "x"}}'
    await here.commands.take(payload, here.road)
    assert await here.states() == []
    assert (await here.commands.ask(payload, Origin(road="rest")))["reason"] == "not_a_command"


# -- answers on topics


async def test_answer_goes_where_it_is_awaited(here: Desk) -> None:
    """Echo, sent and verified alike: whoever names a topic gets the answer there."""
    await here.take("echo", callback="echo-1", a=1)
    await here.take("send-sms", callback="sms-1", **SMS)
    await until(lambda: len(here.published) == 2)
    answers = dict(here.published)
    assert answers["echo-1"]["data"]["a"] == 1
    assert answers["sms-1"]["response_code"] == "0000"
    assert all("callback_topic" not in answer for answer in answers.values())


async def test_answer_never_goes_where_commands_come_from(here: Desk) -> None:
    """The command is carried out, the answer is not sent."""
    await here.take("send-sms", callback="sms", **SMS)
    assert await here.states() == [State.QUEUED]
    assert here.published == []


async def test_message_that_nobody_waits_for_takes_no_task(here: Desk) -> None:
    """A backlog of thousands of messages is rows, not tasks."""
    here.outbox.end = None
    for number in range(20):
        await here.take("send-sms", **SMS | {"id": number})
    await until(lambda: not here.commands._running)
    assert here.outbox.woken == 20
    assert here.counts.commands == {("send-sms", "amqp", "1111"): 20}


# -- when it cannot be stored


async def broken(*_: object, **__: object) -> Any:
    raise StorageError("the disk is full")


@pytest.mark.parametrize("command", ["send-sms", "block-msisdn", "request-otp"])
async def test_command_that_cannot_be_stored_is_not_acknowledged(
    here: Desk, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The road keeps it; over HTTP it is 1102, and the reference of a code is free again."""
    with monkeypatch.context() as patch:
        for name in ("accept", "block"):
            patch.setattr(Journal, name, broken)
        with pytest.raises(UnstoredError):
            await here.take(command, **OTP)
        answer = await here.ask(command, **OTP)
        assert (answer["response_code"], answer["reason"]) == ("1102", "store_unavailable")
    assert (await here.ask(command, **OTP))["response_code"] == "0000"


async def test_rejection_that_cannot_be_stored_is_not_acknowledged(here: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even rubbish is forgotten before it stands in the journal."""
    monkeypatch.setattr(Journal, "record", broken)
    with pytest.raises(UnstoredError):
        await here.commands.take(b"{}", here.road)
    assert (await here.commands.ask(b"{}", Origin(road="rest")))["reason"] == "store_unavailable"


async def test_store_of_codes_that_fails_is_told(here: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The codes have a store of their own, which can fail alone."""

    def fail(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(OtpStore, "create", fail)
    assert (await here.ask("request-otp", **OTP))["reason"] == "store_unavailable"


async def test_journal_that_fails_after_the_command_was_stored_is_only_told(
    here: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ours by then; the road must not bring it again."""
    monkeypatch.setattr(here.outbox, "outcome", broken)
    assert (await here.ask("send-sms", **SMS))["reason"] == "store_unavailable"
    await here.take("send-sms", callback="sms-1", **SMS | {"id": 6})
    await until(lambda: here.published)
    assert here.published[0][1]["reason"] == "store_unavailable"


async def test_fault_of_ours_costs_one_answer(
    here: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """1102, a log line without the fault's text, and the service goes on."""

    async def fail(_number: int) -> Outcome:
        raise RuntimeError("canary 123456")

    monkeypatch.setattr(here.outbox, "outcome", fail)
    answer = await here.ask("send-sms", **SMS)
    assert (answer["response_code"], answer["reason"]) == ("1102", "internal_error")
    assert "command_failed command=send-sms" in caplog.text
    assert "canary" not in caplog.text
