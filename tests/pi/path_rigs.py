"""The whole path: an application with the publisher, a road, the OTP-Pi, an emulated modem, a telephone."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from otp.pi.control import ControlClient
from otp.pi.emulator import Emulator, Knobs, Ussd
from otp.pi.service import Service
from otp.pi.settings import Settings
from otp.publisher import AsyncPublisher
from tests.conftest import until
from tests.pi.input_rigs import RIGS as WAYS_IN
from tests.pi.input_rigs import InputRig
from tests.pi.rest_doubles import AUTHORIZED, PASSWORD, USER, write_accounts
from tests.publisher.certificates import Certificates
from tests.publisher.rigs import RIGS as ROADS

ROAD_NAMES = {"ws": ("ws", "ws"), "amqp": ("amqp", "amqp"), "redis": ("redis", "pubsub"), "mqtt": ("mqtt", "mqtt")}
"""What tests call a road -> its table in the settings, and its way in."""

NAMES = [*ROAD_NAMES, "rest"]
MODEM = "modem-1"
BALANCE = "Balance: 5.000, valid until 31.12."


class Shifted:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.by = 0.0

    def __call__(self) -> float:
        return time.time() + self.by


class WholePath:
    """A running OTP-Pi with its modem, and the roads that lead to it.

    Attributes:
        arrived: Receiver and text of every message at a telephone, in order.
        control: Its control socket.
    """

    def __init__(self, service: Service, emulator: Emulator, ways: dict[str, InputRig], control: ControlClient) -> None:
        self.service = service
        self.emulator = emulator
        self.control = control
        self._ways = ways

    @property
    def arrived(self) -> list[tuple[str, str]]:
        return [(message.receiver, message.text) for message in self.emulator.arrived]

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.arrived]

    def topic(self, road: str) -> str:
        return self._ways[road].topic

    def keywords(self, road: str) -> dict[str, Any]:
        """Return the application's settings."""
        if road == "rest":
            url = f"{self.service.url}/api/otp"
            return {"method": "REST", "url": url, "username": USER, "password": PASSWORD, "timeout": "20s"}
        way = self._ways[road]
        return ROADS[road](way.server, way.certificates).keywords(topic=way.topic)

    def publisher(self, road: str, **more: Any) -> AsyncPublisher:
        wanted = {"manage_otp": True, "store": "memory", "region": "ID", **self.keywords(road), **more}
        return AsyncPublisher(**wanted)

    async def raw(self, road: str, payload: bytes | dict[str, Any]) -> dict[str, Any]:
        """Send bytes as they are; over REST their answer is returned."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        if road != "rest":
            await self._ways[road].send(data)
            return {}
        url = f"{self.service.url}/api/sms"
        async with aiohttp.ClientSession(headers=AUTHORIZED) as session, session.post(url, data=data) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    def answers(self, road: str, topic: str) -> Any:
        """Listen for answers as a publisher does."""
        return self._ways[road].answers(topic)

    async def rows(self) -> list[dict[str, Any]]:
        """Return the journal, newest first."""
        found: list[dict[str, Any]] = (await self.control.get("/api/journal?limit=100"))["rows"]
        return found

    async def row_comes(self, **wanted: str) -> dict[str, Any]:
        """Wait for a row that has these values, and return it."""
        async with asyncio.timeout(20):
            while True:
                for row in await self.rows():
                    if all(row[name] == value for name, value in wanted.items()):
                        return row
                await asyncio.sleep(0.01)

    async def texts_come(self, *texts: str) -> None:
        """Wait until telephones have these messages and no other, in any order."""
        await until(lambda: len(self.texts) >= len(texts), 30)
        assert sorted(self.texts) == sorted(texts)


@asynccontextmanager
async def whole_path(
    directory: Path,
    request: pytest.FixtureRequest,
    certificates: Certificates,
    *roads: str,
    clock: Callable[[], float] = time.time,
    **more: Any,
) -> AsyncIterator[WholePath]:
    """Run an OTP-Pi that the roads lead to, with a modem, until the block ends; yields once it is ready."""
    ways, tables = {}, {}
    for road in roads:
        if road != "rest":
            table, name = ROAD_NAMES[road]
            kind, server = WAYS_IN[name]
            ways[road] = kind(request.getfixturevalue(server), certificates, directory / "data")
            tables[table] = [ways[road].settings().model_dump() | {"password": ways[road].settings().password}]
    settings = Settings.model_validate(
        {
            "data_dir": directory / "data",
            "numbers": {"region": "ID"},
            "rest": {"port": 0, "password_file": str(write_accounts(directory / "accounts"))},
            "modem": [{"name": MODEM, "port": str(directory / "modem")}],
            "drain_time": 5.0,
            **tables,
            **more,
        }
    )
    knobs = Knobs(ussd={"*123#": Ussd(BALANCE)})
    async with (
        Emulator(name=MODEM, link=directory / "modem", knobs=knobs) as emulator,
        Service(settings, clock=clock) as service,
        ControlClient(directory / "data") as control,
    ):
        async with asyncio.timeout(30):
            while not (await service.status.ready())[0]:  # noqa: ASYNC110 - a modem tells nobody but its pool
                await asyncio.sleep(0.01)
        yield WholePath(service, emulator, ways, control)
