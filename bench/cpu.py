"""How much processor time and memory another process has used, as its operating system counts it (Linux).

Processor time is the main figure of the benchmark, since it survives a busy machine. Three sources, the most
precise first:

| source | unit | covers |
|---|---|---|
| the process's CPU-time clock, `clock_getcpuclockid(3)` | 1 ns | every thread, also ended ones |
| `/proc/PID/task/*/schedstat` | 1 ns, brought up to date at a tick or switch | every living thread |
| `/proc/PID/stat` | one tick, 10 ms | every thread |
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def process_clock(pid: int) -> int:
    """Return the identifier of another process's CPU-time clock.

    The kernel's `CPUCLOCK_SCHED` is 2 in the low bits and the inverted process id above them; the C library's
    `clock_getcpuclockid` computes the same.
    """
    return (~pid << 3) | 2


def parse_stat(text: str) -> tuple[int, int]:
    """Read user and system time, in ticks, from the text of `/proc/PID/stat` (proc(5), fields 14 and 15).

    The command's name stands in brackets and may hold blanks and brackets itself.
    """
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[11]), int(fields[12])


def parse_schedstat(text: str) -> tuple[int, int]:
    """Read time on a processor and time spent waiting for one, in nanoseconds, from a `schedstat` file."""
    running, waiting = text.split()[:2]
    return int(running), int(waiting)


def parse_steal(text: str, core: int) -> int:
    """Read what the hypervisor took from one core, in ticks, from `/proc/stat` (proc(5), eighth number)."""
    for line in text.splitlines():
        name, *numbers = line.split()
        if name == f"cpu{core}":
            return int(numbers[7]) if len(numbers) > 7 else 0
    raise ValueError(f"no line for core {core} in /proc/stat")


def parse_rss(text: str) -> int:
    """Read the resident size, in KiB, from the text of `/proc/PID/smaps_rollup` or `/proc/PID/status`."""
    for line in text.splitlines():
        if line.startswith(("Rss:", "VmRSS:")):
            return int(line.split()[1])
    raise ValueError("no Rss: or VmRSS: line: is this smaps_rollup or status?")


def resident_kib(pid: int) -> int:
    """Return how much memory a process holds, in KiB.

    `smaps_rollup` is exact; `status` may lag by some pages per thread but needs no rights.
    """
    try:
        return parse_rss(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return parse_rss(Path(f"/proc/{pid}/status").read_text())


def _task_schedstats(pid: int) -> list[tuple[int, int]]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [parse_schedstat((task / "schedstat").read_text()) for task in tasks]


class CpuReader:
    """Reads the processor time of one process, pinned to `core`, from the most precise source there is."""

    def __init__(self, pid: int, core: int) -> None:
        self.pid = pid
        self.core = core
        self.source, self._seconds = self._choose()

    def _choose(self) -> tuple[str, Callable[[], float]]:
        for name, read in (("clock", self._by_clock), ("schedstat", self._by_schedstat)):
            try:
                read()
            except (OSError, ValueError):
                continue
            return name, read
        return "stat", lambda: sum(self.user_and_system())

    def _by_clock(self) -> float:
        return time.clock_gettime(process_clock(self.pid))

    def _by_schedstat(self) -> float:
        return sum(running for running, _ in _task_schedstats(self.pid)) / 1e9

    def seconds(self) -> float:
        """Return user plus system time since the process began, in seconds."""
        return self._seconds()

    def user_and_system(self) -> tuple[float, float]:
        """Return user and system time since the process began, each in seconds, at tick precision."""
        user, system = parse_stat(Path(f"/proc/{self.pid}/stat").read_text())
        return user / _TICKS_PER_SECOND, system / _TICKS_PER_SECOND

    def disturbed(self) -> float:
        """Return how long the process was kept from its core so far, in seconds.

        Time its threads stood ready without a processor (something else ran on the core), plus time the hypervisor
        took away, which the kernel may have booked on the process. A large value makes a run doubtful.
        """
        stolen = parse_steal(Path("/proc/stat").read_text(), self.core) / _TICKS_PER_SECOND
        try:
            return stolen + sum(waiting for _, waiting in _task_schedstats(self.pid)) / 1e9
        except OSError:
            return stolen
