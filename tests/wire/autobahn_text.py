"""Section 6 of the Autobahn WebSocket test suite: what is UTF-8 and what is not.

The sequences of 6.5 to 6.23 are those of Markus Kuhn's UTF-8 decoder stress test
(https://www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt), in the order of the suite.
"""

from collections.abc import Iterator
from typing import Final

from broker.frames import TEXT
from tests.wire.autobahn import BAD_UTF8, KOSME, Case, echoed, failed
from tests.wire.raw import CONTINUATION, client_frame, text

UMLAUTS: Final = "Hello-µ@ßöäüàá-UTF-8!!".encode()
TOO_HIGH: Final = KOSME + bytes.fromhex("f4908080") + b"edited"
"""Invalid at its thirteenth byte: a code point above U+10FFFF."""

_BROKEN_STARTS: Final = ("c0", "e080", "f08080", "f8808080", "fc80808080")
_BROKEN_ENDS: Final = ("df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf")
_PAIRS: Final = ("a080 b080", "a080 bfbf", "adbf b080", "adbf bfbf", "ae80 b080", "ae80 bfbf", "afbf b080", "afbf bfbf")


def fragments(payload: bytes, size: int) -> bytes:
    """Build a text message in fragments of so many bytes."""
    return b"".join(
        client_frame(CONTINUATION if start else TEXT, payload[start : start + size], fin=start + size >= len(payload))
        for start in range(0, len(payload), size)
    )


def whole_messages() -> Iterator[Case]:
    """6.1 to 6.3: empty fragments, fragments inside a character."""
    empty, rest, last = (
        client_frame(TEXT, fin=False),
        client_frame(CONTINUATION, fin=False),
        client_frame(CONTINUATION),
    )
    middle = client_frame(CONTINUATION, b"middle frame payload", fin=False)
    boundary = len("Hello-µ@ßöä".encode())
    yield echoed("6.1.1", [client_frame(TEXT)], text(""))
    yield echoed("6.1.2", [empty, rest, last], text(""))
    yield echoed("6.1.3", [empty, middle, last], text("middle frame payload"))
    yield echoed("6.2.1", [client_frame(TEXT, UMLAUTS)], text(UMLAUTS))
    first = client_frame(TEXT, UMLAUTS[:boundary], fin=False)
    yield echoed("6.2.2", [first, client_frame(CONTINUATION, UMLAUTS[boundary:])], text(UMLAUTS))
    yield echoed("6.2.3", [fragments(UMLAUTS, 1)], text(UMLAUTS))
    yield echoed("6.2.4", [fragments(KOSME, 1)], text(KOSME))
    yield failed("6.3.1", client_frame(TEXT, BAD_UTF8), code=1007)
    yield failed("6.3.2", fragments(BAD_UTF8, 1), code=1007)


def fail_fast() -> Iterator[Case]:
    """6.4: the suite prefers the failure at the bad byte, and allows it at the end of the message."""
    for number, cuts in (("6.4.1", (11, 15)), ("6.4.2", (12, 13))):
        first, second = cuts
        frames = (
            client_frame(TEXT, TOO_HIGH[:first], fin=False),
            client_frame(CONTINUATION, TOO_HIGH[first:second], fin=False),
            client_frame(CONTINUATION, TOO_HIGH[second:]),
        )
        yield Case(number, frames, close=1007)
    for number, cuts in (("6.4.3", (11, 15)), ("6.4.4", (12, 13))):
        frame = client_frame(TEXT, TOO_HIGH)
        first, second = (len(frame) - len(TOO_HIGH) + cut for cut in cuts)
        yield Case(number, (frame[:first], frame[first:second], frame[second:]), close=1007)


def _prefixes() -> Iterator[tuple[bool, bytes]]:
    for size in range(1, len(KOSME) + 1):
        yield size in {2, 5, 7, 9, 11}, KOSME[:size]


def _lonely_starts() -> Iterator[str]:
    for low, high in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD)):
        yield "".join(f"{byte:02x}20" for byte in range(low, high))


def _non_characters() -> Iterator[str]:
    yield from ("efbfbe", "efbfbf")
    for lead in range(0xF0, 0xF5):
        for second in (0x8F, 0x9F, 0xAF, 0xBF):
            if (lead == 0xF0 and second == 0x8F) or (lead == 0xF4 and second != 0x8F):
                continue  # overlong, or above U+10FFFF
            yield from (f"{lead:02x}{second:02x}bf{end}" for end in ("be", "bf"))


def _good(*sequences: str) -> list[tuple[bool, bytes]]:
    return [(True, bytes.fromhex(sequence)) for sequence in sequences]


def _bad(*sequences: str) -> list[tuple[bool, bytes]]:
    return [(False, bytes.fromhex(sequence)) for sequence in sequences]


GROUPS: Final = (
    # 6.5 some valid text, 6.6 its prefixes
    [(True, f"hello{sign}world".encode()) for sign in "$¢€𤭢"] + [(True, KOSME)],
    list(_prefixes()),
    # 6.7 and 6.8 the first possible sequence of each length, 6.9 and 6.10 the last
    _good("00", "c280", "e0a080", "f0908080"),
    _bad("f888808080", "fc8480808080"),
    _good("7f", "dfbf", "efbfbf", "f48fbfbf"),
    _bad("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"),
    # 6.11 other boundaries
    _good("ed9fbf", "ee8080", "efbfbd", "f48fbfbf") + _bad("f4908080"),
    # 6.12 unexpected continuation bytes, 6.13 lonely starts
    _bad("80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf", bytes(range(0x80, 0xBF)).hex()),
    _bad(*_lonely_starts()),
    # 6.14 the last byte is missing, 6.15 all of these in a row, 6.16 impossible bytes
    _bad(*_BROKEN_STARTS, *_BROKEN_ENDS),
    _bad("".join((*_BROKEN_STARTS, *_BROKEN_ENDS))),
    _bad("fe", "ff", "fefeffff"),
    # 6.17 overlong slashes, 6.18 the longest overlong sequences, 6.19 overlong NULs
    _bad("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"),
    _bad("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"),
    _bad("c080", "e08080", "f0808080", "f880808080", "fc8080808080"),
    # 6.20 single UTF-16 surrogates, 6.21 pairs of them
    _bad("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"),
    _bad(*(f"ed{high}ed{low}" for high, low in map(str.split, _PAIRS))),
    # 6.22 code points that are no characters, 6.23 the specials: both are UTF-8
    _good(*_non_characters()),
    _good(*(f"efbf{byte:02x}" for byte in range(0xB9, 0xC0))),
)


def sequences() -> Iterator[Case]:
    """6.5 to 6.23: one text message each."""
    for group, members in enumerate(GROUPS, 5):
        for index, (valid, payload) in enumerate(members, 1):
            frame = client_frame(TEXT, payload)
            number = f"6.{group}.{index}"
            yield echoed(number, [frame], text(payload)) if valid else failed(number, frame, code=1007)


CASES: Final = (*whole_messages(), *fail_fast(), *sequences())
