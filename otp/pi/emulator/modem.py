"""Emulate a GSM modem on a pty, to try and to test everything without hardware.

What reaches the network is decoded by tables of the emulator's own and kept in ``parts`` and ``arrived``.
"""

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from otp.pi.emulator import commands, sms
from otp.pi.emulator.arrived import Arrived, Part
from otp.pi.emulator.decode import DecodeError, Submitted, submitted
from otp.pi.emulator.device import Device
from otp.pi.emulator.encode import delivers, status_report
from otp.pi.emulator.knobs import Knobs
from otp.pi.emulator.line import Body, CommandLine, Event, Input
from otp.pi.emulator.network import Network
from otp.pi.emulator.refusals import CmsError, RefusedError
from otp.pi.emulator.requests import requests
from otp.pi.emulator.sim import SimCard
from otp.pi.emulator.table import carry_out
from otp.pi.emulator.timers import Timers
from otp.pi.emulator.wire import Wire

TABLES = (commands, sms)
"""Modules that fill the table of commands when they are imported."""

_NO_CENTRE, _NO_NETWORK = 330, 331
_COMMANDS_KEPT = 1000


class Emulator:
    """A modem that is plugged in while its context is open.

    Attributes:
        name: What messages say they came through.
        knobs: How it misbehaves; turn them at any time.
        sim: Its card.
        bodies: How often a body was handed over, whatever became of it.
        commands: The last command lines it heard, in order.
    """

    def __init__(
        self,
        *,
        name: str = "emulated",
        imei: str = "860000000000017",
        imsi: str = "510101234567890",
        iccid: str = "8962100012345678905",
        knobs: Knobs | None = None,
        link: Path | None = None,
        on_message: Callable[[Arrived], None] | None = None,
        on_part: Callable[[Part], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.knobs = knobs or Knobs()
        self.sim = SimCard(self.knobs, imsi=imsi, iccid=iccid)
        self.bodies = 0
        self.commands: deque[str] = deque(maxlen=_COMMANDS_KEPT)
        self._imei = imei
        self._link = link
        self._clock = clock
        self._network = Network(name, on_part, on_message)
        self._references = 0
        self._wire: Wire | None = None
        self._input = Input()
        self._busy = self._answering = self._deaf = False
        self._held_back: list[str] = []

    async def __aenter__(self) -> Self:
        self._timers = Timers()
        self._reports = Timers()
        self._device = Device(self._imei, self.sim, self.knobs, self._timers, self._emit)
        self.replug()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()
        self._reports.cancel()

    # -- the hand at the plug

    @property
    def port(self) -> str:
        """Path that a driver opens; the link where one was given, even while it is unplugged."""
        if self._wire is not None:
            return self._wire.port
        return str(self._link or "")

    def unplug(self) -> None:
        """Pull it out of the computer: the driver reads an end or an I/O error."""
        if self._wire is None:
            return
        self._wire.close()
        self._wire = None
        self._timers.cancel()
        self._device.stop()

    def replug(self) -> None:
        """Plug it in again, on a new pty under the same link, as after a power cut."""
        if self._wire is not None:
            return
        self._wire = Wire(self._received, link=self._link, chunk=lambda: self.knobs.chunk)
        self._input = Input()
        self._busy = self._answering = self._deaf = False
        self._held_back.clear()
        self._device.start()
        if self.knobs.boot:
            for line in self._device.maker.boot:
                self._emit(line)

    # -- the network

    @property
    def arrived(self) -> list[Arrived]:
        """Whole messages that reached the network, in order."""
        return self._network.arrived

    @property
    def parts(self) -> list[Part]:
        """Every single SMS that reached the network, in order."""
        return self._network.parts

    async def wait_for(self, count: int) -> list[Arrived]:
        """Wait until so many whole messages have arrived since the start, and return them all."""
        return await self._network.wait_for(count)

    def receive_sms(self, sender: str, text: str, *, at: float | None = None) -> None:
        """Let an SMS of any length come in."""
        self._references = (self._references + 1) % 256
        moment = self._clock() if at is None else at
        for pdu, length in delivers(sender, text, at=moment, reference=self._references, smsc=self.sim.smsc):
            self._device.incoming.add(pdu, length)

    def report(self, number: int, status: int = 0) -> None:
        """Let the network report on the newest SMS with this message reference.

        Raises:
            LookupError: None was sent with it.
        """
        self._report(self._network.newest(number), status)

    def set_registered(self, registered: bool, *, roaming: bool = False) -> None:
        """Lose the network or find it, and tell the driver where it asked for that."""
        self.knobs.registered, self.knobs.roaming = registered, roaming
        if self._device.session.registration:
            self._emit(f"+CREG: {self._device.registration}")

    def say(self, line: str) -> None:
        """Send a line of the modem's own accord, even in the middle of something."""
        self._write_line(line)

    # -- bytes

    def _received(self, data: bytes) -> None:
        self._deaf = self._deaf and self.knobs.silent_at != ""
        if self._deaf or self.knobs.silent_at == "idle":
            return
        self._input.push(data)
        self._work()

    def _work(self) -> None:
        while not self._busy and not self._deaf and self._wire is not None:
            event = self._input.next()
            self._echo()
            if event is None:
                break
            self._handle(event)
        if self._input.in_body and self._half_came() and self._drops("half_body"):
            self._drop()

    def _echo(self) -> None:
        if self._device.session.echo and self._wire is not None:
            self._wire.write(bytes(self._input.echo))
        self._input.echo.clear()

    def _half_came(self) -> bool:
        # Two hexadecimal digits an octet: as many digits as octets is half.
        return self._device.announced is not None and self._input.length >= self._device.announced

    def _write(self, text: str) -> None:
        if self._wire is not None:
            self._wire.write(text.encode("latin-1", "replace"))

    def _write_line(self, line: str) -> None:
        self._write(f"\r\n{line}\r\n")

    def _emit(self, line: str) -> None:
        """Send a line of its own accord; the modem holds it back while it is at something else."""
        if self._input.in_body or self._busy or self._answering or self._deaf:
            self._held_back.append(line)
        else:
            self._write_line(line)

    def _noise(self) -> None:
        for line in self.knobs.noise:
            self._write_line(line)

    def _finish(self, final: str) -> None:
        self._noise()
        self._write_line(final)
        self._answering = False
        held_back, self._held_back = self._held_back, []
        for line in held_back:
            self._write_line(line)

    # -- commands

    def _handle(self, event: Event) -> None:
        match event:
            case CommandLine(text):
                if text.strip()[:2].upper() == "AT":
                    self.commands.append(text.strip())
                    self._command(text.strip()[2:])
            case Body(text):
                self._body(text)
            case _:
                self._device.announced = None
                self._finish("OK")

    def _command(self, line: str) -> None:
        self._answering = True
        try:
            for request in requests(line):
                self._inform(carry_out(self._device, request))
        except RefusedError as error:
            self._device.announced = None
            self._finish(error.final(self._device.session.errors))
            return
        if self._device.announced is None:
            self._finish("OK")
        else:
            self._prompt()

    def _inform(self, lines: list[str]) -> None:
        if lines:
            self._write_line("\r\n".join(lines))

    def _prompt(self) -> None:
        self._answering = False
        if self._drops("command"):
            self._drop()
        elif self.knobs.silent_at == "prompt":
            self._go_deaf()
        elif self.knobs.fails("prompt", 0):
            self._device.announced = None
            self._finish(CmsError(self.knobs.cms).final(0))
        else:
            self._input.in_body = True
            self._noise()
            if not self.knobs.no_prompt:
                self._write("\r\n> ")
            if self._drops("prompt"):
                self._drop()

    # -- a message on its way

    def _body(self, pdu: str) -> None:
        self.bodies += 1
        length, self._device.announced = self._device.announced or 0, None
        try:
            message = submitted(pdu, length, now=self._clock())
            self._judge(message)
        except DecodeError:
            self._finish(CmsError(sms.INVALID_PDU).final(0))
        except CmsError as error:
            self._finish(error.final(0))
        else:
            self._send(message)

    def _judge(self, message: Submitted) -> None:
        """Raise what the network refuses a message with."""
        if not self._device.on_air:
            raise CmsError(_NO_NETWORK)
        if not (message.smsc or self.sim.smsc):
            raise CmsError(_NO_CENTRE)
        part = message.concatenation.index if message.concatenation else 0
        if self.knobs.fails("body", part):
            raise CmsError(self.knobs.cms)

    def _send(self, message: Submitted) -> None:
        silent, dropped = self.knobs.silent_at == "body", self._drops("body")
        if silent or dropped:
            if not self.knobs.lost:
                self._take(message)
            if dropped:
                self._drop()
            else:
                self._go_deaf()
            return
        if not self.knobs.delay:
            self._sent_out(message)
            return
        self._busy = True
        self._timers.later(self.knobs.delay, lambda: self._go_on(message))

    def _go_on(self, message: Submitted) -> None:
        self._busy = False
        self._sent_out(message)
        self._work()

    def _sent_out(self, message: Submitted) -> None:
        self._busy = True  # a report that comes at once is told after the result
        number = self._take(message)
        self._busy = False
        self._timers.later(self.knobs.late_result, lambda: self._result(number))

    def _result(self, number: int) -> None:
        self._write_line(f"+CMGS: {number}")
        if self._drops("result"):
            self._drop()
        else:
            self._finish("OK")

    def _take(self, message: Submitted) -> int:
        """Let a message reach the network, and return its message reference."""
        part = self._network.take(message, self._clock())
        if part.report and self.knobs.reports:
            self._reports.later(self.knobs.report_delay, lambda: self._report(part, self.knobs.report_status))
        return part.number

    def _report(self, part: Part, status: int) -> None:
        pdu, length = status_report(
            part.receiver, reference=part.number, status=status, sent_at=part.at, at=self._clock(), smsc=self.sim.smsc
        )
        self._device.incoming.add(pdu, length, is_report=True)

    # -- hanging, and the plug that falls out

    def _go_deaf(self) -> None:
        self._deaf = True
        self._device.announced = None
        self._input = Input()

    def _drops(self, at: str) -> bool:
        if self.knobs.drop_at != at:
            return False
        self.knobs.drop_at = ""
        return True

    def _drop(self) -> None:
        self.unplug()
        if self.knobs.replug_after is not None:
            self._reports.later(self.knobs.replug_after, self.replug)
