"""Be a driver of the plainest kind: a file descriptor of a pty, and bytes."""

import asyncio
import os
import re
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self

PATIENCE = 10.0

_FINAL = re.compile(rb"\r\n(OK|ERROR|\+CM[ES] ERROR: [^\r\n]*)\r\n")


async def become_true(condition: Callable[[], object]) -> None:
    """Wait until a condition holds that nobody announces."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  (the emulator has no event for each of its attributes)
            await asyncio.sleep(0.001)


class Port:
    """The driver's end of an emulated modem."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        # TCSANOW: what the modem said before anybody listened is kept.
        tty.setraw(self._descriptor, termios.TCSANOW)
        self._heard = bytearray()
        self._news = asyncio.Event()
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._readable)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:
            data = b""
        if not data:
            self._open = False
            self._loop.remove_reader(self._descriptor)
        self._heard += data
        self._news.set()

    def write(self, data: str | bytes) -> None:
        os.write(self._descriptor, data.encode() if isinstance(data, str) else data)

    async def until(self, pattern: bytes | re.Pattern[bytes]) -> str:
        """Return what was heard up to and including the pattern, and forget it."""
        wanted = re.compile(re.escape(pattern)) if isinstance(pattern, bytes) else pattern
        async with asyncio.timeout(PATIENCE):
            while (found := wanted.search(self._heard)) is None:
                assert self._open, f"hung up after {bytes(self._heard)!r}"
                self._news.clear()
                await self._news.wait()
        heard = bytes(self._heard[: found.end()])
        del self._heard[: found.end()]
        return heard.decode("latin-1")

    async def ask(self, command: str) -> list[str]:
        """Send a command line and return the lines that came back, the final result last."""
        self.write(command + "\r")
        return [line for line in (await self.until(_FINAL)).split("\r\n") if line]

    async def send(self, pdu: str, length: int) -> list[str]:
        """Send a message and return what came back after the body."""
        self.write(f"AT+CMGS={length}\r")
        await self.until(b"\r\n> ")
        self.write(pdu + "\x1a")
        return [line for line in (await self.until(_FINAL)).split("\r\n") if line]

    async def hung_up(self) -> str:
        """Wait for the end of the port, and return what was heard before it."""
        async with asyncio.timeout(PATIENCE):
            while self._open:
                self._news.clear()
                await self._news.wait()
        return self._heard.decode("latin-1")


def hello(
    receiver: str = "6281234567890", *, first: int = 0x11, header: str = "", text: bytes = b"\xe8\x32\x9b\xfd\x06"
) -> tuple[str, int]:
    """Return an SMS-SUBMIT that says hello, put together by hand, and its length for ``AT+CMGS=``."""
    address = "".join(b + a for a, b in zip(receiver[::2], (receiver + "F")[1::2], strict=False))
    scheme, length = ("04", f"{len(text) + len(header) // 2:02X}") if header else ("00", "05")
    tpdu = f"{first | 0x40 * bool(header):02X}00{len(receiver):02X}91{address}00{scheme}02{length}{header}{text.hex()}"
    return "00" + tpdu, len(tpdu) // 2


def part(index: int, total: int, reference: int = 7, *, text: bytes = b"ab") -> tuple[str, int]:
    """Return a part of a long message, in 8 bit data."""
    return hello(header=f"050003{reference:02X}{total:02X}{index:02X}", text=text)
