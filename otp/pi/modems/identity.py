"""Find the port of a modem by its IMEI, or by the IMSI of the card in it.

``/dev/ttyUSB3`` is another modem after the next start, and one stick has up to five ports of which some answer to AT
and some are silent. So the ports there are get asked, one at a time, and what each answered is remembered for
``REMEMBERED`` seconds, so that four modems that look for their ports do not ask every port four times. A port that a
modem has, or that the settings give to one, is never asked.
"""

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import serialx

from broker.logs import Log
from otp.pi import settings
from otp.pi.modems import replies
from otp.pi.modems.dialogue import CommandError, Dialogue, SilentError, UnpluggedError
from otp.pi.modems.port import Port, PortError, open_port

LOG: Final = Log("otp.pi")
REMEMBERED: Final = 60.0
"""Seconds that what a port answered is believed; a device that was replugged is asked anew at once."""
_MODEM: Final = re.compile(r"tty(USB|ACM)\d+")
_SIGNIFICANT: Final = 14
"""Digits of an IMEI that name the device; the rest is a check digit, or the version of its software."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers on a port; empty where it does not tell. A locked SIM card does not tell its IMSI."""

    imei: str = ""
    imsi: str = ""

    def matches(self, imei: str, imsi: str) -> bool:
        """Tell whether this is the modem that is looked for; an empty number is any."""
        return (not imei or same_device(self.imei, imei)) and (not imsi or self.imsi == imsi)


def same_device(one: str, other: str) -> bool:
    """Compare two IMEIs; one may lack the check digit, or be an IMEISV."""
    return one == other or (min(len(one), len(other)) >= _SIGNIFICANT and one[:_SIGNIFICANT] == other[:_SIGNIFICANT])


async def identify(dialogue: Dialogue) -> Identity:
    """Ask who is there.

    Raises:
        SilentError, UnpluggedError: nobody is.
    """
    numbers = []
    for command, prefix in (("AT+CGSN", "+CGSN:"), ("AT+CIMI", "+CIMI:")):
        try:
            numbers.append(replies.device_number(await dialogue.ask(command, prefix=prefix, free=True)))
        except CommandError:
            numbers.append("")
    return Identity(*numbers)


def candidate_ports() -> list[str]:
    """Return the ports a modem may be at: links that survive replugging first, each device once."""
    names = [port.device for port in serialx.list_serial_ports() if _MODEM.fullmatch(Path(port.resolved_device).name)]
    return sorted(names, key=lambda name: (not name.startswith("/dev/serial/"), name))


class Finder:
    """Find ports for all modems of a service.

    Attributes:
        asked: How many ports have been asked so far.
    """

    def __init__(
        self,
        *,
        at_timeout: float,
        candidates: Callable[[], Sequence[str]] = candidate_ports,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing known.

        Args:
            at_timeout: Seconds after which a silent port is passed over.
            candidates: Returns the ports there are.
            monotonic: Clock of ``REMEMBERED``.
        """
        self.asked = 0
        self._at_timeout = at_timeout
        self._candidates = candidates
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._held: set[str] = set()
        self._reserved: set[str] = set()
        self._known: dict[tuple[str, float], tuple[float, Identity | None]] = {}

    def reserve(self, port: str) -> None:
        """Leave a port to the modem the settings give it to."""
        self._reserved.add(port)

    @contextmanager
    def hold(self, port: str) -> Iterator[None]:
        """Keep a port for the modem that is about to open it.

        Raises:
            PortError: another modem has it.
        """
        real = os.path.realpath(port)
        if real in self._held:
            raise PortError(f"{port} belongs to another modem of the settings: give this one a port of its own")
        self._held.add(real)
        try:
            yield
        finally:
            self._held.discard(real)

    def forget(self) -> None:
        """Ask every port anew: one of them is not who it was."""
        self._known.clear()

    async def find(self, modem: settings.Modem) -> str:
        """Return the port of a modem: the one given, or the one that answers with its numbers.

        Raises:
            PortError: no port does.
        """
        if modem.port:
            return modem.port
        async with self._asking:
            ports = await asyncio.to_thread(self._candidates)
            self._drop_old()
            for port in ports:
                found = await self._identity(port, modem.baud_rate)
                if found is not None and found.matches(modem.imei, modem.imsi):
                    return port
        wanted = " and ".join(filter(None, (modem.imei and "this imei", modem.imsi and "this imsi")))
        hint = "; a SIM card that waits for its PIN does not tell its imsi: give imei or port" if modem.imsi else ""
        raise PortError(f"none of {len(ports)} ports answers with {wanted}: plug the modem in{hint}")

    def _drop_old(self) -> None:
        now = self._monotonic()
        self._known = {key: value for key, value in self._known.items() if now - value[0] < REMEMBERED}

    async def _identity(self, port: str, baud_rate: int) -> Identity | None:
        key = await asyncio.to_thread(self._device, port)
        if key is None:
            return None
        if key not in self._known:
            self._known[key] = (self._monotonic(), await self._ask(port, baud_rate))
        return self._known[key][1]

    def _device(self, port: str) -> tuple[str, float] | None:
        """Name the device that a port is now; ``None`` when it is somebody's, or not there."""
        real = os.path.realpath(port)
        if real in self._held or real in {os.path.realpath(each) for each in self._reserved}:
            return None
        try:
            return real, Path(real).stat().st_ctime
        except OSError:
            return None

    async def _ask(self, path: str, baud_rate: int) -> Identity | None:
        self.asked += 1
        try:
            port = await open_port(path, baud_rate)
        except PortError:
            return None
        try:
            return await identify(self._dialogue(port))
        except (SilentError, UnpluggedError):
            LOG.debug("port_silent", port=path)
            return None
        finally:
            await port.close()

    def _dialogue(self, port: Port) -> Dialogue:
        dialogue = Dialogue(port.write, at_timeout=self._at_timeout, on_news=_drop, on_late=_drop)
        port.attach(dialogue.feed, dialogue.lost)
        return dialogue


def _drop(*_unasked: object) -> None:
    """Leave what comes in for the modem that will open this port."""
