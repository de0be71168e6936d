"""The cases of the Autobahn WebSocket test suite, sections 1 to 7 and 10, as a table.

After https://github.com/crossbario/autobahn-testsuite (`autobahntestsuite/case`): what is sent, in which pieces, what
must come back. Section 6 is in `autobahn_text.py`, section 9 in `autobahn_bulk.py`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from broker.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.wire.raw import CONTINUATION, Frame, client_frame, close_payload, pong, text


@dataclass(frozen=True, slots=True)
class Case:
    """One case: we are the client, and a peer on the topic sends every message back."""

    number: str
    sent: tuple[bytes, ...]
    """What we send; the broker has read one piece before the next is sent."""
    answers: tuple[Frame, ...] = ()
    """What must come back before the Close."""
    close: int = 0
    """Code of the Close that the broker must send, with the end of TCP behind it; 0: we say Close after the answers."""
    chop: int = 0
    """Bytes per write; 0 writes each piece at once."""
    relayed: tuple[Frame, ...] | None = None
    """What the peer must get, exactly; None: the messages among the answers."""
    strict: bool = True
    """False where the suite also allows that the connection fails before the answers are back."""

    @property
    def messages(self) -> tuple[Frame, ...]:
        """What the peer must get."""
        if self.relayed is not None:
            return self.relayed
        return tuple(frame for frame in self.answers if frame.first in {TEXT, BINARY})


HELLO: Final = b"Hello, world!"
ODD: Final = bytes.fromhex("00fffefdfcfb00ff")
KOSME: Final = bytes.fromhex("ceba e1bdb9 cf83 cebc ceb5")
"""The Greek word of the suite: five characters of two or three bytes."""
BAD_UTF8: Final = KOSME + bytes.fromhex("eda080") + b"edited"
"""Invalid at its twelfth byte: half a surrogate pair."""


def echoed(
    number: str,
    frames: Iterable[bytes],
    *answers: Frame,
    chop: int = 0,
) -> Case:
    """Describe a case that ends with our own Close."""
    return Case(number, (b"".join(frames),), answers, chop=chop)


def failed(number: str, *frames: bytes, code: int = 1002, chop: int = 0) -> Case:
    """Describe a case in which the broker must fail the connection and relay nothing."""
    return Case(number, (b"".join(frames),), close=code, chop=chop)


def section_1() -> Iterator[Case]:
    """Text and binary messages of every length encoding."""
    sizes = (0, 125, 126, 127, 128, 65535, 65536)
    for group, (first, byte) in enumerate(((TEXT, b"*"), (BINARY, b"\xfe")), 1):
        for index, size in enumerate(sizes, 1):
            payload = byte * size
            yield echoed(f"1.{group}.{index}", [client_frame(first, payload)], Frame(first, payload))
        payload = byte * 65536
        yield echoed(f"1.{group}.8", [client_frame(first, payload)], Frame(first, payload), chop=997)


def section_2() -> Iterator[Case]:
    """Pings and pongs."""
    full = b"\xfe" * 125
    many = [b"payload-%d" % index for index in range(10)]
    unsolicited = client_frame(PONG, b"unsolicited pong payload")
    goodbye = client_frame(CLOSE, close_payload(1000))
    for index, payload in enumerate((b"", HELLO, ODD, full), 1):
        yield echoed(f"2.{index}", [client_frame(PING, payload)], pong(payload))
    yield failed("2.5", client_frame(PING, b"\xfe" * 126, width=2))
    yield echoed("2.6", [client_frame(PING, full)], pong(full), chop=1)
    yield Case("2.7", (client_frame(PONG) + goodbye,), close=1000)
    yield Case("2.8", (unsolicited + goodbye,), close=1000)
    yield echoed("2.9", [unsolicited, client_frame(PING, b"ping payload")], pong(b"ping payload"))
    for number, chop in (("2.10", 0), ("2.11", 1)):
        yield echoed(number, [client_frame(PING, each) for each in many], *map(pong, many), chop=chop)


def _hello_then(number: str, odd: bytes, *, chop: int = 0, apart: bool = False) -> Case:
    """Describe a good message, a broken frame, a ping; the suite is not strict about the message's echo."""
    frames = (client_frame(TEXT, HELLO), odd, client_frame(PING))
    return Case(
        number,
        frames if apart else (b"".join(frames),),
        (text(HELLO),),
        close=1002,
        chop=chop,
        relayed=(text(HELLO),),
        strict=False,
    )


def section_3() -> Iterator[Case]:
    """Reserved bits."""
    yield failed("3.1", client_frame(TEXT, HELLO, rsv=1))
    yield _hello_then("3.2", client_frame(TEXT, HELLO, rsv=2))
    yield _hello_then("3.3", client_frame(TEXT, HELLO, rsv=3), apart=True)
    yield _hello_then("3.4", client_frame(TEXT, HELLO, rsv=4), chop=1)
    yield failed("3.5", client_frame(BINARY, ODD, rsv=5))
    yield failed("3.6", client_frame(BINARY, HELLO, rsv=6))
    yield failed("3.7", client_frame(CLOSE, rsv=7))


def section_4() -> Iterator[Case]:
    """Reserved opcodes."""
    for group, opcode in ((1, 0x83), (2, 0x8B)):
        yield failed(f"4.{group}.1", client_frame(opcode))
        yield failed(f"4.{group}.2", client_frame(opcode + 1, b"reserved opcode payload"))
        yield _hello_then(f"4.{group}.3", client_frame(opcode + 2))
        yield _hello_then(f"4.{group}.4", client_frame(opcode + 3, HELLO))
        yield _hello_then(f"4.{group}.5", client_frame(opcode + 4, HELLO), chop=1)


def _in_three_ways(
    numbers: Iterable[int], frames: tuple[bytes, ...], *answers: Frame, close: int = 0
) -> Iterator[Case]:
    """Describe the same frames at once, one at a time, and byte by byte."""
    ways = (((b"".join(frames),), 0), (frames, 0), ((b"".join(frames),), 1))
    for number, (sent, chop) in zip(numbers, ways, strict=True):
        yield Case(f"5.{number}", sent, answers, close=close, chop=chop)


def section_5() -> Iterator[Case]:
    """Fragments, with control frames between them."""
    parts = [b"fragment%d" % index for index in range(1, 6)]
    first = client_frame(TEXT, parts[0], fin=False)
    last = client_frame(CONTINUATION, parts[1])
    ping = client_frame(PING, b"ping payload")
    stray = client_frame(CONTINUATION, b"non-continuation payload")
    open_stray = client_frame(CONTINUATION, b"non-continuation payload", fin=False)
    hello = client_frame(TEXT, HELLO)
    both = text(b"fragment1fragment2")
    yield failed("5.1", client_frame(PING, parts[0], fin=False), last)
    yield failed("5.2", client_frame(PONG, parts[0], fin=False), last)
    yield from _in_three_ways((3, 4, 5), (first, last), both)
    yield from _in_three_ways((6, 7, 8), (first, ping, last), pong(b"ping payload"), both)
    yield from _in_three_ways((9, 10, 11), (stray, hello), close=1002)
    yield from _in_three_ways((12, 13, 14), (open_stray, hello), close=1002)
    broken = client_frame(CONTINUATION, parts[2], fin=False) + client_frame(TEXT, parts[3])
    yield Case("5.15", (first + last + broken,), (both,), close=1002, relayed=(both,), strict=False)
    rest = client_frame(TEXT, parts[1], fin=False) + client_frame(CONTINUATION, parts[2])
    yield failed("5.16", *[client_frame(CONTINUATION, parts[0], fin=False), rest] * 2)
    yield failed("5.17", *[client_frame(CONTINUATION, parts[0]), rest] * 2)
    yield failed("5.18", first, client_frame(TEXT, parts[1]))
    frames = (
        first,
        client_frame(CONTINUATION, parts[1], fin=False),
        client_frame(PING, b"pongme 1!"),
        client_frame(CONTINUATION, parts[2], fin=False),
        client_frame(CONTINUATION, parts[3], fin=False),
        client_frame(PING, b"pongme 2!"),
        client_frame(CONTINUATION, parts[4]),
    )
    answers = (pong(b"pongme 1!"), pong(b"pongme 2!"), text(b"".join(parts)))
    yield Case("5.19", (b"".join(frames[:3]), b"".join(frames[3:])), answers)
    yield Case("5.20", frames, answers)


def section_7() -> Iterator[Case]:
    """Close: what may follow it, its codes and reasons."""
    yield from _after_close()
    yield from _close_payloads()
    for index, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999), 1):
        yield failed(f"7.7.{index}", client_frame(CLOSE, close_payload(code)), code=code)
    for index, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield failed(f"7.9.{index}", client_frame(CLOSE, close_payload(code)))
    # The suite leaves 7.13 open. Codes above 4999 are not defined (RFC 6455, 7.4.2).
    yield failed("7.13.1", client_frame(CLOSE, close_payload(5000)))
    yield failed("7.13.2", client_frame(CLOSE, close_payload(65535)))


def _after_close() -> Iterator[Case]:
    goodbye = client_frame(CLOSE, close_payload(1000))
    hello = client_frame(TEXT, HELLO)
    first = client_frame(TEXT, b"fragment1", fin=False)
    last = client_frame(CONTINUATION, b"fragment2")
    big = (b"BAsd7&jh23" * 26215)[: 256 * 1024]
    yield echoed("7.1.1", [hello], text(HELLO))
    yield failed("7.1.2", goodbye, client_frame(CLOSE), code=1000)
    yield failed("7.1.3", goodbye, client_frame(PING), code=1000)
    yield failed("7.1.4", goodbye, hello, code=1000)
    # As `websockets` has it: a Close inside a fragmented message is a broken message. The suite wants 1000.
    yield failed("7.1.5", first, goodbye, last, code=1002)
    # The suite leaves open whether the echo is back before the Close. The messages before a Close must be relayed.
    yield Case(
        "7.1.6",
        (client_frame(TEXT, big) + hello + goodbye + client_frame(PING),),
        close=1000,
        relayed=(text(big), text(HELLO)),
    )


def _close_payloads() -> Iterator[Case]:
    yield failed("7.3.1", client_frame(CLOSE), code=1000)
    yield failed("7.3.2", client_frame(CLOSE, b"a"))
    yield failed("7.3.3", client_frame(CLOSE, close_payload(1000)), code=1000)
    yield failed("7.3.4", client_frame(CLOSE, close_payload(1000, b"Hello World!")), code=1000)
    yield failed("7.3.5", client_frame(CLOSE, close_payload(1000, b"*" * 123)), code=1000)
    yield failed("7.3.6", client_frame(CLOSE, close_payload(1000, b"*" * 124), width=2))
    yield failed("7.5.1", client_frame(CLOSE, close_payload(1000, BAD_UTF8)), code=1007)


def section_10() -> Iterator[Case]:
    """Automatic fragmentation: 50 fragments of 1300 bytes and one of 536."""
    payload = b"*" * 65536
    frames = [
        client_frame(CONTINUATION if start else TEXT, payload[start : start + 1300], fin=start + 1300 >= len(payload))
        for start in range(0, len(payload), 1300)
    ]
    yield echoed("10.1.1", frames, text(payload))


CASES: Final = (
    *section_1(),
    *section_2(),
    *section_3(),
    *section_4(),
    *section_5(),
    *section_7(),
    *section_10(),
)
