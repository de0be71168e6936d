"""What a broker as a process adds: its loop, and what becomes of errors that nobody caught."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from broker.logs import Log, configure
from broker.run import REPORT_EVERY, REPORTS_KEPT, LoopErrors, _reopen, new_event_loop
from tests.broker.doubles import Clock


class Turning:
    """As much of a loop as the reports need."""

    def __init__(self) -> None:
        self.time = Clock(0.0)


def report(errors: LoopErrors, loop: Turning, message: str, error: Exception | None = None) -> None:
    """Hand a report over as a loop does."""
    context: dict[str, Any] = {"message": message} | ({"exception": error} if error else {})
    errors(cast("asyncio.AbstractEventLoop", loop), context)


def raised(error: Exception) -> Exception:
    """Give an error the traceback that it has in a callback."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.both_loops
async def test_loop_error_is_logged_with_its_place_and_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """An exception's text may quote what a client sent."""

    def callback() -> None:
        raise ValueError("hunter2")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopErrors())
    loop.call_soon(callback)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "loop_error" in caplog.text
    assert "ValueError at callback:" in caplog.text
    assert "hunter2" not in caplog.text


def test_loop_error_that_repeats_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Out of descriptors, asyncio reports every accept that fails: 14 MB of log in 3 s without this."""
    errors, loop = LoopErrors(), Turning()
    failure = raised(OSError(24, "Too many open files"))
    for _ in range(1000):
        report(errors, loop, "socket.accept() out of system resource", failure)
    assert caplog.text.count("loop_error") == 1
    loop.time.turn(REPORT_EVERY)
    report(errors, loop, "socket.accept() out of system resource", failure)
    assert caplog.text.count("loop_error") == 2


def test_loop_errors_of_different_kinds_are_each_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One fault does not hide another; a report without an exception counts too."""
    errors, loop = LoopErrors(), Turning()
    report(errors, loop, "one", raised(ValueError()))
    report(errors, loop, "one", raised(KeyError()))
    report(errors, loop, "two")
    assert caplog.text.count("loop_error") == 3


def test_loop_errors_take_bounded_memory(caplog: pytest.LogCaptureFixture) -> None:
    """Messages that never repeat are forgotten."""
    errors, loop = LoopErrors(), Turning()
    for number in range(10 * REPORTS_KEPT):
        report(errors, loop, f"message {number}")
    assert len(errors.silent_until) <= REPORTS_KEPT


def test_new_event_loop_without_uvloop_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no wheel of uvloop for every machine."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop()
    try:
        assert isinstance(loop, asyncio.SelectorEventLoop)
    finally:
        loop.close()


def test_reopen_without_a_log_file_does_nothing() -> None:
    """USR1 to a broker that logs to standard error is no fault."""
    handler = configure("text", "info")
    _reopen(handler)
    assert handler in logging.getLogger("broker").handlers


def test_reopen_where_the_directory_is_gone_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines go to standard error until there is a place for the file again; nothing is raised where they come from."""
    folder = tmp_path / "log"
    folder.mkdir()
    handler = configure("text", "info", str(folder / "broker.log"))
    folder.rename(tmp_path / "moved")
    _reopen(handler)
    Log().info("homeless", id=1)
    folder.mkdir()
    _reopen(handler)
    Log().info("home")
    assert capsys.readouterr().err.endswith("homeless id=1\n")
    assert (folder / "broker.log").read_text().endswith("home\n")
