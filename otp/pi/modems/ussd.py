"""Ask the network with USSD codes, and read what it answers (3GPP TS 27.007, 7.15; codings of TS 23.038, 5).

How a text is written depends on the coding ``dcs`` and on the modem:

| dcs says | between the quotes                                                                            |
|----------|-----------------------------------------------------------------------------------------------|
| UCS-2    | hexadecimal, 4 digits a unit; some modems put plain text there all the same                   |
| 8 bit    | hexadecimal, 2 digits an octet                                                                |
| 7 bit    | plain text; from some modems septets, packed, in hexadecimal, and then they want codes so too |

Nothing but digits is text: ``1234`` is a balance, whatever the coding, unless it is UCS-2.
"""

import asyncio
import re
from typing import Final

from otp.pi.modems import gsm7, replies
from otp.pi.modems.dialogue import CommandError, Dialogue, SilentError, UnpluggedError
from otp.pi.modems.news import UssdAnswer
from otp.pi.modems.status import NotSentError

CODE: Final = re.compile(r"[0-9*#+]{1,64}")
_PACKED: Final = re.compile(r"(?=[0-9]*[A-F])(?:[0-9A-F]{2}){3,}")
_UNITS: Final = re.compile(r"(?:[0-9A-Fa-f]{4})+")
_OCTETS: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_PLAIN: Final = re.compile(r"[\n\r\x20-\x7e\u00a0-\u00ff\u20ac]*")
_REPLYABLE: Final = 1
_FAILED: Final = {2: "ended", 4: "not_supported", 5: "network_timeout"}
"""Modes in which the network says no more; 2 may still bring a text."""
_LANGUAGE_7: Final = 0x10
_LANGUAGE_UCS2: Final = 0x11


class Ussd:
    """The USSD side of one modem: one code at a time."""

    def __init__(self, timeout: float) -> None:
        """Begin.

        Args:
            timeout: Seconds that the network may take to answer.
        """
        self._timeout = timeout
        self._answer: asyncio.Future[str] | None = None
        self._packed = False

    def take(self, line: str) -> None:
        """Take a line ``+CUSD:``; one that nobody waits for is dropped."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(line)

    def lost(self) -> None:
        """Take note that the port is gone."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(UnpluggedError())

    async def ask(self, dialogue: Dialogue, code: str) -> UssdAnswer:
        """Send a code and wait for the answer.

        Raises:
            NotSentError: the code is none, or the network gave no answer.
            CommandError, SilentError, UnpluggedError: the modem failed.
        """
        if CODE.fullmatch(code) is None:
            raise NotSentError("invalid_code")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            await self._send(dialogue, code)
            async with asyncio.timeout(self._timeout):
                line = await self._answer
        except TimeoutError:
            await self._end(dialogue)
            raise NotSentError("network_timeout") from None
        finally:
            self._answer = None
        return read(line)

    async def _send(self, dialogue: Dialogue, code: str) -> None:
        try:
            await dialogue.ask(_command(code, packed=self._packed))
        except CommandError:
            await dialogue.ask(_command(code, packed=not self._packed))
            self._packed = not self._packed

    async def _end(self, dialogue: Dialogue) -> None:
        try:
            await dialogue.ask("AT+CUSD=2")
        except (CommandError, SilentError):
            return


def read(line: str) -> UssdAnswer:
    """Read a line ``+CUSD: m,"text",dcs``.

    Raises:
        NotSentError: it says that there is no answer.
    """
    found = replies.ussd(line)
    if found is None:
        raise NotSentError("unreadable")
    if found.mode in _FAILED and not found.text:
        raise NotSentError(_FAILED[found.mode])
    return UssdAnswer(
        text=decode(found.text or "", found.dcs), raw=line, replyable=found.mode == _REPLYABLE, dcs=found.dcs
    )


def decode(text: str, dcs: int | None) -> str:
    """Read the text of an answer in the coding that ``dcs`` says; what is not written in it stays as it is."""
    kind = _alphabet(15 if dcs is None else dcs)
    if kind == "ucs2" and _UNITS.fullmatch(text):
        octets = bytes.fromhex(text)
        return octets[2 if dcs == _LANGUAGE_UCS2 else 0 :].decode("utf-16-be", "replace")
    if kind == "8bit" and _OCTETS.fullmatch(text):
        return bytes.fromhex(text).decode("latin-1")
    if kind == "7bit" and _PACKED.fullmatch(text):
        unpacked = _unpack(bytes.fromhex(text))
        if _reads_well(unpacked):
            return unpacked[3 if dcs == _LANGUAGE_7 else 0 :]
    return text


def _reads_well(text: str) -> bool:
    """Tell whether unpacked septets are a text, and not something that only looked like hexadecimal."""
    return _PLAIN.fullmatch(text) is not None and 2 * sum(map(str.isascii, text)) > len(text)


def _alphabet(dcs: int) -> str:
    """Return the alphabet of a cell broadcast data coding scheme (TS 23.038, 5)."""
    group, low = dcs >> 4, dcs & 0x0F
    if dcs == _LANGUAGE_UCS2:
        return "ucs2"
    if group in (4, 5, 6, 7, 9):  # the general coding: two bits name the alphabet
        return ("7bit", "8bit", "ucs2", "7bit")[low >> 2 & 3]
    return "8bit" if group == 0xF and low & 4 else "7bit"  # noqa: PLR2004 - 1111: one bit names it


def _command(code: str, *, packed: bool) -> str:
    return f'AT+CUSD=1,"{pack(code) if packed else code}",15'


def pack(code: str) -> str:
    """Return a code as packed septets in hexadecimal; its characters are the same in ASCII and in GSM 03.38.

    Seven septets fill 49 bits of seven octets: the empty septet at the end would read as ``@``, so it is CR (TS
    23.038, 6.1.2.3.1).
    """
    septets = code.encode("ascii") + (b"\r" if len(code) % 8 == 7 else b"")  # noqa: PLR2004
    return gsm7.pack(septets).hex().upper()


def _unpack(octets: bytes) -> str:
    count = len(octets) * 8 // 7
    septets = gsm7.unpack(octets, count)
    if count % 8 == 0:
        septets = septets.removesuffix(b"\r")
    return gsm7.decode(septets)
