"""Where `websockets` decides: control frames, fragments, and everything that may break RFC 6455.

The connection hands over one whole frame at a time and gets back what to do. `websockets`' sans-I/O class checks bits,
masks, lengths, opcodes and Close codes; the whole message's UTF-8, the number of its fragments and its size in all are
checked here. A judge lives from the first odd frame to the next message boundary (4 us to make), so that an idle
connection does not pay for it: 5.8 KB become 1.4.
"""

import logging
from dataclasses import dataclass
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from broker.errors import (
    CLIENT_MESSAGE_TOO_BIG,
    INVALID_TEXT,
    NORMAL,
    PROTOCOL_ERROR,
    Closure,
)
from broker.frames import BINARY, PONG, TEXT, is_utf8, server_frame

LOGGER: Final = logging.getLogger("broker.websockets")
"""The library logs headers and payloads at DEBUG: its logger is pinned above that, whatever the root logger does."""
LOGGER.setLevel(logging.WARNING)

_BY_CODE: Final = {closure.code: closure for closure in (PROTOCOL_ERROR, INVALID_TEXT, CLIENT_MESSAGE_TOO_BIG)}


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message: first byte of its frame, and its payload."""

    opcode: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame that answers the client's own."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The end: the client said Close (`closure` is None, `code` is its code), or it must be closed for a reason."""

    closure: Closure | None
    code: int
    detail: str = ""


Verdict = Message | Reply | Goodbye | None


class Judge:
    """Decide over frames from one message boundary to the next.

    Args:
        max_size: payload bytes of one message, all fragments together.
        max_fragments: frames of one message.
    """

    __slots__ = ("fragments", "max_fragments", "max_size", "opcode", "protocol", "size")

    def __init__(self, max_size: int, max_fragments: int) -> None:
        self.protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=max_size, logger=LOGGER)
        self.max_size = max_size
        self.max_fragments = max_fragments
        self.opcode = TEXT
        self.fragments: list[bytes] = []
        self.size = 0

    @property
    def between_messages(self) -> bool:
        """True when no fragmented message is open, so that the fast path may take over again."""
        return not self.fragments

    def decide(self, frame: bytes) -> Verdict:
        """Judge one whole frame, or the first bytes of one that is refused whatever follows."""
        protocol = self.protocol
        protocol.receive_data(frame)
        if protocol.parser_exc is not None:
            return self._failure()
        events = protocol.events_received()
        protocol.data_to_send()  # its pongs and Close replies are ours to build
        if not events:  # `span` and the library disagree on where this frame ends: do not guess on
            return Goodbye(PROTOCOL_ERROR, PROTOCOL_ERROR.code, "incomplete frame")
        event = events[0]
        assert isinstance(event, Frame)  # noqa: S101 - requests and responses come before the first frame
        payload = bytes(event.data)
        match event.opcode:
            case Opcode.PING:
                return Reply(server_frame(PONG, payload))
            case Opcode.PONG:
                return None
            case Opcode.CLOSE:
                # An empty Close is answered with a code all the same: PHP's fread fails on an empty frame.
                return Goodbye(None, int.from_bytes(payload[:2], "big") or NORMAL.code)
            case opcode:
                return self._fragment(opcode, payload, final=event.fin)

    def _fragment(self, opcode: Opcode, payload: bytes, *, final: bool) -> Verdict:
        if opcode is not Opcode.CONT:
            self.opcode = TEXT if opcode is Opcode.TEXT else BINARY
        self.fragments.append(payload)
        self.size += len(payload)
        if self.size > self.max_size:
            return Goodbye(CLIENT_MESSAGE_TOO_BIG, 1009, f"more than {self.max_size} bytes (max_message_size)")
        if len(self.fragments) > self.max_fragments:
            return Goodbye(CLIENT_MESSAGE_TOO_BIG, 1009, f"more than {self.max_fragments} fragments (max_fragments)")
        if not final:
            return None
        whole = payload if len(self.fragments) == 1 else b"".join(self.fragments)
        self.fragments, self.size = [], 0
        if self.opcode == TEXT and not is_utf8(whole):
            return Goodbye(INVALID_TEXT, INVALID_TEXT.code, "a text message is not UTF-8")
        return Message(self.opcode, whole)

    def _failure(self) -> Goodbye:
        close = self.protocol.close_sent
        closure = _BY_CODE.get(close.code if close else 0, PROTOCOL_ERROR)
        if closure is CLIENT_MESSAGE_TOO_BIG:
            return Goodbye(closure, closure.code, f"more than {self.max_size} bytes (max_message_size)")
        return Goodbye(closure, closure.code, close.reason if close else "")
