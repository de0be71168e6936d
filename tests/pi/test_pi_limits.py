"""What the OTP-Pi promises about size and speed: a Raspberry Pi is small, and four modems are four times one."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from paho.mqtt import publish as paho_publish

from otp.pi.journal import Journal
from otp.pi.model import Channel, NewMessage, Origin
from tests.pi.chaos.journal import is_open, read
from tests.pi.chaos.processes import Modems, Pi, Program, become
from tests.pi.chaos.verdict import Published, judge
from tests.publisher import rigs
from tests.publisher.servers import HOST, PASSWORD, MosquittoServer, RabbitServer

MEGABYTE = 2**20
ROWS = 100_000
AT_ONCE = 250
"""Rows that are written in one commit."""

LIBRARIES = {
    "amqp": {"aio_pika", "aiormq", "otp.pi.inputs.amqp"},
    "redis": {"redis", "otp.pi.inputs.redis"},
    "mqtt": {"paho", "otp.pi.inputs.mqtt"},
    "ws": {"otp.pi.inputs.ws"},
    "mail": {"aiosmtplib", "otp.pi.mail.mailer"},
    "modem": {"serialx", "otp.pi.modems.modem"},
}
"""What belongs to each part, and is of no use to anybody else."""

TABLES = {
    "amqp": '[[amqp]]\nhost = "127.0.0.1"\nport = 9\n',
    "redis": '[[redis]]\nhost = "127.0.0.1"\nport = 9\n',
    "mqtt": '[[mqtt]]\nhost = "127.0.0.1"\nport = 9\n',
    "ws": '[[ws]]\nhost = "127.0.0.1"\nport = 9\n',
    "mail": '[[mail]]\nname = "mail"\nhost = "127.0.0.1"\nport = 9\ntls = "none"\nsender = "otp@example.com"\n',
    "modem": '[[modem]]\nname = "sim"\nport = "/nonexistent"\n',
}
"""Nobody answers there; nothing more than the start is needed."""


def waiting(number: int, *, deadline: float | None = None) -> NewMessage:
    now = time.time()
    return NewMessage(
        command="send-sms",
        channel=Channel.SMS,
        receiver=f"+62812{50_000_000 + number}",
        receiver_key=f"+62812{50_000_000 + number}",
        text=f"Your code is {number:06}",
        message_id=f"m{number}",
        origin=Origin(road="amqp"),
        arrived=now,
        deadline=now + 3600 if deadline is None else deadline,
    )


async def fill(data_dir: Path, messages: Iterable[NewMessage]) -> None:
    """Put messages into the journal of an OTP-Pi that does not run."""
    journal = await Journal.open(data_dir)
    try:
        pending = list(messages)
        for start in range(0, len(pending), AT_ONCE):
            await asyncio.gather(*map(journal.accept, pending[start : start + AT_ONCE]))
    finally:
        await journal.close()


async def all_ended(pi: Pi, count: int) -> None:
    """Wait until so many messages are in the journal, and nothing is left to do."""
    async with asyncio.timeout(60):
        while True:
            rows = await read(pi.data_dir)
            if len(rows) >= count and not any(map(is_open, rows)):
                return
            assert pi.running(), pi.tail()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def running(*programs: Program) -> AsyncIterator[None]:
    """Start programs, and end them however the test ends."""
    try:
        for program in programs:
            program.start()
        yield
    finally:
        for program in reversed(programs):
            program.close()


def kilobytes(pid: int, field: str) -> int:
    """Return a figure of ``/proc/PID/status``."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


# -- four modems


async def rate(directory: Path, modems: int, messages: int) -> float:
    """Return how many SMS a second reached the network, from the first to the last."""
    network = Modems(directory, modems, delay=0.3)
    pi = Pi(directory / "pi", network.tables())
    await fill(pi.data_dir, map(waiting, range(messages)))
    async with running(network):
        await become(network.plugged, "plugged in", network)
        async with running(pi):
            await become(lambda: network.sent() >= messages, "sent", network, pi)
            parts = network.parts()
    assert len({part["receiver"] for part in parts}) == len(parts) == messages
    assert len({part["modem"] for part in parts}) == modems
    times = [float(part["at"]) for part in parts]
    return (messages - 1) / (max(times) - min(times))


@pytest.mark.timeout(180)
async def test_limits_four_modems_send_four_times_as_fast_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network takes 0.3 s for an SMS; four modems wait for it at the same time, and nobody waits for another."""
    for name in ("one", "four"):
        (tmp_path / name).mkdir()
    one, four = await rate(tmp_path / "one", 1, 12), await rate(tmp_path / "four", 4, 48)
    with capsys.disabled():
        print(f"\none modem {one:.2f}, four modems {four:.2f} SMS a second: {four / one:.2f} times")  # noqa: T201
    assert four / one > 3


# -- memory


@pytest.mark.timeout(300)
async def test_limits_memory_stays_under_100_megabytes(
    tmp_path: Path, rabbit: RabbitServer, mosquitto: MosquittoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four modems, two roads, a journal of 100,000 rows, 1,000 of them waiting, and messages over both roads."""
    network = Modems(tmp_path, 4, delay=0.0)
    account = f'host = "{HOST}"\nusername = "{rigs.USER}"\npassword = "{PASSWORD}"\ntopic = "limits"\n'
    roads = [f"[[amqp]]\nport = {rabbit.port}\n{account}", f"[[mqtt]]\nport = {mosquitto.port}\n{account}"]
    pi = Pi(tmp_path / "pi", [*roads, *network.tables()])
    await fill(pi.data_dir, (waiting(number, deadline=1.0) for number in range(ROWS - 1000)))
    await fill(pi.data_dir, (waiting(number) for number in range(ROWS - 1000, ROWS)))
    published = [
        Published(receiver=f"+62812{70_000_000 + number}", text=f"code {number}", deadline=time.time() + 3600)
        for number in range(100)
    ]
    async with running(network):
        await become(network.plugged, "plugged in", network)
        async with running(pi):
            await become(lambda: pi.connected("amqp", "mqtt"), "connected", pi)
            at_start = kilobytes(pi.pid, "VmRSS")
            await _publish(rabbit, mosquitto, published)
            await become(lambda: network.sent() >= 1100, "sent", network, pi, seconds=120)
            await all_ended(pi, ROWS + 100)
            now, most = kilobytes(pi.pid, "VmRSS"), kilobytes(pi.pid, "VmHWM")
            assert await asyncio.to_thread(pi.stop) == 0
    with capsys.disabled():
        print(f"\nmemory: {at_start / 1024:.1f} MB connected, {now / 1024:.1f} MB, at most {most / 1024:.1f}")  # noqa: T201
    receivers = {message.receiver for message in published}
    rows = [row for row in await read(pi.data_dir) if row.receiver in receivers]
    parts = [part for part in network.parts() if part["receiver"] in receivers]
    assert judge(published, rows, parts).faults == []
    assert most * 1024 < 100 * MEGABYTE


async def _publish(rabbit: RabbitServer, mosquitto: MosquittoServer, published: list[Published]) -> None:
    """Publish half of the messages on each road."""
    payloads = [
        json.dumps({"command": "send-sms", "data": {"receiver": each.receiver, "message": each.text, "id": each.text}})
        for each in published
    ]
    async with await aio_pika.connect(host=HOST, port=rabbit.port, login=rigs.USER, password=PASSWORD) as connection:
        channel = await connection.channel()
        for payload in payloads[::2]:
            await channel.default_exchange.publish(aio_pika.Message(payload.encode()), "limits")
    auth: Any = {"username": rigs.USER, "password": PASSWORD}
    messages: list[Any] = [("limits", payload, 1, False) for payload in payloads[1::2]]
    await asyncio.to_thread(paho_publish.multiple, messages, HOST, mosquitto.port, auth=auth)


# -- what is not configured


@pytest.mark.parametrize(
    "configured",
    [(), ("amqp",), ("redis",), ("mqtt",), ("ws",), ("mail",), ("modem",), ("amqp", "mqtt", "modem")],
    ids=lambda configured: "+".join(configured) or "nothing",
)
async def test_limits_what_is_not_configured_is_not_imported(tmp_path: Path, configured: tuple[str, ...]) -> None:
    """Roads, mail and modems cost nothing where they are not used: neither they nor their libraries are loaded."""
    pi = Pi(tmp_path / "pi", [TABLES[name] for name in configured])
    told = tmp_path / "modules.json"
    pi.arguments[2:3] = ["tests.pi.loaded_modules", str(told)]
    async with running(pi):
        await become(lambda: pi.events("ready"), "ready", pi)
        assert await asyncio.to_thread(pi.stop) == 0
    loaded = set(json.loads(told.read_text()))
    wanted = {module for name in configured for module in LIBRARIES[name]}
    others = {module for modules in LIBRARIES.values() for module in modules} - wanted
    assert wanted <= loaded
    assert not others & loaded


# -- the start


async def seconds_to(pi: Pi, condition: Callable[[], object]) -> float:
    """Start the Pi and return how long it took until a condition held."""
    start = time.monotonic()
    async with running(pi):
        await become(condition, "started", pi)
        return time.monotonic() - start


async def test_limits_start_to_ready_is_a_matter_of_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two seconds on an idle machine, which the figure that is printed shows; ten on one that has a lot to do."""
    network = Modems(tmp_path, 2, delay=0.0)
    pi = Pi(tmp_path / "pi", [TABLES["amqp"], TABLES["mqtt"], *network.tables()])
    async with running(network):
        await become(network.plugged, "plugged in", network)
        ready = await seconds_to(pi, lambda: pi.events("ready"))
        modems = await seconds_to(pi, lambda: sum(each["state"] == "ready" for each in pi.events("modem_state")) == 2)
    with capsys.disabled():
        print(f"\nfrom start to ready: {ready:.2f} s; with both modems ready: {modems:.2f} s")  # noqa: T201
    assert ready < 10
