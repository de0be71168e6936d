"""The flooder's frames, and the pair that must not suffer from them."""

import os
import socket
import time

import pytest
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from bench import flood
from bench.budget import BenchError
from bench.commands.latency import measure, round_trips
from bench.flood import Flooder
from bench.machine import choose_cores
from bench.peers import PEERS
from bench.process import Running, running

CORES = choose_cores()
SENDING = [mode for mode, (chunk, _, _) in flood._MODES.items() if chunk]


@pytest.mark.parametrize("mode", SENDING)
def test_flood_is_legal(mode: str) -> None:
    """Whatever is flooded, a strict parser finds nothing to object to, and counts the frames we say."""
    chunk, frames, segment = flood._MODES[mode]
    server = ServerProtocol(state=OPEN, max_size=None)
    server.receive_data(chunk)
    assert server.close_expected() is False
    assert server.parser_exc is None
    assert len(server.events_received()) == frames
    assert segment > 0


def test_flooder_sends_round_and_round() -> None:
    """The chunk is repeated without a gap, in segments, and every byte is counted."""
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        flooder = Flooder(b"abc", 2)
        assert flooder.flood(near, [], time.monotonic() + 0.05)
        near.close()
        received = b"".join(iter(lambda: far.recv(65536), b""))
    assert len(received) == flooder.sent > 3
    assert received == (b"abc" * (len(received) // 3 + 1))[: len(received)]


def test_flooder_notices_that_it_was_cut_off() -> None:
    """A broker that closes the flooder is counted, not flooded on."""
    near, far = socket.socketpair()
    with near:
        near.setblocking(False)
        far.close()
        assert not Flooder(b"abc", 2).flood(near, [], time.monotonic() + 20)


def test_round_trips_see_a_changed_message() -> None:
    """Bytes that are not the broker's frame of the message, here the client's own, end the measurement."""
    left, right = socket.socketpair()
    with left, right, pytest.raises(BenchError, match="something else"):
        round_trips(left, right, 5)


def test_round_trips_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair whose messages never arrive gives up after its patience and says so."""
    monkeypatch.setattr("bench.commands.latency._ANSWER_SECONDS", 0.05)
    left, swallowed = socket.socketpair()
    right, silent = socket.socketpair()
    with left, swallowed, right, silent:
        assert round_trips(left, right, 5) == ([], 1)


def test_latency_under_flood_of_websockets() -> None:
    """The pair's trips are timed while the flood runs, and the flooder says what it sent."""
    with running(PEERS["websockets"], CORES.broker) as broker:
        trips = measure(broker, "one-byte segments", 0, CORES, 0.3)
    assert trips.milliseconds
    assert min(trips.milliseconds) > 0
    assert trips.unanswered == 0
    assert trips.flood["frames"] > 0
    assert trips.flood["cut_off"] == 0
    assert 0 < trips.broker_share <= 1.1


def test_busy_core_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control that only burns processor time opens no connection."""
    monkeypatch.setattr(socket, "socket", None)
    began = time.process_time()
    result = flood.flood(Running(PEERS["websockets"], 1, os.getpid()), "busy core", 0.1)
    assert (result["frames"], result["cut_off"]) == (0, 0)
    assert time.process_time() > began
