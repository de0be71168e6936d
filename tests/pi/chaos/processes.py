"""The OTP-Pi and the modems as processes that can be killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PATIENCE = 60.0
"""Seconds that anything may take on a machine that has a lot to do."""

IMEIS = ("860000000000017", "860000000000025", "860000000000033", "860000000000041")
"""Of the emulated modems modem1, modem2, ..."""

_ROOT = Path(__file__).parents[3]


def environment() -> dict[str, str]:
    """Return the environment of a process that is going to be killed: nobody would read what it measures."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "OTP_PI_"))}
    return {**kept, "PYTHONPATH": str(_ROOT)}


class Program:
    """A process, and the file that it writes to; both may come and go.

    Attributes:
        kills: How often it was killed.
        exit_code: Of the last one that ended by itself or was asked to.
    """

    def __init__(self, arguments: Sequence[str], output: Path) -> None:
        self.arguments = [sys.executable, *arguments]
        self.output = output
        self.kills = 0
        self.exit_code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it need not be ready."""
        with self.output.open("ab") as file:
            self._process = subprocess.Popen(
                self.arguments, env=environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a power cut does.

        Raises:
            AssertionError: It had ended by itself, which it must not.
        """
        assert self._process is not None
        assert self._process.poll() is None, f"{self.arguments} ended by itself:\n{self.tail()}"
        self._process.kill()
        self._process.wait(PATIENCE)
        self.kills += 1

    def stop(self) -> int:
        """Ask it to end, and return its exit code; where it does not run, nothing happens."""
        if self._process is None or self._process.poll() is not None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        self.exit_code = self._process.wait(PATIENCE)
        return self.exit_code

    def close(self) -> None:
        """End it however it is."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)

    def tail(self) -> str:
        """Return the last it wrote."""
        return self.output.read_text(errors="replace")[-3000:] if self.output.exists() else ""


class Modems(Program):
    """Emulated modems under links that stay; what reached the network is in a file that outlives them."""

    def __init__(self, directory: Path, count: int, *, delay: float) -> None:
        self.links = directory / "links"
        self.outbox = directory / "network.jsonl"
        self.outbox.touch()
        self.count = count
        arguments = ("-m", "otp.pi.emulator", f"--modems={count}", f"--link-dir={self.links}", f"--delay={delay}")
        super().__init__([*arguments, f"--outbox={self.outbox}"], directory / "modems.log")

    def kill(self) -> None:
        """Unplug them all: as the system does with those of a modem, the links go."""
        super().kill()
        for place in range(1, self.count + 1):
            self.link(place).unlink(missing_ok=True)

    def link(self, place: int) -> Path:
        """Return where a modem is plugged in."""
        return self.links / f"modem{place}"

    def plugged(self) -> bool:
        """Tell whether all of them are there."""
        return all(self.link(place).exists() for place in range(1, self.count + 1))

    def sent(self) -> int:
        """Return how many SMS have reached the network."""
        return self.outbox.read_bytes().count(b"\n")

    def parts(self) -> list[dict[str, Any]]:
        """Return every SMS that has reached the network, in order."""
        return [json.loads(line) for line in self.outbox.read_text("utf-8").splitlines()]

    def tables(self) -> list[str]:
        """Return the tables of the settings that use them."""
        return [
            f'[[modem]]\nname = "sim-{place}"\nport = "{self.link(place)}"\nimei = "{IMEIS[place - 1]}"\n'
            for place in range(1, self.count + 1)
        ]


SETTINGS = """data_dir = "data"

[rest]
enabled = false

[log]
format = "json"

[sms]
at_timeout = "2s"
prompt_timeout = "5s"
result_timeout = "10s"
health_interval = "5s"
reopen_longest = "1s"
breaker_pause = "1s"
breaker_longest = "2s"
"""
"""Settings under which it heals fast; all else is as it comes."""


class Pi(Program):
    """The OTP-Pi.

    Args:
        directory: Of its settings, log and data.
        tables: Of the settings, besides ``SETTINGS``.
    """

    def __init__(self, directory: Path, tables: Iterable[str]) -> None:
        directory.mkdir(exist_ok=True)
        self.data_dir = directory / "data"
        settings = directory / "pi.toml"
        settings.write_text("\n".join([SETTINGS, *tables]))
        settings.chmod(0o600)
        super().__init__(["-m", "otp.pi", "run", f"--config={settings}"], directory / "pi.log")
        self._read_from = 0

    def start(self) -> None:
        self._read_from = self.output.stat().st_size if self.output.exists() else 0
        super().start()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name that the process which runs has logged."""
        found = []
        with self.output.open("rb") as file:
            file.seek(self._read_from)
            lines = file.read().split(b"\n")[:-1]
        for line in lines:
            event = json.loads(line) if line.startswith(b"{") else {}
            if event.get("event") == name:
                found.append(event)
        return found

    def connected(self, *roads: str) -> bool:
        """Tell whether it has been connected to all of these since it was started."""
        return {*roads} <= {event["road"] for event in self.events("input_connected")}


async def become(condition: Any, what: str, *programs: Program, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds that nobody announces.

    Raises:
        AssertionError: It did not in time, or one of the programs that should bring it about has ended.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        for program in programs:
            assert program.running(), f"{program.arguments} ended by itself:\n{program.tail()}"
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n" + "".join(
            program.tail() for program in programs
        )
        await asyncio.sleep(0.02)
