"""What the figures were measured on."""

import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the broker runs on and which one the load generator."""

    broker: int
    load: int

    @property
    def shared(self) -> bool:
        """Whether broker and load have to share one core, so that wall-clock figures mean little."""
        return self.broker == self.load


def choose_cores(broker: int | None = None, load: int | None = None) -> Cores:
    """Pick two different cores of those this process may use, unless the caller names them."""
    usable = sorted(os.sched_getaffinity(0))
    first = usable[0] if broker is None else broker
    rest = [core for core in usable if core != first]
    return Cores(first, (rest[0] if rest else first) if load is None else load)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def machine_facts(cores: Cores) -> dict[str, Any]:
    """Gather what someone needs to know to compare these figures with others."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mib": _memory_mib(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "pinned": asdict(cores),
    }


def describe(facts: dict[str, Any]) -> str:
    """Put the facts in two lines, and a third when they cast doubt on the figures."""
    pinned = facts["pinned"]
    text = (
        f"{facts['date']}  {facts['processor']}, {facts['cores']} cores, {facts['memory_mib']} MiB, "
        f"{facts['kernel']}, Python {facts['python']}\n"
        f"broker on core {pinned['broker']}, load on core {pinned['load']}, "
        f"load average before the run {facts['load_average']:.2f}"
    )
    if facts["load_average"] > facts["cores"] / 2:
        text += "\nthe machine was busy with other work: compare processor time, not latency nor messages per second"
    return text
