"""A broker in a process of its own that runs out of descriptors: it waits, says so once, and goes on."""

import asyncio
import contextlib
import re
import resource
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from broker.listener import ACCEPTS_A_TURN
from broker.server import LAST_DESCRIPTORS
from tests.conftest import MakeBroker, until
from tests.wire.pair import Pair
from tests.wire.raw import PATIENCE, Wire, closing, upgrade_request

LIMIT = 128
"""Descriptors of the broker's process."""
STRANGERS = 150
"""Connections that want one."""
LOOPS = {
    "uvloop": "from broker.cli import main; main()",
    "asyncio": "import sys; sys.modules['uvloop'] = None; from broker.cli import main; main()",
}


@dataclass
class Served:
    """A broker's process, seen from outside."""

    admin: str
    lines: list[str] = field(default_factory=list)
    """Its log so far."""

    @property
    def port(self) -> int:
        """The port that it says it listens on; 0 before it does."""
        found = [place[1] for line in self.lines if (place := re.search(r" on=127\.0\.0\.1:(\d+) ", line))]
        return int(found[0]) if found else 0

    async def keep_log(self, stream: asyncio.StreamReader) -> None:
        """Read the log to its end."""
        async for line in stream:
            self.lines.append(line.decode())

    async def metric(self, name: str) -> float:
        """Read one metric without labels."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.admin}/metrics") as response:
            found = re.search(rf"^{name} (\S+)$", await response.text(), re.MULTILINE)
        assert found is not None, f"no metric {name}"
        return float(found[1])

    async def wait_for_metric(self, name: str, value: float) -> None:
        """Wait until a metric has a value."""
        async with asyncio.timeout(PATIENCE):
            while await self.metric(name) != value:  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def served(program: str, accounts: Path, admin_port: int) -> AsyncIterator[Served]:
    """Run `wsbroker serve` with few descriptors, stop it with TERM, and check that it ends well."""
    options = {
        "password-file": accounts,
        "host": "127.0.0.1",
        "port": 0,
        "admin-port": admin_port,
        "handshake-timeout": "60s",
        "drain-time": 0,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        "serve",
        *(f"--{name}={value}" for name, value in options.items()),
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT)),
    )
    assert process.stderr is not None
    broker = Served(f"http://127.0.0.1:{admin_port}")
    logging = asyncio.create_task(broker.keep_log(process.stderr))
    try:
        await until(lambda: broker.port or logging.done(), PATIENCE)
        assert broker.port, broker.lines
        yield broker
        process.terminate()
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await logging


async def test_accepting_pauses_in_time(make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come at once, the descriptors that are kept back stay free for the rest of the process."""
    broker = await make_broker()
    monkeypatch.setattr("broker.server.descriptor_limit", lambda: LIMIT)
    with contextlib.ExitStack() as strangers:
        for _ in range(STRANGERS):  # nothing is awaited: all of them wait in the kernel when the broker looks
            strangers.enter_context(socket.create_connection(("127.0.0.1", broker.port)))
        await until(lambda: not broker.listener.accepting)
        for _ in range(20):  # whoever is accepted is counted within four rounds of the loop
            await asyncio.sleep(0)
        assert LIMIT - LAST_DESCRIPTORS <= broker.core.census.open < LIMIT - LAST_DESCRIPTORS + ACCEPTS_A_TURN


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("loop", list(LOOPS))
async def test_running_out_of_descriptors(loop: str, accounts: Path, free_port: int) -> None:
    """Accepting pauses with one log line, those who are in notice nothing, and who waits gets in once there is room."""
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop has no wheel for this platform")
    async with served(LOOPS[loop], accounts, free_port) as broker:
        with closing([]) as insiders, closing([]) as strangers:
            for _ in range(2):
                insiders.append(await Wire.connect(broker.port))
                await insiders[-1].upgrade(upgrade_request())
            assert await broker.metric("wsbroker_accepting") == 1.0
            async with Pair(insiders[0], insiders[1]) as pair:
                for _ in range(STRANGERS):  # the kernel completes every connection, accepted or not
                    strangers.append(await Wire.connect(broker.port))
                await broker.wait_for_metric("wsbroker_accepting", 0.0)
                await pair.exchange(200)
                patient = await Wire.connect(broker.port)
                strangers.append(patient)
                await patient.send(upgrade_request("/ws?topic=other"))
                assert await broker.metric("wsbroker_accepting") == 0.0
                for stranger in strangers[:STRANGERS]:
                    stranger.reset()
                # It is let in, or told to come again if not all strangers before it are gone yet.
                assert (await patient.head()).status in {101, 503}
                await broker.wait_for_metric("wsbroker_accepting", 1.0)
                patient.close()
                await broker.wait_for_metric("wsbroker_connections", 2.0)
                insiders.append(await Wire.connect(broker.port))
                await insiders[-1].upgrade(upgrade_request("/ws?topic=other"))
                await pair.exchange(50)
    assert sum("accepting_paused" in line for line in broker.lines) == 1
    assert not [line for line in broker.lines if "loop_error" in line or "internal_error" in line]
    assert len(broker.lines) < 30
