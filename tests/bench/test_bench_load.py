"""The closed loop against a small relay that behaves, or does not."""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.budget import BenchError
from bench.cpu import CpuReader
from bench.load import ClosedLoop
from bench.wire import build_cycle

WINDOW = 8
CYCLE = build_cycle(16, WINDOW)
MASK_END = 6  # a short frame's two bytes and its mask
Relay = Callable[[int, bytes], tuple[bytes, bytes]]


def unmasked(frame: bytes) -> bytes:
    mask = frame[2:MASK_END]
    payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(frame[MASK_END:]))
    return bytes([frame[0], frame[1] & 0x7F]) + payload


def honest(_number: int, frame: bytes) -> tuple[bytes, bytes]:
    return unmasked(frame), b""


def _serve(publisher: socket.socket, subscribers: list[socket.socket], relay: Relay) -> None:
    data, number = b"", 0
    while received := publisher.recv(65536):
        data += received
        while len(data) >= CYCLE.out_size:
            frame, data = data[: CYCLE.out_size], data[CYCLE.out_size :]
            forward, back = relay(number, frame)
            number += 1
            for subscriber in subscribers:
                subscriber.sendall(forward)
            publisher.sendall(back)


def _end(publisher: socket.socket, subscribers: list[socket.socket], relay: Relay) -> None:
    try:
        _serve(publisher, subscribers, relay)
    except OSError:
        return  # the test has seen enough and closed its ends


@contextmanager
def loop_against(relay: Relay, count: int) -> Iterator[ClosedLoop]:
    """Join a closed loop and a relay in a thread by socket pairs."""
    pairs = [socket.socketpair() for _ in range(count + 1)]
    (publisher, *readers), (near, *far) = ([pair[side] for pair in pairs] for side in (0, 1))
    thread = threading.Thread(target=_end, args=(near, far, relay), daemon=True)
    thread.start()
    for end in (publisher, *readers):
        end.setblocking(False)
    poll = select.epoll()
    try:
        yield ClosedLoop(publisher, readers, CYCLE, WINDOW, poll, framed=True)
    finally:
        poll.close()
        for end in (publisher, *readers):
            end.close()
        thread.join(10)
        for end in (near, *far):
            end.close()


@pytest.fixture
def reader() -> CpuReader:
    """This process stands in for the broker."""
    return CpuReader(os.getpid(), min(os.sched_getaffinity(0)))


@pytest.mark.parametrize("count", [1, 3])
def test_loop_accounts_for_every_message(reader: CpuReader, count: int) -> None:
    """Two runs one after the other: all that was sent was delivered to all, and time was measured."""
    with loop_against(honest, count) as loop:
        for _ in range(2):
            result = loop.run(0.05, reader)
            assert result.messages >= 2 * WINDOW
            assert result.deliveries == result.messages * count
            assert result.wall >= 0.05
            assert result.broker_cpu > 0
            assert result.load_cpu > 0
            assert result.load_disturbed >= 0
            assert min(result.user, result.system) >= 0
            assert result.completion_ms


def test_loop_keeps_to_its_window(reader: CpuReader) -> None:
    """Never are more messages under way than the window allows."""
    arrived: list[int] = []

    def count(number: int, frame: bytes) -> tuple[bytes, bytes]:
        if number >= WINDOW:
            arrived.append(number - loop._done)
        return honest(number, frame)

    with loop_against(count, 2) as loop:
        loop.run(0.05, reader)
    assert max(arrived) < WINDOW


def test_subscriber_that_is_ahead_is_read_too(reader: CpuReader) -> None:
    """Left unread, it would wake the generator again and again while the others are waited for."""
    pairs = [socket.socketpair() for _ in range(3)]
    near = [pair[0] for pair in pairs]
    for end in near:
        end.setblocking(False)
    with contextlib.ExitStack() as stack:
        for end in (*near, *(pair[1] for pair in pairs)):
            stack.enter_context(end)
        poll = stack.enter_context(select.epoll())
        loop = ClosedLoop(near[0], near[1:], CYCLE, WINDOW, poll, framed=True)
        loop._reset()
        loop._send_more(WINDOW)
        for number in (0, 1):
            pairs[1][1].sendall(CYCLE.incoming[number * CYCLE.in_size : (number + 1) * CYCLE.in_size])
            loop._step()
        assert poll.poll(0) == []
        assert loop._done == 0


def test_loop_sees_a_lost_message(reader: CpuReader) -> None:
    """A message that a broker swallows ends the run with an error."""
    with (
        loop_against(lambda number, frame: (b"" if number == 20 else unmasked(frame), b""), 2) as loop,
        pytest.raises(BenchError, match="read something else than was sent"),
    ):
        loop.run(5, reader)


def test_loop_sees_an_echo(reader: CpuReader) -> None:
    """A sender that gets its own message back ends the run with an error."""
    with (
        loop_against(lambda number, frame: (unmasked(frame), unmasked(frame) if number == 20 else b""), 1) as loop,
        pytest.raises(BenchError, match="must not get its own messages back"),
    ):
        loop.run(5, reader)


def test_loop_sees_silence(reader: CpuReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that stops relaying does not keep the benchmark for ever."""
    monkeypatch.setattr("bench.load._STUCK_SECONDS", 0.2)
    with (
        loop_against(lambda number, frame: (unmasked(frame) if number < 20 else b"", b""), 1) as loop,
        pytest.raises(BenchError, match="nothing arrived for 0 s with 8 messages in flight"),
    ):
        loop.run(5, reader)


def test_loop_looks_closely_at_the_end(reader: CpuReader) -> None:
    """A subscriber whose bytes are only counted is still found out by its last window."""
    with loop_against(honest, 20) as loop:
        last = list(loop._subscribers.values())[-1]
        last._expected = last._expected[1:] + b"?"
        with pytest.raises(BenchError, match="read something else than was sent"):
            loop.run(0.05, reader)
