"""Stand in for what is behind the HTTP faces of the OTP-Pi: a journal, ways in, modems and commands."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt

from otp.pi.inputs.base import InputStatus
from otp.pi.model import Origin, State
from otp.pi.modems.status import ModemState, ModemStatus
from otp.pi.status import Status

NOW = 1_763_800_000.0
USER, PASSWORD = "app", "pass:word é"


def basic(user: str = USER, password: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


AUTHORIZED = {"Authorization": basic()}


def write_accounts(file: Path) -> Path:
    file.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    return file


@dataclass(frozen=True)
class Row:
    """A row of the journal."""

    number: int
    state: State = State.SENT
    arrived: float = NOW - 10

    def to_dict(self) -> dict[str, Any]:
        return {"number": self.number, "state": str(self.state), "arrived": self.arrived}


class Journal:
    """A journal in a list."""

    def __init__(self) -> None:
        self.kept: list[Row] = []
        self.fail: Exception | None = None
        self.full: Exception | None = None
        self.hang = False

    async def _look(self) -> None:
        if self.fail is not None:
            raise self.fail
        if self.hang:
            await asyncio.Event().wait()

    async def check(self) -> None:
        if self.full is not None:
            raise self.full

    async def counts(self) -> dict[State, int]:
        await self._look()
        return {state: sum(row.state is state for row in self.kept) for state in State}

    async def rows(
        self, *, limit: int = 100, before: int | None = None, after: int | None = None, state: State | None = None
    ) -> list[Row]:
        await self._look()
        found = [
            row
            for row in self.kept
            if (before is None or row.number < before)
            and (after is None or row.number > after)
            and state in {None, row.state}
        ]
        return found[:limit] if after is not None else found[::-1][:limit]

    async def inbox(self, limit: int) -> list[Row]:
        await self._look()
        return self.kept[:limit]

    async def blocked(self) -> list[Row]:
        await self._look()
        return self.kept[:1]


class Input:
    """A way in."""

    def __init__(self, name: str, *, connected: bool = True, detail: str = "") -> None:
        self.name = name
        self.topic = "sms"
        self.status = InputStatus(connected=connected, since=NOW - 5, detail=detail, received=7)


@dataclass(frozen=True)
class Account:
    """A mail account's status."""

    name: str
    state: str = "ready"


class Asked:
    """Carries out nothing and answers; remembers what it was asked."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.origins: list[Origin] = []
        self.hold: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.fail: Exception | None = None

    async def __call__(self, payload: bytes, origin: Origin) -> dict[str, Any]:
        self.payloads.append(payload)
        self.origins.append(origin)
        if self.fail is not None:
            raise self.fail
        if self.hold is not None and b"slow" in payload:
            self.reached.set()
            await self.hold.wait()
        return {"command": json.loads(payload).get("command", ""), "response_code": "0000", "data": {}}


def modem(name: str = "one", state: ModemState = ModemState.READY, **more: Any) -> ModemStatus:
    registered = state is ModemState.READY
    return ModemStatus(name=name, port="/dev/x", state=state, registered=registered, **{"signal": 20, **more})


class World:
    """All of it together."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.asked = Asked()
        self.inputs = [Input("amqp")]
        self.modems = [modem()]
        self.events: list[dict[str, Any]] = []
        self.status = Status(
            self.journal,
            inputs=lambda: self.inputs,
            modems=lambda: self.modems,
            mail=lambda: [Account("first")],
            events=lambda: self.events,
            clock=lambda: NOW,
        )


async def talk(
    port: int, *pieces: bytes, close: bool = False, more: Callable[[], Awaitable[None]] | None = None
) -> bytes:
    """Send bytes as they are over a connection of its own, and return what comes back until it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if more is not None:
            await more()
    if close:
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer
