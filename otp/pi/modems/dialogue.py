"""Talk AT with a modem: one command at a time, each answer to the command it belongs to.

A modem that was slow answers when nobody waits any longer, and its ``OK`` must not answer the next command. So a
command that got no final result leaves the dialogue *owed* one; before the next command it is brought back into step:
``ESC`` (in case the modem waits for a body), ``AT`` until an ``OK`` comes, then what is still owed has ``SETTLE`` to
arrive, and everything that arrives in all this is thrown away. Only ``+CMGS: <reference>`` has a meaning of its own
when it is late: it is handed on, and takes the ``OK`` that follows with it.

| line                                      | goes to                                                          |
|-------------------------------------------|------------------------------------------------------------------|
| prompt                                    | the command that waits for it                                    |
| ``+CMGS:`` while its body is under way    | the command                                                      |
| ``+CMGS:`` else                           | ``on_late``                                                      |
| ``+CMT:`` ``+CDS:`` and the PDU after it  | ``on_news``, both together                                       |
| ``+CMTI:`` ``+CDSI:`` ``+CUSD:``          | ``on_news``                                                      |
| what begins as the command's answer does  | the command, with the PDU after it                               |
| ``OK`` ``ERROR`` ``+CMS ERROR`` ...       | the command: it ends                                             |
| any other line                            | the command if it asks for free text and the line looks like it; |
|                                           | else ``on_news``                                                 |
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from otp.pi.modems import replies
from otp.pi.modems.lines import PROMPT, Lines

ESC: Final = b"\x1b"
END_OF_BODY: Final = b"\x1a"
SETTLE: Final = 0.3
"""Seconds that results still owed have to come in once an ``OK`` has come."""
STEPS: Final = 4
"""How often a modem is asked to come into step before it counts as silent: errors in between may be late ones."""
WITH_PDU: Final = ("+CMT:", "+CDS:")
STORED: Final = ("+CMGR:", "+CMGL:")
NOISE: Final = ("+", "^", "*", "%", "RING")
"""How lines begin that are not the free text of an answer."""


class SilentError(Exception):
    """The modem did not answer in time."""


class NoPromptError(SilentError):
    """The modem did not ask for the body in time."""


class UnpluggedError(Exception):
    """The port is gone."""


class CommandError(Exception):
    """The modem refused a command.

    Attributes:
        result: Kind and number of the error.
    """

    def __init__(self, result: replies.Result) -> None:
        super().__init__()
        self.result = result

    @property
    def token(self) -> str:
        """Return ``cms_38``, ``cme_10`` or ``error``."""
        return "error" if self.result.code is None else f"{self.result.kind}_{self.result.code}"


class NoReferenceError(Exception):
    """A body was sent, and its reference did not come: nobody knows whether the network took it."""


@dataclass(slots=True, eq=False)
class _Command:
    """The command under way.

    Attributes:
        text: As sent, to know its echo.
        prefix: How its answer begins; empty when there is none.
        free: Its answer may also be a line of free text.
        prompt, result: Set when they come; ``UnpluggedError`` when the port goes.
        body: What was sent after the prompt; empty before.
        lines: The answer so far.
    """

    text: str
    prefix: str
    free: bool
    prompt: asyncio.Future[None]
    result: asyncio.Future[replies.Result]
    body: str = ""
    lines: list[str] = field(default_factory=list)

    def answered_by(self, line: str) -> bool:
        """Tell whether a line is part of the answer."""
        return bool(self.prefix and line.startswith(self.prefix)) or (self.free and not line.startswith(NOISE))

    def echoed_by(self, line: str) -> bool:
        """Tell whether a line is what was sent."""
        return line == self.text or bool(self.body and line.startswith(self.body))


class Dialogue:
    """The conversation over one port, from the moment it is open until it is gone.

    Attributes:
        silences: Commands in a row that got no answer: it tells a modem that hangs.
        gone: The port is gone.
    """

    def __init__(
        self,
        write: Callable[[bytes], None],
        *,
        at_timeout: float,
        on_news: Callable[[str, str], None],
        on_late: Callable[[int], None],
    ) -> None:
        """Begin.

        Args:
            write: Writes to the port; raises ``UnpluggedError`` when it is gone.
            at_timeout: Seconds a command may take, unless it says otherwise.
            on_news: Takes an unsolicited line and the PDU that came with it, or an empty text.
            on_late: Takes the reference of a late ``+CMGS:``.
        """
        self.silences = 0
        self.gone = False
        self._write = write
        self._at_timeout = at_timeout
        self._on_news = on_news
        self._on_late = on_late
        self._lines = Lines()
        self._lock = asyncio.Lock()
        self._command: _Command | None = None
        self._head = ""
        self._owed = 1  # whoever had the port before may have left a command, or a prompt
        self._swallow = False
        self._step: asyncio.Future[bool] | None = None
        self._final_seen = asyncio.Event()

    # -- from the port

    def feed(self, data: bytes) -> None:
        """Take what the port has read."""
        for line in self._lines.feed(data):
            self._take(line)

    def lost(self) -> None:
        """Take note that the port is gone: whoever waits learns it now."""
        self.gone = True
        waiting: list[asyncio.Future[Any]] = []
        if self._step is not None:
            waiting.append(self._step)
        if self._command is not None:
            waiting += [self._command.prompt, self._command.result]
        for future in waiting:
            if not future.done():
                future.set_exception(UnpluggedError())
                future.exception()  # seen: not everybody waits for both

    def _take(self, line: str) -> None:
        command = self._command
        if command is not None and command.echoed_by(line):
            return
        if self._head and replies.is_hex(line):
            self._take_pdu(line)
        elif line == PROMPT and command is not None:
            command.prompt.set_result(None)
        elif (result := replies.result(line)) is not None:
            self._end(result)
        elif line.startswith("+CMGS:"):
            self._take_reference(line)
        elif line.startswith(WITH_PDU):
            self._head = line
        elif command is not None and command.answered_by(line):
            command.lines.append(line)
            self._head = line if line.startswith(STORED) else self._head
        else:
            self._on_news(line, "")

    def _take_pdu(self, line: str) -> None:
        head, self._head = self._head, ""
        if head.startswith(WITH_PDU):
            self._on_news(head, line)
        elif self._command is not None:
            self._command.lines.append(line)

    def _take_reference(self, line: str) -> None:
        reference = replies.reference(line)
        command = self._command
        if reference is None:
            return
        self._swallow = True
        if command is not None and command.body:
            command.lines.append(line)
            self._owed += 1
            self._end_command(replies.Result(ok=True))  # the network has it, whatever becomes of the OK
        else:
            self._on_late(reference)

    def _end(self, result: replies.Result) -> None:
        if self._swallow and result.ok:
            self._swallow = False
        elif self._end_command(result):
            return
        elif self._step is not None and not self._step.done():
            self._step.set_result(result.ok)
        self._owed = max(0, self._owed - 1)
        self._final_seen.set()

    def _end_command(self, result: replies.Result) -> bool:
        if self._command is None or self._command.result.done():
            return False
        self._command.result.set_result(result)
        return True

    # -- to the modem

    async def ask(self, text: str, *, prefix: str = "", free: bool = False, timeout: float | None = None) -> list[str]:
        """Send a command and wait for its end.

        Args:
            text: The command, without its end of line.
            prefix: How its answer begins, such as ``+CSQ:``.
            free: Whether its answer may be a line of free text.
            timeout: Seconds it may take; ``None`` is ``at_timeout``.

        Returns:
            The lines of its answer, without the final ``OK``.

        Raises:
            CommandError: the modem refused it.
            SilentError: it did not answer in time.
            UnpluggedError: the port is gone.
        """
        async with self._in_step():
            return await self._ask(text, prefix, free=free, timeout=timeout)

    async def _ask(self, text: str, prefix: str = "", *, free: bool = False, timeout: float | None = None) -> list[str]:
        async with self._under_way(text, prefix, free=free) as command:
            result = await self._wait(command.result, timeout or self._at_timeout)
        if not result.ok:
            raise CommandError(result)
        return command.lines

    async def submit(
        self,
        length: int,
        pdu: str,
        *,
        before_body: Callable[[], Awaitable[None]],
        prompt_timeout: float,
        result_timeout: float,
    ) -> int:
        """Send one SMS with ``AT+CMGS`` (TS 27.005, 4.3).

        Args:
            length: Octets of the TPDU, without the service centre's address.
            pdu: Hexadecimal.
            before_body: Awaited when the prompt has come: until it returns, nothing can have been sent.
            prompt_timeout: Seconds for the prompt.
            result_timeout: Seconds for the network to take it.

        Returns:
            The network's message reference.

        Raises:
            CommandError: the modem or the network refused it; nothing was sent.
            SilentError, NoPromptError: no answer or no prompt came in time; nothing was sent.
            UnpluggedError: the port went before the body; nothing was sent.
            NoReferenceError: the body was sent, and no answer or no reference came; its cause tells why.
            Exception: what ``before_body`` raised; nothing was sent.
        """
        async with self._in_step():
            await self._ask("AT+CMGF=0")  # a modem that restarted unseen is in text mode
            async with self._under_way(f"AT+CMGS={length}", prompt=True) as command:
                await self._prompt(command, prompt_timeout)
                await before_body()
                if command.result.done():  # it gave up waiting for us, or is gone
                    raise CommandError(command.result.result())
                self._write(pdu.encode("ascii") + END_OF_BODY)
                command.body = pdu
                return await self._reference(command, result_timeout)

    async def _prompt(self, command: _Command, timeout: float) -> None:
        await asyncio.wait((command.prompt, command.result), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if command.result.done():
            raise CommandError(command.result.result())
        if not command.prompt.done():
            self.silences += 1
            raise NoPromptError
        self.silences = 0

    async def _reference(self, command: _Command, timeout: float) -> int:
        try:
            result = await self._wait(command.result, timeout)
        except (SilentError, UnpluggedError) as error:
            raise NoReferenceError from error
        if not result.ok:
            raise CommandError(result)
        reference = replies.reference(command.lines[0]) if command.lines else None
        if reference is None:
            raise NoReferenceError
        return reference

    @asynccontextmanager
    async def _under_way(
        self, text: str, prefix: str = "", *, free: bool = False, prompt: bool = False
    ) -> AsyncIterator[_Command]:
        loop = asyncio.get_running_loop()
        self._command = command = _Command(text, prefix, free, loop.create_future(), loop.create_future())
        self._lines.expect_prompt = prompt
        try:
            self._write(f"{text}\r".encode("ascii"))
            yield command
        finally:
            self._command = None
            self._lines.expect_prompt = False
            if self._head.startswith(STORED):
                self._head = ""
            if not command.result.done():
                self._owed += 1
                if prompt and not command.body:
                    self._leave_prompt()

    def _leave_prompt(self) -> None:
        with suppress(UnpluggedError):
            self._write(ESC)

    async def _wait(self, result: asyncio.Future[replies.Result], timeout: float) -> replies.Result:
        await asyncio.wait((result,), timeout=timeout)
        if not result.done():
            self.silences += 1
            raise SilentError
        self.silences = 0
        return result.result()

    # -- staying in step

    @asynccontextmanager
    async def _in_step(self) -> AsyncIterator[None]:
        async with self._lock:
            if self._owed:
                await self._come_into_step()
            yield

    async def _come_into_step(self) -> None:
        self._lines.give_up_quotes()
        self._write(ESC)
        try:
            async with asyncio.timeout(self._at_timeout):
                for _ in range(STEPS):
                    if await self._attention():
                        break
                else:
                    raise SilentError
        except (TimeoutError, SilentError):
            self.silences += 1
            raise SilentError from None
        await self._settle()

    async def _attention(self) -> bool:
        self._step = asyncio.get_running_loop().create_future()
        self._owed += 1
        try:
            self._write(b"AT\r")
            return await self._step
        finally:
            self._step = None

    async def _settle(self) -> None:
        self.silences = 0
        while self._owed:
            self._final_seen.clear()
            try:
                async with asyncio.timeout(SETTLE):
                    await self._final_seen.wait()
            except TimeoutError:
                self._owed = 0
        self._swallow = False
