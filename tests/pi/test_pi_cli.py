"""The command ``otp-pi``: each command once as it should be, and with what can be wrong about it."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otp.pi.cli import journal
from otp.pi.journal import Journal, Row
from otp.pi.model import Channel, NewMessage, Origin, Priority, State
from tests.pi.cli_process import Process, fault, good, own, run

__all__ = ["own"]  # a fixture that every test here uses

RECEIVER = "+628123456789"


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Settings with an emulated modem; no service runs with them."""
    file = tmp_path / "pi.toml"
    file.write_text('data_dir = "data"\n[numbers]\nregion = "ID"\n[[modem]]\nname = "sim-1"\nport = "emulate"\n')
    return file


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a service with an emulated modem that knows a USSD code."""
    directory = tmp_path_factory.mktemp("running") / "data"
    knowing = "import functools, otp.pi.emulator as m; "
    knowing += "answer = m.Ussd('Pulsa: 5000\\x07'); m.Ussd = lambda _text: answer"
    arguments = ("--no-rest", "--data-dir", str(directory), "--modem", "emulate", "--set", "numbers.region=ID")
    with Process("run", *arguments, before=knowing) as process:
        process.ready()
        process.until(lambda: "state=ready" in process.err)
        yield directory


# -- which service


def test_change_of_a_setting(alone: Path) -> None:
    """--set takes every single setting; what is none, or may come several times, is refused with what to do."""
    assert "rest.port = 'x'" in fault("status", "--set", "rest.port=x", code=2)
    for wrong, word in (("rest.port", "not NAME=VALUE"), ("=1", "not NAME=VALUE"), ("ws.port=1", "OTP_PI_WS_1_PORT")):
        done = run("status", "--set", wrong)
        assert done.code == 2
        assert word in done.err


def test_settings_come_from_the_variable_too(alone: Path) -> None:
    """OTP_PI_CONFIG names the file where no option does."""
    assert str(alone.parent / "data") in fault("status", OTP_PI_CONFIG=str(alone))


# -- with a service


def test_send_sms_through_the_service(running: Path) -> None:
    """What the service answers is printed: a sentence, or the answer itself."""
    assert "0000 It was " in good("send-sms", "--data-dir", str(running), RECEIVER, "Hello")
    answer = json.loads(good("send-sms", "--data-dir", str(running), "--json", "08123456789", "Hello"))
    assert (answer["response_code"], answer["data"]["modemID"]) == ("0000", "emulated")


def test_send_sms_from_standard_input(running: Path) -> None:
    """A text with a secret need not stand on the command line; what is no text is refused."""
    assert good("send-sms", "--data-dir", str(running), RECEIVER, "-", stdin="Kode é\n".encode()).startswith("0000 ")
    said = fault("send-sms", "--data-dir", str(running), RECEIVER, "-", stdin=b"\xff", code=2)
    assert said == "standard input is not UTF-8 text"


def test_same_id_is_sent_once(running: Path) -> None:
    """An --id makes it safe to try again; without one each call is a message of its own."""
    arguments = ("send-sms", "--data-dir", str(running), RECEIVER, "once", "--id", "job-7")
    assert good(*arguments).startswith("0000 ")
    assert fault(*arguments) == "1201 The same message was taken before; it was not sent again."
    done = run(*arguments, "--json")
    assert (done.code, json.loads(done.out)["response_code"], done.err) == (1, "1201", "")
    assert good(*arguments[:5]).startswith("0000 ")
    assert good(*arguments[:5]).startswith("0000 ")


def test_send_what_cannot_be_sent(running: Path) -> None:
    """Refusals of this end and of the service read alike."""
    place = ("--data-dir", str(running))
    assert fault("send-sms", *place, "x", "text").startswith("1102 ")
    assert fault("send-sms", *place, RECEIVER, "").startswith("1102 ")
    assert json.loads(run("send-sms", *place, RECEIVER, "", "--json").out)["response_code"] == "1102"
    assert "send-email" in fault("send-sms", *place, "ann@example.org", "text")
    assert fault("send-email", *place, "ann@example.org", "text").startswith("1102 ")
    assert fault("send-sms", *place, "--set", "bad=1", RECEIVER, "x", code=2).startswith("option bad")


def test_ussd_through_the_service(running: Path) -> None:
    """The network's answer is printed, without what could control the terminal."""
    assert good("ussd", "--data-dir", str(running), "*123#").splitlines()[1] == "Pulsa: 5000\\x07"
    assert good("ussd", "--data-dir", str(running), "--modem", "emulated", "*123#").startswith("0000 ")
    answer = json.loads(good("ussd", "--data-dir", str(running), "--json", "*123#"))
    assert answer["data"]["ussd_content"] == "Pulsa: 5000\x07"
    assert "no modem of this name" in fault("ussd", "--data-dir", str(running), "--modem", "nix", "*123#")


def test_ussd_that_nobody_has_answered_yet(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome that is not known has no text of the network."""

    async def later(*_: object) -> dict[str, Any]:
        return {"response_code": "1111", "message": "Nobody waited.", "data": {}}

    monkeypatch.setattr("otp.pi.control.ControlClient.command", later)
    said = good("ussd", "--data-dir", str(running), "*123#")
    assert said == "1111 Nobody waited.\n     otp-pi journal --follow shows what becomes of it.\n"


def test_modems_of_the_service(running: Path) -> None:
    """A table of all there is to know, or JSON."""
    heading, _, row, *_ = good("modems", "--data-dir", str(running)).splitlines()
    assert heading.split() == ["name", "port", "IMEI", "operator", "signal", "state"]
    assert row.split()[0] == "emulated"
    assert "-77 dBm" in row
    assert row.split()[-1] == "ready"
    assert [each["name"] for each in json.loads(good("modems", "--json", "--data-dir", str(running)))] == ["emulated"]


def test_block_through_the_service(running: Path) -> None:
    """The list is the service's: what is blocked is not sent from that moment."""
    place = ("--data-dir", str(running), "--set", "numbers.region=ID")
    assert good("block", *place, "0812000111222") == "+62812000111222 is blocked: nothing is sent to it any more.\n"
    assert "block list" in fault("send-sms", *place, "0812000111222", "x")
    assert good("blocked", *place).startswith("+62812000111222  since ")
    assert json.loads(good("blocked", "--json", *place))[0]["receiver_key"] == "+62812000111222"
    assert good("unblock", *place, "0812000111222") == "+62812000111222 is not blocked.\n"
    assert good("blocked", *place) == ""
    assert fault("block", *place, "+") == "receiver has no digits."


def test_block_that_the_service_refuses(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service says is passed on."""

    async def refuse(*_: object) -> dict[str, Any]:
        return {"response_code": "1102", "message": "It could not be stored."}

    monkeypatch.setattr("otp.pi.control.ControlClient.command", refuse)
    assert fault("block", "--data-dir", str(running), RECEIVER) == "1102 It could not be stored."


def test_journal_of_the_service(running: Path) -> None:
    """The last rows, the newest last; filters for state and receiver, in any spelling; never a text."""
    place = ("--data-dir", str(running), "--set", "numbers.region=ID")
    secret = "Kode rahasia 4711"
    good("send-sms", *place, "08999888777", secret)
    heading, *rows = good("journal", *place).splitlines()
    assert heading.split()[:5] == ["ROW", "ARRIVED", "COMMAND", "RECEIVER", "STATE"]
    numbers = [int(row.split()[0]) for row in rows]
    assert numbers == sorted(numbers)
    assert rows[-1].split()[3:5] == ["send-sms", "+628999888777"]
    assert rows[-1].endswith("local -> emulated")
    (row,) = good("journal", *place, "--json", "--receiver", "0899 988 8777").splitlines()
    assert json.loads(row)["receiver"] == "+628999888777"
    assert len(good("journal", *place, "--limit", "1").splitlines()) == 2
    assert secret not in good("journal", *place, "--json")
    states = {
        json.loads(row)["state"] for row in good("journal", *place, "--json", "--state", "duplicate").splitlines()
    }
    assert states <= {"duplicate"}
    assert run("journal", *place, "--state", "nix").code == 2


def test_journal_that_is_followed(running: Path) -> None:
    """New rows come as they arrive, and again when their state changes; Ctrl-C ends it well."""
    place = ("--data-dir", str(running))
    with Process("journal", *place, "--follow", "--json", "--limit", "1", "--state", "delivered") as process:
        process.until(lambda: process.out.count("\n") == 1)
        good("send-sms", *place, "+628111222333", "Hello")
        process.until(lambda: '"+628111222333"' in process.out)
        process.signal(signal.SIGINT)
        assert process.end() == 0
    assert process.err == ""
    assert {json.loads(line)["state"] for line in process.out.splitlines()} == {"delivered"}


def test_journal_on_a_terminal_is_coloured(running: Path) -> None:
    """Unless NO_COLOR says otherwise."""
    good("send-sms", "--data-dir", str(running), RECEIVER, "colour")
    with Process("journal", "--data-dir", str(running), terminal=True) as process:
        assert process.end() == 0
    assert "\x1b[3" in process.out
    with Process("journal", "--data-dir", str(running), terminal=True, NO_COLOR="1") as process:
        assert process.end() == 0
    assert "\x1b" not in process.out


# -- without a service


def test_send_sms_without_a_service(alone: Path) -> None:
    """The modems are driven by the command itself, and the journal has it."""
    out = good("send-sms", "-c", str(alone), "08123456789", "Hai é")
    first, second = out.splitlines()
    assert first == f"sim-1 -> {RECEIVER}: Hai é"
    assert second.startswith("0000 It was ")
    assert second.endswith(" Row 1 of the journal.")
    assert json.loads(good("send-sms", "-c", str(alone), "--json", RECEIVER, "Hai"))["response_code"] == "0000"
    assert len(good("journal", "-c", str(alone)).splitlines()) == 3


def test_modems_without_a_service(alone: Path) -> None:
    """They are opened for a look."""
    assert "ready" in good("modems", "-c", str(alone))


def test_modem_that_is_not_there(alone: Path) -> None:
    """What is wrong is told, at once; a message is refused and not kept for later."""
    alone.write_text(alone.read_text().replace("emulate", "/dev/nowhere"))
    table, detail = good("modems", "-c", str(alone)).splitlines()[-2:]
    assert table.split()[0] == "sim-1"
    assert detail.startswith("sim-1: ")
    assert "/dev/nowhere" in detail
    assert fault("send-sms", "-c", str(alone), RECEIVER, "x").startswith("1101 No modem that could send this works")
    assert fault("ussd", "-c", str(alone), "*123#").startswith("1101 ")


def test_modem_that_is_not_waited_for(alone: Path) -> None:
    """--wait 0 takes them as they are."""
    assert fault("send-sms", "-c", str(alone), "--wait", "0", RECEIVER, "x").startswith("1101 ")


def test_modem_that_is_switched_off(alone: Path) -> None:
    """Nobody waits for it."""
    alone.write_text(alone.read_text() + "active = false\n")
    assert "switched off" in good("modems", "-c", str(alone))


def test_no_service_and_nothing_to_send_with(tmp_path: Path) -> None:
    """Nothing is made or stored: the wrong --config is the likeliest reason."""
    place = ("--data-dir", str(tmp_path / "data"))
    said = fault("send-sms", *place, RECEIVER, "x")
    assert said.startswith(
        f"otp-pi run is not running on data_dir {tmp_path / 'data'}, and the settings have no [[modem]]"
    )
    assert "no [[mail]]" in fault("send-email", *place, "ann@example.org", "x")
    assert fault("modems", *place).startswith("no modem is configured: add a [[modem]]")
    assert json.loads(good("modems", "--json", *place)) == []
    assert not (tmp_path / "data").exists()


def test_send_email_without_a_service(alone: Path, tmp_path: Path) -> None:
    """Modems are left alone; a mail that no account takes for now stays for later."""
    alone.write_text(
        alone.read_text().replace("emulate", "/dev/nowhere")
        + '[[mail]]\nname = "m"\nhost = "127.0.0.1"\nport = 1\ntls = "none"\nsender = "pi@example.org"\n'
        + "[sms]\nattempts = 1\n[rest]\nanswer_timeout = 0.2\n"
    )
    done = run("send-email", "-c", str(alone), "--subject", "A word", "ann@example.org", "Hello")
    assert (done.code, "reason=mail_unreachable" in done.err) == (0, True)
    out = done.out.splitlines()
    assert out[0].startswith("1111 It is stored and will be sent")
    assert (
        out[1] == "     It stays in the journal; the next otp-pi run on this data_dir sends it while it is still good."
    )


def test_block_without_a_service(alone: Path) -> None:
    """The list is changed in the journal, which keeps a row of it."""
    place = ("-c", str(alone))
    assert good("block", *place, "08123456789").startswith(f"{RECEIVER} is blocked")
    assert good("blocked", *place).startswith(RECEIVER)
    assert "block list" in fault("send-sms", *place, RECEIVER, "x")
    assert good("unblock", *place, RECEIVER) == f"{RECEIVER} is not blocked.\n"
    rows = [json.loads(row) for row in good("journal", *place, "--json").splitlines()]
    assert [(row["command"], row["state"], row["road"]) for row in rows] == [
        ("block-msisdn", "done", "local"),
        ("send-sms", "blocked", "local"),
        ("unblock-msisdn", "done", "local"),
    ]


def test_looking_where_nothing_is(tmp_path: Path) -> None:
    """A directory without a journal is named."""
    for command in ("journal", "inbox", "blocked"):
        assert fault(command, "--data-dir", "nix").startswith("nix holds no journal.")


def test_region_that_does_not_exist(alone: Path) -> None:
    """A setting that only shows when it is used is a fault of the settings all the same."""
    assert fault("block", "-c", str(alone), "--set", "numbers.region=XX", RECEIVER, code=2).startswith("numbers: ")


async def stored(directory: Path, work: Callable[[Journal], Awaitable[object]]) -> None:
    opened = await Journal.open(directory)
    try:
        await work(opened)
    finally:
        await opened.close()


def test_inbox_shows_texts(tmp_path: Path) -> None:
    """It is what it is for; nothing in them controls the terminal."""

    async def receive(opened: Journal) -> None:
        await opened.received("sim-1", "+62811", "first", 1.0)
        await opened.received("sim-1", "BANK", "two\nlines \x1b[2J é", 2.0)

    asyncio.run(stored(tmp_path / "data", receive))
    place = ("--data-dir", "data")
    first, second = good("inbox", *place).splitlines()
    assert first.endswith("sim-1 <- +62811: first")
    assert second.endswith("sim-1 <- BANK: two\\nlines \\x1b[2J é")
    (row,) = good("inbox", *place, "--json", "--limit", "1").splitlines()
    assert json.loads(row)["text"] == "two\nlines \x1b[2J é"


# -- following the journal, step by step


def message(receiver: str = RECEIVER) -> NewMessage:
    now = time.time()
    return NewMessage(
        command="send-sms",
        channel=Channel.SMS,
        receiver=receiver,
        receiver_key=receiver,
        text=f"to {receiver}",
        origin=Origin(road="amqp", user="app"),
        arrived=now,
        deadline=now + 300,
        priority=Priority.OTHER,
    )


@pytest.fixture
async def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Journal, Journal]]:
    """A journal that is written, and the same one as a follower reads it, without a rest between two looks."""
    monkeypatch.setattr(journal, "FOLLOW_EVERY", 0.0)
    opened = await Journal.open(tmp_path)
    reader = await Journal.open(tmp_path, read_only=True)
    yield opened, reader
    await reader.close()
    await opened.close()


async def test_follower_is_told_of_every_change(journals: tuple[Journal, Journal]) -> None:
    """New rows and new states, also of rows that were there before; what has ended is let go of."""
    opened, reader = journals
    old = (await opened.accept(message())).number
    told = journal.changes_of(reader, None, await reader.rows())
    new = (await opened.accept(message("+62999"))).number
    row = await anext(told)
    assert (row.number, row.state) == (new, State.QUEUED)
    await opened.fail(old, "cms_38")
    row = await anext(told)
    assert (row.number, row.state, row.reason) == (old, State.FAILED, "cms_38")
    await opened.fail(new, "expired", state=State.EXPIRED)
    row = await anext(told)
    assert (row.number, row.state) == (new, State.EXPIRED)
    at_once = await opened.record(command="x", origin=Origin(road="ws"), arrived=1.0, state=State.DONE)
    assert (await anext(told)).number == at_once


async def test_follower_watches_so_many_at_once(
    journals: tuple[Journal, Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows beyond that, the oldest are let go of: they end unseen, and the newest does not."""
    monkeypatch.setattr(journal, "_WATCHED", 1)
    opened, reader = journals
    told = journal.changes_of(reader, None, await reader.rows())
    numbers = [(await opened.accept(message(receiver))).number for receiver in (RECEIVER, "+62999")]
    assert [(await anext(told)).number for _ in numbers] == numbers
    again = asyncio.ensure_future(anext(told))
    last = (await opened.accept(message("+62888"))).number
    assert (await again).number == last
    following = asyncio.ensure_future(anext(told))
    for number in numbers:
        await opened.fail(number, "unseen")
    await opened.fail(last, "seen")
    row = await following
    assert (row.number, row.reason) == (last, "seen")


async def test_follower_of_one_receiver(journals: tuple[Journal, Journal]) -> None:
    """Nobody else's rows are told."""
    opened, reader = journals
    told = journal.changes_of(reader, RECEIVER, [])
    await opened.accept(message("+62999"))
    mine = (await opened.accept(message())).number
    assert (await anext(told)).number == mine


def test_followed_rows_are_filtered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--state holds for what comes later too."""

    async def two(opened: Journal) -> None:
        await opened.record(command="one", origin=Origin(road="ws"), arrived=1.0, state=State.DONE)
        await opened.record(command="two", origin=Origin(road="ws"), arrived=1.0, state=State.FAILED)

    async def again(opened: Journal, _receiver: str | None, _seen: object) -> AsyncIterator[Row]:
        for row in reversed(await opened.rows()):
            yield row

    asyncio.run(stored(tmp_path / "data", two))
    monkeypatch.setattr(journal, "changes_of", again)
    rows = good("journal", "--data-dir", "data", "--follow", "--json", "--state", "failed").splitlines()
    assert [json.loads(row)["command"] for row in rows] == ["two", "two"]


async def test_line_of_a_row(tmp_path: Path) -> None:
    """Reason, first of a duplicate, and doubt are told."""
    opened = await Journal.open(tmp_path)
    try:
        first = (await opened.accept(message())).number
        await opened.accept(message())
        await opened.record(command="", origin=Origin(road="ws"), arrived=1.0, state=State.REJECTED, reason="not_json")
        await opened.routed(first, "sim-1")
        await opened.sending(first, "sim-1", 0, 1)
        await opened.unknown(first, "sim-1", "timeout")
        await opened.retry(first, possible_duplicate=True, keep_parts=False)
        rejected, duplicate, doubtful = map(journal.line, await opened.rows())
    finally:
        await opened.close()
    assert rejected.endswith("rejected     ws: not_json")
    assert rejected.split()[3:5] == ["-", "-"]
    assert f"of row {first}" in duplicate
    assert doubtful.endswith(", may arrive twice")
