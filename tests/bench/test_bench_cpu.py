"""Processor time and memory of another process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cpu import CpuReader, parse_rss, parse_schedstat, parse_stat, parse_steal, resident_kib

CORE = min(os.sched_getaffinity(0))
STAT = "4711 (web (a) b) S 1 2 3 0 -1 4194304 1931 0 0 0 78 21 5 6 20 0 2 0 150035 92487680 3334"


@pytest.fixture
def spinner() -> Iterator[int]:
    """Run a child that spins in two threads, and is gone afterwards."""
    code = (
        "import threading\ndef spin():\n while True: pass\nthreading.Thread(target=spin, daemon=True).start()\nspin()"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    yield child.pid
    child.kill()
    child.wait()


def test_parse_stat_name_with_blanks_and_brackets() -> None:
    """User and system time are found behind the last bracket, whatever the process is called."""
    assert parse_stat(STAT) == (78, 21)


def test_parse_schedstat_running_and_waiting() -> None:
    """The first number is time on a processor, the second time spent waiting for one."""
    assert parse_schedstat("42378129 2484210 7\n") == (42378129, 2484210)


def test_parse_steal_of_one_core() -> None:
    """The eighth number of the core's own line, not of the sum, and not of a core with a longer number."""
    text = "cpu  1 1 1 1 1 1 1 99 0 0\ncpu11 1 1 1 1 1 1 1 98 0 0\ncpu1 1 1 1 1 1 1 1 7 0 0\n"
    assert parse_steal(text, 1) == 7


def test_parse_steal_unknown_core() -> None:
    """A core that is not listed is an error."""
    with pytest.raises(ValueError, match="core 5"):
        parse_steal("cpu0 1 1 1 1 1 1 1 1 0 0\n", 5)


@pytest.mark.parametrize(
    "text",
    [
        "Name:\tx\nVmPeak:\t 9 kB\nVmRSS:\t    1234 kB\n",
        "5581-7ffe ---p [rollup]\nRss:            1234 kB\nPss: 1 kB\n",
    ],
)
def test_parse_rss_of_both_files(text: str) -> None:
    """The resident size is found in `status` and in `smaps_rollup`."""
    assert parse_rss(text) == 1234


def test_parse_rss_without_a_size() -> None:
    """A text without a resident size is an error."""
    with pytest.raises(ValueError, match="no Rss"):
        parse_rss("VmPeak: 1 kB\n")


def test_cpu_reader_counts_every_thread(spinner: int) -> None:
    """Time passes on the child's clock, in the same order of magnitude from every source."""
    reader = CpuReader(spinner, CORE)
    deadline = time.monotonic() + 30
    while sum(reader.user_and_system()) < 0.3:
        assert time.monotonic() < deadline, "the child got no processor time"
        time.sleep(0.01)
    by_tasks = reader._by_schedstat()
    assert reader.source == "clock"
    assert reader.seconds() >= by_tasks * 0.9 > 0.2


def test_cpu_reader_disturbed_never_shrinks(spinner: int) -> None:
    """The time a process was kept from its core only grows."""
    reader = CpuReader(spinner, CORE)
    first = reader.disturbed()
    assert reader.disturbed() >= first >= 0


def test_cpu_reader_falls_back_when_there_is_no_clock(spinner: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the process's clock the scheduler's figures are read, without those the ticks."""

    def refuse(_clock: int) -> float:
        raise OSError("no such clock")

    monkeypatch.setattr(time, "clock_gettime", refuse)
    assert CpuReader(spinner, CORE).source == "schedstat"
    monkeypatch.setattr("bench.cpu._task_schedstats", refuse)
    reader = CpuReader(spinner, CORE)
    assert reader.source == "stat"
    assert reader.seconds() == pytest.approx(sum(reader.user_and_system()), abs=1)


def test_resident_kib_of_this_process() -> None:
    """A Python process holds a few MiB at least, and the figure agrees with its `status`."""
    status = parse_rss(Path("/proc/self/status").read_text())
    assert resident_kib(os.getpid()) == pytest.approx(status, rel=0.2)
    assert status > 4096
