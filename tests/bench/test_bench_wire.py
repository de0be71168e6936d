"""Frames and cycles that the load is made of."""

import random

import pytest
from websockets.frames import Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from bench.peers.nats import NatsDialect
from bench.wire import (
    BINARY,
    PING,
    TEXT,
    build_cycle,
    client_frame,
    mask_payload,
    numbered_payload,
    server_frame,
    upgrade_request,
)

MASK = b"\x37\xfa\x21\x3d"


def test_client_frame_rfc_example() -> None:
    """The masked "Hello" of RFC 6455 section 5.7 comes out byte for byte."""
    assert client_frame(b"Hello", mask=MASK) == bytes.fromhex("818537fa213d7f9f4d5158")


def test_server_frame_rfc_example() -> None:
    """The unmasked "Hello" of RFC 6455 section 5.7 comes out byte for byte."""
    assert server_frame(b"Hello") == bytes.fromhex("810548656c6c6f")


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_server_frame_length_is_encoded_the_shortest_way(size: int, head: str) -> None:
    """At each boundary of RFC 6455 section 5.2 the header has the shortest form."""
    frame = server_frame(bytes(size), opcode=BINARY)
    assert frame == bytes.fromhex(head) + bytes(size)


def test_client_frame_fragment_has_no_fin() -> None:
    """A fragment leaves the FIN bit clear and keeps its opcode."""
    assert client_frame(b"", mask=MASK, opcode=TEXT, fin=False) == b"\x01\x80" + MASK


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 128])
def test_mask_payload_twice_gives_the_payload_back(size: int) -> None:
    """Masking is its own inverse at every length, and leading zero bytes survive."""
    payload = bytes(size // 2) + random.Random(size).randbytes(size - size // 2)
    assert mask_payload(mask_payload(payload, MASK), MASK) == payload


def test_client_frames_are_what_a_server_accepts() -> None:
    """A strict parser reads the frames of a cycle as the numbered messages in their order."""
    cycle = build_cycle(128, 16)
    server = ServerProtocol(state=OPEN)
    server.receive_data(cycle.slice_to_send(62, 4) + client_frame(b"", mask=MASK, opcode=PING))
    events = server.events_received()
    assert [getattr(event, "data", b"")[:8] for event in events[:4]] == [
        b"00000062",
        b"00000063",
        b"00000000",
        b"00000001",
    ]
    assert getattr(events[4], "opcode", None) is Opcode.PING


def test_numbered_payload_has_its_size_and_number() -> None:
    """A payload begins with its number and has exactly the length asked for."""
    assert [len(numbered_payload(7, size)) for size in (8, 27, 128, 16384)] == [8, 27, 128, 16384]
    assert numbered_payload(7, 12) == b"00000007abcd"


@pytest.mark.parametrize("size", [32, 128, 1024, 16384])
def test_numbered_payload_of_every_kind(size: int) -> None:
    """Every kind has its number and its size; text that is not ASCII is whole, binary is no text."""
    text, utf8, binary = (numbered_payload(3, size, kind) for kind in ("text", "utf8", "binary"))
    assert {len(text), len(utf8), len(binary)} == {size}
    assert {text[:8], utf8[:8], binary[:8]} == {b"00000003"}
    assert text.isascii()
    assert not utf8.decode().isascii()
    with pytest.raises(UnicodeDecodeError):
        binary.decode()


def test_numbered_payload_never_cuts_a_character() -> None:
    """An odd size cannot hold two-byte characters only, and is refused."""
    with pytest.raises(ValueError, match="an even size, not 33"):
        numbered_payload(1, 33, "utf8")


def test_binary_cycle_travels_in_binary_frames() -> None:
    """The kind of a payload decides the opcode of its frames, in both directions."""
    cycle = build_cycle(32, 1, kind="binary")
    assert cycle.outgoing[0] == cycle.incoming[0] == 0x80 | BINARY


def test_numbered_payload_too_small_is_refused() -> None:
    """A payload that cannot hold its number is an error, not a shorter number."""
    with pytest.raises(ValueError, match="needs 8 bytes or more, not 7"):
        numbered_payload(1, 7)


def test_cycle_sizes_belong_together() -> None:
    """What is sent and what must come are the same messages, each stretch twice over."""
    cycle = build_cycle(128, 256)
    assert cycle.messages == 1024
    assert len(cycle.outgoing) == 2 * 1024 * cycle.out_size == 2 * 1024 * 136
    assert len(cycle.incoming) == 2 * cycle.in_length == 2 * 1024 * 132


def test_cycle_slice_runs_past_the_end() -> None:
    """A slice that begins at the last message goes on with the first."""
    cycle = build_cycle(16, 1)
    size = cycle.out_size
    wrapped = cycle.slice_to_send(cycle.messages - 1, 2)
    assert wrapped[:size] == cycle.slice_to_send(cycle.messages - 1, 1)
    assert wrapped[size:] == cycle.slice_to_send(0, 1)


def test_cycle_of_another_dialect_expects_unframed_messages() -> None:
    """NATS packs messages into frames as it likes: only their content is expected."""
    cycle = build_cycle(128, 1, NatsDialect("u", "p"))
    assert cycle.incoming.startswith(b"MSG bench 1 128\r\n00000000")
    assert cycle.in_size == len(b"MSG bench 1 128\r\n") + 128 + 2


def test_upgrade_request_carries_basic_credentials() -> None:
    """The example of RFC 7617 section 2 comes out as it stands there; without credentials there is no header."""
    request = upgrade_request(9000, "/ws?topic=sms", ("Aladdin", "open sesame"))
    assert request.startswith(b"GET /ws?topic=sms HTTP/1.1\r\nHost: 127.0.0.1:9000\r\n")
    assert b"\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n" in request
    assert request.endswith(b"\r\n\r\n")
    assert b"Authorization" not in upgrade_request(9000, "/", None)
