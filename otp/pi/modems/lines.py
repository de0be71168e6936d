r"""Split what a modem sends into lines and the prompt, whatever the pieces it comes in.

    b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n"  ->  "+CSQ: 20,99", "OK"
    b"\r\n> "                         ->  PROMPT, once, while one is expected
    b'+CUSD: 1,"Menu\r\n1 Balance",15'  ->  one line: the quotes were still open

Empty lines are dropped. Bytes are read as Latin-1: nothing can fail to decode, and PDUs are hexadecimal anyway.
"""

import re
from typing import Final

PROMPT: Final = ">"
"""What stands for the prompt among the lines; no line that comes out of here is just this."""

MAX_LINE: Final = 4096
"""Longest line kept, in characters: the longest answer, a stored SMS, is below 400; what follows is cut off."""

_ENDS: Final = re.compile(rb"[\r\n]")
_OPEN: Final = re.compile(r'\+CUSD:\s*\d+\s*,\s*"')
_CLOSED: Final = re.compile(r'.*"\s*(,\s*\d*\s*)?', re.DOTALL)


class Lines:
    """Collect bytes, give back lines.

    Attributes:
        expect_prompt: Set by who waits for a prompt; falls when it came. Otherwise ``>`` begins a line like any other.
    """

    __slots__ = ("_buffer", "_open", "_skip_blank", "expect_prompt")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._open = ""
        self._skip_blank = False
        self.expect_prompt = False

    def give_up_quotes(self) -> None:
        """Forget a text whose closing quote was lost, or it would take every line to come."""
        self._open = ""

    def feed(self, data: bytes) -> list[str]:
        """Take bytes and return the lines that are complete with them, and ``PROMPT``."""
        found: list[str] = []
        for piece in _pieces(data.replace(b"\0", b"")):
            if piece in (b"\r", b"\n"):
                self._end_of_line(found)
            else:
                self._more(piece)
            self._prompt(found)
        return found

    def _more(self, piece: bytes) -> None:
        if self._skip_blank:
            piece = piece.removeprefix(b" ")
            self._skip_blank = False
        self._buffer += piece[: MAX_LINE - len(self._buffer)]

    def _prompt(self, found: list[str]) -> None:
        if self.expect_prompt and self._buffer.lstrip().startswith(b">"):
            rest = self._buffer.lstrip()[1:]
            self._buffer[:] = rest.removeprefix(b" ")
            self._skip_blank = not rest
            self.expect_prompt = False
            found.append(PROMPT)

    def _end_of_line(self, found: list[str]) -> None:
        line = self._buffer.decode("latin-1").strip()
        self._buffer.clear()
        self._skip_blank = False
        if not line or line == PROMPT:
            return
        if self._open:
            line = f"{self._open}\n{line}"[:MAX_LINE]
        self._open = line if _is_open(line) else ""
        if not self._open:
            found.append(line)


def _is_open(line: str) -> bool:
    """Tell whether a text of the network goes on in the next line."""
    begun = _OPEN.match(line)
    return begun is not None and len(line) < MAX_LINE and _CLOSED.fullmatch(line, begun.end()) is None


def _pieces(data: bytes) -> list[bytes]:
    """Return what stands between the ends of lines, and these, in order."""
    pieces: list[bytes] = []
    start = 0
    for end in _ENDS.finditer(data):
        pieces += [data[start : end.start()], end.group()]
        start = end.end()
    return [piece for piece in [*pieces, data[start:]] if piece]
