"""What Hypothesis may send: frames legal and broken, whole streams of them, and the ways TCP may cut a stream."""

from typing import Final

from hypothesis import strategies as st

from broker.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.wire.raw import CONTINUATION, client_frame, close_payload

MAX_PAYLOAD: Final = 1000
"""The `max_message_size` that goes with `streams`: small, so that crossing it is cheap."""

masks = st.binary(min_size=4, max_size=4)
utf8 = st.text(max_size=60).map(str.encode)
"""Valid text, surrogates excluded."""
short_payloads = st.one_of(st.binary(max_size=20), utf8)
_BORDERS: Final = (1, 2, 124, 125, 126, 127, 128, 254, 255, 256, 4095, 4096, 65534, 65535, 65536, 65537)
payloads = st.one_of(
    short_payloads, st.builds(bytes.__mul__, st.sampled_from((b"a", b"\xfe")), st.sampled_from(_BORDERS))
)
"""Payloads around every border of the length encoding."""


@st.composite
def common_messages(draw: st.DrawFn) -> tuple[int, bytes]:
    """Draw what the fast path takes: first byte and payload of a final, non-empty text or binary message."""
    if draw(st.booleans()):
        return BINARY, draw(payloads.filter(bool))
    payload = draw(st.one_of(utf8.filter(bool), st.builds(bytes.__mul__, st.just(b"t"), st.sampled_from(_BORDERS))))
    return TEXT, payload


@st.composite
def control_frames(draw: st.DrawFn) -> bytes:
    """Draw a legal ping or pong."""
    return client_frame(draw(st.sampled_from((PING, PONG))), draw(short_payloads)[:125], mask=draw(masks))


@st.composite
def legal_messages(draw: st.DrawFn) -> list[bytes]:
    """Draw a message in one frame or in fragments, with control frames between them; it may be too large."""
    first = draw(st.sampled_from((TEXT, BINARY)))
    oversized = st.sampled_from((MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1)).map(lambda size: b"x" * size)
    payload = draw(st.one_of(utf8, oversized) if first == TEXT else st.one_of(short_payloads, oversized))
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    starts, stops = [0, *cuts], [*cuts, len(payload)]
    frames: list[bytes] = []
    for index, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        opcode = CONTINUATION if index else first
        frames.append(client_frame(opcode, payload[start:stop], fin=index == len(cuts), mask=draw(masks)))
        if index < len(cuts):
            frames += draw(st.lists(control_frames(), max_size=1))
    return frames


@st.composite
def goodbyes(draw: st.DrawFn) -> bytes:
    """Draw a Close, with a code and a reason that may be anything."""
    code = draw(st.one_of(st.sampled_from((1000, 1001, 1005, 1006, 1012, 3000, 4999, 5000)), st.integers(0, 65535)))
    payload = close_payload(code, draw(st.one_of(utf8, st.binary(max_size=10))))[:125]
    return client_frame(CLOSE, draw(st.sampled_from((payload, b"", payload[:1]))), mask=draw(masks))


@st.composite
def any_frames(draw: st.DrawFn) -> bytes:
    """Draw a frame with any bits: reserved ones, unknown opcodes, no mask, long length encodings, bad UTF-8."""
    payload = draw(st.binary(max_size=20) | st.sampled_from((b"p" * 126, b"p" * (MAX_PAYLOAD + 1))))
    fits = {0: len(payload) < 126, 2: True, 8: True}
    return client_frame(
        draw(st.integers(0, 15)) | 0x80,
        payload,
        fin=draw(st.booleans()),
        rsv=draw(st.sampled_from((0, 0, 0, 1, 2, 4, 7))),
        mask=draw(masks | masks | st.none()),
        width=draw(st.sampled_from([width for width, possible in fits.items() if possible])),
    )


def _weighted() -> st.SearchStrategy[list[bytes]]:
    alone = lambda frame: [frame]  # noqa: E731 - a name for what `map` needs three times
    legal = legal_messages() | control_frames().map(alone)
    odd = goodbyes().map(alone) | any_frames().map(alone) | st.binary(min_size=1, max_size=12).map(alone)
    return legal | legal | legal | odd


streams = st.lists(_weighted(), min_size=1, max_size=8).map(lambda parts: [frame for part in parts for frame in part])
"""What one client may send, frame by frame: mostly legal, then possibly broken, then possibly more."""

chops = st.one_of(st.just(0), st.just(1), st.integers(2, 40))
"""Bytes per segment; 0 is all in one."""
