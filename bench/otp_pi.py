"""Start the OTP-Pi with emulated modems, both as processes of their own, and hear what reaches the telephones."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.budget import BenchError
from bench.cpu import CpuReader
from bench.machine import Cores
from bench.process import Running, spawn, stop
from otp.pi.control import ControlClient, NotRunningError

TOPIC = "sms"
_START_SECONDS = 30.0
_LINE = 2**20


@dataclass(frozen=True, slots=True)
class Telephones:
    """Where the emulated modems print every message, a line of JSON each."""

    lines: asyncio.StreamReader

    async def hear(self) -> str:
        """Return the text of the next message."""
        line = await self.lines.readline()
        if not line:
            raise BenchError("the emulated modems ended by themselves")
        return str(json.loads(line)["text"])


@dataclass(frozen=True, slots=True)
class OtpPi:
    """An OTP-Pi that is ready to send.

    Attributes:
        telephones: What it sends.
        cpu: Its processor time.
    """

    telephones: Telephones
    cpu: CpuReader


@asynccontextmanager
async def otp_pi(broker: Running, cores: Cores, *, modems: int, delay: float) -> AsyncIterator[OtpPi]:
    """Run an OTP-Pi that is subscribed to the broker, on the broker's core, until the block ends.

    Args:
        broker: Where commands come from.
        cores: The emulated modems share the load's core.
        modems: How many there are.
        delay: Seconds that the network takes for each SMS.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        directory = Path(folder)
        links = directory / "modems"
        emulate = [sys.executable, "-m", "otp.pi.emulator", "--json", "--modems", str(modems)]
        async with _telephones([*emulate, "--link-dir", str(links), "--delay", str(delay)], cores.load) as lines:
            for _ in range(modems):
                await asyncio.wait_for(lines.readline(), _START_SECONDS)
            config = directory / "pi.toml"
            config.write_text(_settings(broker, directory, links, modems))
            command = [sys.executable, "-m", "otp.pi", "run", "--config", str(config)]
            with _running(command, cores.broker, directory / "pi.log") as service:
                await _wait_until_ready(service, directory)
                yield OtpPi(Telephones(lines), CpuReader(service.pid, cores.broker))


@contextmanager
def _running(command: list[str], core: int, log: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    if log is None:
        process = spawn(command, core, subprocess.PIPE)
    else:
        with log.open("wb") as output:
            process = spawn(command, core, output)
    try:
        yield process
    finally:
        stop(process)


@asynccontextmanager
async def _telephones(command: list[str], core: int) -> AsyncIterator[asyncio.StreamReader]:
    """Run emulated modems and yield what they print."""
    reader = asyncio.StreamReader(limit=_LINE)
    with _running(command, core) as process:
        connected = asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), process.stdout
        )
        transport, _ = await connected
        try:
            yield reader
        finally:
            transport.close()
            await asyncio.sleep(0)  # the transport closes the pipe in the loop's next turn


async def _wait_until_ready(service: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    async with ControlClient(directory / "data") as control:
        while True:
            answer = await _health(control)
            if answer.get("status") == "ready":
                return
            if service.poll() is not None or time.monotonic() > deadline:
                said = (directory / "pi.log").read_text(errors="replace")[-2000:].strip()
                raise BenchError(f"the OTP-Pi is not ready ({answer.get('reasons', 'no answer')}); it said:\n{said}")
            await asyncio.sleep(0.05)


async def _health(control: ControlClient) -> dict[str, Any]:
    try:
        return await control.get("/readyz")
    except NotRunningError:
        return {}


def _settings(broker: Running, directory: Path, links: Path, modems: int) -> str:
    """Return a configuration file; the budgets of a receiver would end the measurement."""
    (user, password) = broker.peer.accounts[0]
    parts = [
        f'data_dir = "{directory / "data"}"',
        '[log]\nlevel = "warning"',
        '[numbers]\nregion = "ID"',
        "[guards]\nper_receiver_hour = 0\nper_receiver_day = 0",
        "[rest]\nenabled = false",
        f'[[ws]]\nport = {broker.port}\ntopic = "{TOPIC}"\nusername = "{user}"\npassword = "{password}"',
        *(f'[[modem]]\nname = "m{place}"\nport = "{links}/modem{place}"' for place in range(1, modems + 1)),
    ]
    return "\n".join(parts) + "\n"
