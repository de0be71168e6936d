"""Frames, pure: whole, byte by byte, with more behind them, and noise; `websockets` says what is right."""

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame as LibraryFrame
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side, State

from broker.errors import CLOSURES, MAX_CLOSE_REASON, Closure, close_reason
from broker.frames import BINARY, HOPELESS, TEXT, as_text, close_frame, is_utf8, scan, server_frame, span
from tests.strategies import MAX_PAYLOAD, any_frames, common_messages, masks, payloads, short_payloads, streams
from tests.wire.raw import client_frame, xor

LIMIT = 2**20


def take(
    data: bytes, *, stop: int | None = None, most: int | None = None, limit: int = LIMIT
) -> tuple[list[bytes], int]:
    """Scan from the start; without bounds, all there is."""
    out: list[bytes] = []
    size = len(data)
    end = scan(data, 0, size if stop is None else stop, size if most is None else most, out, xor, limit)
    return out, end


def judge(data: bytes, limit: int = LIMIT) -> Protocol:
    """Feed an open connection of `websockets`."""
    protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=limit)
    protocol.receive_data(data)
    return protocol


@given(payload=payloads, first=st.sampled_from((TEXT, BINARY)))
def test_server_frame_is_the_librarys(payload: bytes, first: int) -> None:
    """A frame of ours is byte for byte what `websockets` would send, shortest length included."""
    assert server_frame(first, payload) == LibraryFrame(Opcode(first & 0x0F), payload).serialize(mask=False)


@given(messages=st.lists(common_messages(), max_size=6), key=masks)
def test_scan_whole_frames(messages: list[tuple[int, bytes]], key: bytes) -> None:
    """Common frames in one piece become one server frame each, in order, and all bytes are taken."""
    data = b"".join(client_frame(first, payload, mask=key) for first, payload in messages)
    entries, end = take(data)
    assert entries == [server_frame(first, payload) for first, payload in messages]
    assert end == len(data)


@given(messages=st.lists(common_messages(), min_size=1, max_size=3), key=masks, data=st.data())
def test_scan_with_trailing_data(messages: list[tuple[int, bytes]], key: bytes, data: st.DataObject) -> None:
    """What is not whole yet stays where it is, and what stands before it is taken all the same."""
    *whole, last = [client_frame(first, payload, mask=key) for first, payload in messages]
    cut = data.draw(st.integers(0, len(last) - 1))
    before = b"".join(whole)
    entries, end = take(before + last[:cut])
    assert end == len(before)
    assert entries == [server_frame(*message) for message in messages[:-1]]


@given(messages=st.lists(st.tuples(st.sampled_from((TEXT, BINARY)), short_payloads), min_size=1, max_size=4), key=masks)
def test_scan_byte_by_byte(messages: list[tuple[int, bytes]], key: bytes) -> None:
    """However a stream grows, the same messages come out, each as soon as its last byte is there."""
    common = [(first, payload) for first, payload in messages if payload and (first == BINARY or is_utf8(payload))]
    data = b"".join(client_frame(first, payload, mask=key) for first, payload in common)
    buffer, found = b"", list[bytes]()
    for index in range(len(data)):
        buffer += data[index : index + 1]
        entries, end = take(buffer)
        assert end in {0, len(buffer)}
        buffer = buffer[end:]
        found += entries
    assert found == [server_frame(first, payload) for first, payload in common]
    assert buffer == b""


@given(frames=streams)
@example(frames=[client_frame(TEXT, b"\xed\xa0\x80")])
@example(frames=[client_frame(TEXT, b"a", width=2)])
@example(frames=[client_frame(BINARY, b"a" * 200, width=8)])
def test_scan_takes_only_what_is_legal(frames: list[bytes]) -> None:
    """What the fast path takes of any stream, `websockets` takes as the same final frames without complaint."""
    data = b"".join(frames)
    entries, end = take(data, limit=MAX_PAYLOAD)
    protocol = judge(data[:end], MAX_PAYLOAD)
    assert protocol.parser_exc is None
    events = [event for event in protocol.events_received() if isinstance(event, LibraryFrame)]
    assert all(event.fin for event in events)
    assert entries == [server_frame(event.opcode | 0x80, bytes(event.data)) for event in events]
    assert all(is_utf8(bytes(event.data)) for event in events if event.opcode is Opcode.TEXT)


@given(noise=st.binary(max_size=200))
def test_scan_of_noise(noise: bytes) -> None:
    """Noise takes the fast path no further than `websockets` follows it."""
    entries, end = take(noise)
    protocol = judge(noise[:end])
    assert protocol.parser_exc is None
    assert len(protocol.events_received()) == len(entries)


@given(messages=st.lists(common_messages(), min_size=1, max_size=5), data=st.data())
def test_scan_stops_in_time(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """No frame is begun at or behind `stop`, nor one more than `most`; the one that was begun is finished."""
    frames = [client_frame(first, payload) for first, payload in messages]
    starts = [sum(map(len, frames[:index])) for index in range(len(frames))]
    stop = data.draw(st.integers(0, sum(map(len, frames))))
    most = data.draw(st.integers(0, len(frames) + 1))
    entries, end = take(b"".join(frames), stop=stop, most=most)
    assert len(entries) == min(most, sum(start < stop for start in starts))
    assert end == sum(map(len, frames[: len(entries)]))


@given(message=common_messages(), excess=st.integers(0, 2))
def test_scan_leaves_what_is_too_large(message: tuple[int, bytes], excess: int) -> None:
    """A payload above the limit is not taken, one at the limit is."""
    first, payload = message
    entries, _ = take(client_frame(first, payload), limit=len(payload) - excess)
    assert len(entries) == (excess == 0)


@given(payload=payloads, first=st.sampled_from((TEXT, BINARY)), width=st.sampled_from((None, 8)))
def test_span_of_a_growing_frame(payload: bytes, first: int, width: int | None) -> None:
    """The length is known from the last header byte on, whatever follows, and never guessed before."""
    frame = client_frame(first, payload, width=width)
    header = len(frame) - len(payload) - 4
    known = [span(frame[:size], 0, LIMIT) for size in range(min(len(frame), 40) + 1)]
    assert known == [0] * header + [len(frame)] * (len(known) - header)
    assert span(b"before" + frame + b"behind", 6, LIMIT) == len(frame)


@given(data=st.one_of(any_frames(), st.binary(min_size=1, max_size=40)))
def test_span_agrees_with_the_library(data: bytes) -> None:
    """A hopeless frame is one that `websockets` refuses at once; another ends where `websockets` sees its end."""
    length = span(data, 0, MAX_PAYLOAD)
    if length == HOPELESS:
        assert judge(data, MAX_PAYLOAD).parser_exc is not None
    elif 0 < length <= len(data):
        protocol = judge(data[:length], MAX_PAYLOAD)
        assert len(protocol.events_received()) == 1 or protocol.parser_exc is not None
        assert judge(data[: length - 1], MAX_PAYLOAD).events_received() == []


@given(payload=st.one_of(payloads, st.text(min_size=1, max_size=40000).map(str.encode)))
def test_as_text_changes_the_first_byte_only(payload: bytes) -> None:
    """A binary message becomes text exactly when it is UTF-8; its payload stays."""
    frame = as_text(server_frame(BINARY, payload))
    assert frame == server_frame(TEXT if is_utf8(payload) else BINARY, payload)
    assert as_text(server_frame(TEXT, payload)) == server_frame(TEXT, payload)


@given(payload=st.binary(max_size=40))
def test_is_utf8_is_the_codecs_verdict(payload: bytes) -> None:
    """What passes can be decoded, what does not cannot."""
    assert is_utf8(payload) == (payload.decode(errors="ignore").encode() == payload)


@given(closure=st.sampled_from(CLOSURES), detail=st.text(max_size=200))
def test_close_reason_fits(closure: Closure, detail: str) -> None:
    """A reason is cut to 123 bytes between two characters, and begins with its token."""
    reason = close_reason(closure, detail)
    frame = close_frame(closure.code, reason)
    assert len(reason.encode()) <= MAX_CLOSE_REASON
    assert reason.startswith(closure.token)
    assert frame[1] == len(frame) - 2
    assert LibraryFrame(Opcode.CLOSE, frame[2:]).check() is None  # type: ignore[func-returns-value]
