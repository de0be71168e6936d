"""One line per event, as text and as JSON."""

import json
import logging
import re
import time
from pathlib import Path

import pytest

from broker.logs import TOPIC_SHOWN, Log, configure, describe, set_level, short_topic

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "broker.log"


def test_text_line_holds_time_level_event_and_fields(file: Path) -> None:
    """`time level event key=value ...`, what is None left out, seconds with three digits."""
    configure("text", "info", str(file))
    Log().info("open", id=7, user="alice", topic=None, seconds=1.23456, address="[::1]")
    assert re.fullmatch(STAMP + r" info    open id=7 user=alice seconds=1\.235 address=\[::1\]\n", file.read_text())


def test_time_is_that_of_the_event_in_utc(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the millisecond, whatever the machine's own time zone; a second later it is another."""
    monkeypatch.setenv("TZ", "Asia/Jakarta")
    time.tzset()
    try:
        configure("text", "info", str(file))
        for now in (1_800_000_000.0625, 1_800_000_000.25, 1_800_000_061.875):
            monkeypatch.setattr("logging.time.time", lambda now=now: now)
            Log().info("tick")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [line.split()[0] for line in file.read_text().splitlines()] == [
        "2027-01-15T08:00:00.062Z",
        "2027-01-15T08:00:00.250Z",
        "2027-01-15T08:01:01.875Z",
    ]


def test_record_is_made_by_the_programs_own_factory(file: Path) -> None:
    """A program around the broker that adds fields to its records finds them in ours, too."""
    usual = logging.getLogRecordFactory()

    def traced(*arguments: object, **more: object) -> logging.LogRecord:
        record = usual(*arguments, **more)
        record.trace = "t-1"
        return record

    seen: list[str] = []
    configure("text", "info", str(file))
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.trace)  # type: ignore[attr-defined,method-assign]
    log = Log()
    log.logger.addHandler(handler)
    logging.setLogRecordFactory(traced)
    try:
        log.info("open")
    finally:
        logging.setLogRecordFactory(usual)
        log.logger.removeHandler(handler)
    assert seen == ["t-1"]


def test_json_line_holds_the_same_as_an_object(file: Path) -> None:
    """One JSON object a line, values with their types."""
    configure("json", "info", str(file))
    Log().warning("open", id=7, user="alïce", topic=None, file=Path("/x"))
    line = json.loads(file.read_text())
    assert re.fullmatch(STAMP, line.pop("time"))
    assert line == {"level": "warning", "event": "open", "id": 7, "user": "alïce", "file": "/x"}


@pytest.mark.parametrize("kind", ["text", "json"])
@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a b", 'a"b', "a=b", "", "\x1b[2J", "\u2028"])
def test_line_stays_one_line_whatever_a_client_is_called(file: Path, kind: str, name: str) -> None:
    """Nobody forges a second line, or a second field, with a user name."""
    configure("text" if kind == "text" else "json", "info", str(file))
    Log().info("refused", user=name, reason="wrong")
    lines = file.read_bytes().decode().split("\n")
    assert len(lines) == 2
    assert "\r" not in lines[0]
    assert "\x1b" not in lines[0]
    if kind == "json":
        assert json.loads(lines[0])["user"] == name
    else:
        assert lines[0].endswith(f"refused user={json.dumps(name, ensure_ascii=False)} reason=wrong")


def test_line_of_another_logger_of_ours_is_written_too(file: Path) -> None:
    """What a library logs below `broker` comes in the same form, on one line."""
    configure("json", "info", str(file))
    logging.getLogger("broker.websockets").warning("parser %s", "failed")
    assert json.loads(file.read_text())["event"] == "parser failed"
    configure("text", "info", str(file))
    logging.getLogger("broker.websockets").warning("first\nsecond")
    assert file.read_text().splitlines()[-1].endswith("first | second")


def test_level_keeps_what_is_less_important_out(file: Path) -> None:
    """`log_level` is the least important level that is written; it can be changed at run time."""
    configure("text", "warning", str(file))
    log = Log()
    for write in (log.debug, log.info, log.warning, log.error):
        write("event")
    set_level("debug")
    log.debug("late")
    assert [line.split()[1:] for line in file.read_text().splitlines()] == [
        ["warning", "event"],
        ["error", "event"],
        ["debug", "late"],
    ]


def test_configure_without_a_file_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A service manager collects standard error."""
    configure("text", "info")
    Log().info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("info    hello\n")


def test_configure_twice_writes_each_line_once(file: Path) -> None:
    """The handler of before is replaced, and its file closed."""
    first = configure("text", "info", str(file.with_name("first.log")))
    configure("text", "info", str(file))
    Log().info("hello")
    assert len(file.read_text().splitlines()) == 1
    assert file.with_name("first.log").read_text() == ""
    assert first not in logging.getLogger("broker").handlers


def test_configure_of_a_file_that_cannot_be_opened_names_it(tmp_path: Path) -> None:
    """The caller gets an OSError with the file in it."""
    with pytest.raises(FileNotFoundError) as caught:
        configure("text", "info", str(tmp_path / "missing" / "broker.log"))
    assert caught.value.filename == str(tmp_path / "missing" / "broker.log")


def test_short_topic_shows_enough_to_recognise_and_too_little_to_join() -> None:
    """A longer name, which may be a secret callback topic, is cut to its first letters."""
    assert short_topic("sms") == "sms"
    assert short_topic("x" * TOPIC_SHOWN) == "x" * TOPIC_SHOWN
    assert short_topic("callback-5f0c1d9b7a3e4c2d") == "call…"


def test_describe_names_kind_and_place_of_an_error_and_none_of_its_text() -> None:
    """An exception's text may quote what a client sent."""

    def handle() -> None:
        raise ValueError("the password is hunter2")

    with pytest.raises(ValueError, match="hunter2") as caught:
        handle()
    assert re.fullmatch(r"ValueError at handle:\d+", describe(caught.value))
    assert describe(ValueError("hunter2")) == "ValueError"
