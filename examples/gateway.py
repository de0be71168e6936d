"""Third scene: from an application over every road, through the OTP-Pi, to the telephone behind a modem.

The modem is one in software that a serial driver cannot tell from a real one; what it "sends" is decoded as a telephone
would decode it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from examples.stage import masked, paint, say
from otp.pi.control import ControlClient
from otp.pi.service import Service
from otp.pi.settings import Settings
from otp.publisher import AsyncPublisher

WAIT: Final = 10.0
"""Seconds for one message to get to the telephone."""

START_TIME: Final = 30.0
"""Seconds until every road is connected and the modem is registered."""

MODEM: Final = "stick"
TOPIC: Final = "otp-pi"
WORDS: Final = "thank you, café, شكرا, 😀"
TEMPLATE: Final = "Your code is %s, " + WORDS


@dataclass(frozen=True, slots=True)
class Road:
    """A way through a broker, as both ends need to know it.

    Attributes:
        method: What the publisher calls it.
        table: What the OTP-Pi's settings call it.
        title: What people call it.
        has_it: What is true once the broker has taken a message.
    """

    method: str
    table: str
    title: str
    has_it: str
    port: int
    username: str
    password: str

    def publisher(self) -> dict[str, Any]:
        """Return the application's settings."""
        # Codes are the OTP-Pi's affair in this scene; where they are made here, that is where they are kept.
        return {"method": self.method, "manage_otp": True, "store": "memory", "region": "ID", **self._shared()}

    def way_in(self) -> dict[str, Any]:
        """Return the OTP-Pi's settings."""
        return self._shared()

    def _shared(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "topic": TOPIC,
            "username": self.username,
            "password": self.password,
        }


class Telephones:
    """Every telephone that the emulated network reaches."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def ring(self, _modem: str, receiver: str, text: str) -> None:
        """Take a message from a modem."""
        self._messages.put_nowait((receiver, text))

    async def read(self) -> tuple[str, str]:
        """Return the next message, receiver and text.

        Raises:
            TimeoutError: None came in time.
        """
        return await asyncio.wait_for(self._messages.get(), WAIT)

    def silent(self) -> bool:
        """Tell whether nothing came that was not read."""
        return self._messages.empty()


class Scene:
    """The OTP-Pi at work, and what is done with it."""

    def __init__(self, service: Service, control: ControlClient, telephones: Telephones) -> None:
        self._service = service
        self._control = control
        self._telephones = telephones

    async def cross(self, road: Road, number: str) -> bool:
        """Send a message over a road; tell whether the telephone shows it, once and as it was sent."""
        code = f"{secrets.randbelow(10**6):06}"
        text = TEMPLATE % code
        async with AsyncPublisher(**road.publisher()) as publisher:
            handed = await publisher.send_sms(receiver=number, message=text)
        say("app", f"over {road.title}: sent an SMS, {handed.response_code}: {road.has_it}")
        return handed.ok and await self._arrives(text, code)

    async def over_rest(self, password: str, number: str) -> bool:
        """Have the OTP-Pi make a code, read it at the telephone and verify it twice."""
        url = f"{self._service.url}/api/otp"
        wanted = {"receiver": number, "reference": "order-2"}
        async with AsyncPublisher(
            method="REST", url=url, username="app", password=password, manage_otp=False, region="ID"
        ) as publisher:
            created = await publisher.create_otp(message=TEMPLATE, lifetime=60, **wanted)
            say("app", f"over REST: asked the OTP-Pi for a code: {created.response_code} ({created.message})")
            _, text = await self._telephones.read()
            code = text.removeprefix("Your code is ")[:6]
            await self._tell(text, code)
            answers = []
            for what in ("the code from the telephone", "the same code again"):
                answer = await publisher.verify_otp(otp=code, **wanted)
                say("app", f"verified {what}: {answer.response_code}")
                answers.append(str(answer.response_code))
        return created.ok and text == TEMPLATE % code and answers == ["0000", "1202"]

    async def _arrives(self, text: str, code: str) -> bool:
        try:
            _, got = await self._telephones.read()
        except TimeoutError:
            say("telephone", paint("bad", f"received nothing in {WAIT:.0f} s"))
            return False
        await self._tell(got, code)
        right = got == text and self._telephones.silent()
        say("telephone", paint("good", "exactly the text sent, once") if right else paint("bad", "not what was sent"))
        return right

    async def _tell(self, text: str, code: str) -> None:
        """Say what the OTP-Pi's journal and the telephone have."""
        row = (await self._control.get("/api/journal?limit=1"))["rows"][0]
        say("otp-pi", f"took it, wrote it to its journal (row {row['number']}), gave it to modem {row['modem']}")
        say("telephone", f"shows: {text.replace(code, masked(code))}")


async def play(roads: Sequence[Road], passwords: dict[str, str], folder: Path) -> bool:
    """Play the scene; tell whether all went well."""
    telephones = Telephones()
    data = folder / "otp-pi"
    async with (
        Service(_settings(roads, data, folder), arriving=telephones.ring) as service,
        ControlClient(data) as control,
    ):
        if not await _is_ready(service):
            return False
        say("otp-pi", f"is subscribed to {', '.join(road.title for road in roads)}")
        say("otp-pi", f"serves {service.url}/api/otp, for whoever has an account")
        say("modem", f"{MODEM}: emulated on a serial line, registered with its network")
        scene = Scene(service, control, telephones)
        good = [await scene.cross(road, f"0812666700{number}") for number, road in enumerate(roads)]
        good.append(await scene.over_rest(passwords["app"], "08126668000"))
    say("otp-pi", "finished what was under way, closed its modem and its journal, and stopped")
    return all(good)


def _settings(roads: Sequence[Road], data: Path, folder: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": data,
            "numbers": {"region": "ID"},
            "rest": {"port": 0, "password_file": str(folder / ".htpasswd")},
            "modem": [{"name": MODEM, "port": "emulate"}],
            **{road.table: [road.way_in()] for road in roads},
        }
    )


async def _is_ready(service: Service) -> bool:
    if await _comes_true(service.status.ready):
        return True
    _, reasons = await service.status.ready()
    say("otp-pi", paint("bad", f"is not ready after {START_TIME:.0f} s: {'; '.join(reasons)}"))
    return False


async def _comes_true(ask: Callable[[], Awaitable[tuple[bool, Any]]]) -> bool:
    until = asyncio.get_running_loop().time() + START_TIME
    while not (await ask())[0]:
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.05)
    return True
