"""Cut what a driver writes into command lines and message bodies (V.250, 5.2.1 and 27.005, 3.5.1)."""

from dataclasses import dataclass

_CARRIAGE_RETURN = 0x0D
_LINE_FEED = 0x0A
_BACKSPACE = 0x08
_CTRL_Z = 0x1A
_ESCAPE = 0x1B
_LONGEST = 4096
"""Octets of a line; what comes beyond is dropped, as a modem's small memory does."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What stood before a carriage return."""

    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """What stood between the prompt and Ctrl-Z."""

    text: str


@dataclass(frozen=True, slots=True)
class Aborted:
    """ESC came instead of Ctrl-Z."""


Event = CommandLine | Body | Aborted


class Input:
    """Bytes in, events out, one at a time: a command decides how the bytes behind it are read.

    Attributes:
        in_body: Bytes belong to a message until Ctrl-Z or ESC; set by who answers ``AT+CMGS``.
        echo: What a modem with echo on has to send back; taken by the owner.
    """

    __slots__ = ("_held", "_line", "echo", "in_body")

    def __init__(self) -> None:
        self._held = bytearray()
        self._line = bytearray()
        self.in_body = False
        self.echo = bytearray()

    @property
    def length(self) -> int:
        """Octets of the line or body so far."""
        return len(self._line)

    def push(self, data: bytes) -> None:
        """Take what came from the driver."""
        self._held += data

    def next(self) -> Event | None:
        """Return the next event, or ``None`` when more bytes are needed."""
        while self._held:
            event = self._step(self._held.pop(0))
            if event is not None:
                return event
        return None

    def _step(self, byte: int) -> Event | None:
        if self.in_body and byte in {_CTRL_Z, _ESCAPE}:
            self.in_body = False
            text = self._take()
            return Body(text) if byte == _CTRL_Z else Aborted()
        if byte not in {_CTRL_Z, _ESCAPE}:
            self.echo.append(byte)
        if byte == _CARRIAGE_RETURN and not self.in_body:
            return CommandLine(self._take())
        if byte == _BACKSPACE:
            del self._line[-1:]
        elif byte == _ESCAPE:
            self._line.clear()
        elif byte not in {_CARRIAGE_RETURN, _LINE_FEED, _CTRL_Z} and len(self._line) < _LONGEST:
            self._line.append(byte)
        return None

    def _take(self) -> str:
        text = self._line.decode("latin-1")
        self._line.clear()
        return text
