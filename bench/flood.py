"""One hostile client: sends the smallest frames there are, as fast as its socket takes them.

It runs as a process of its own (`python -m bench.flood PEER PORT MODE SECONDS`), says `flooding` when it has begun
and one line of JSON when it ends. It reads what is sent to it, since a client that does not read is a different
case, and connects again when it is cut off.
"""

import json
import os
import select
import socket
import sys
import time
from contextlib import ExitStack

from bench.budget import BenchError
from bench.connect import clients
from bench.peers import PEERS
from bench.process import Running
from bench.wire import CONTINUATION, PING, PONG, TEXT, client_frame

TOPIC = "flood"
_MASK = b"\x37\xfa\x21\x3d"
_CHUNK_FRAMES = 8192
_FRAGMENTS = 1000  # below every broker's limit on the fragments of a message
_NICE = 10  # flooder and pair share a core: the pair must not wait for the flooder's turn to end


def _fragmented() -> bytes:
    """Build an empty message in a thousand empty fragments and some."""
    first = client_frame(b"", mask=_MASK, opcode=TEXT, fin=False)
    middle = client_frame(b"", mask=_MASK, opcode=CONTINUATION, fin=False)
    return first + middle * _FRAGMENTS + client_frame(b"", mask=_MASK, opcode=CONTINUATION)


_MESSAGE = client_frame(b"x", mask=_MASK)
# What is sent over and over, how many frames that is, and how many bytes go into one send().
_MODES: dict[str, tuple[bytes, int, int]] = {
    "idle flooder": (b"", 0, 0),
    "busy core": (b"", 0, 0),
    "messages": (_MESSAGE * _CHUNK_FRAMES, _CHUNK_FRAMES, 65536),
    "messages, heard": (_MESSAGE * _CHUNK_FRAMES, _CHUNK_FRAMES, 65536),
    "pings": (client_frame(b"", mask=_MASK, opcode=PING) * _CHUNK_FRAMES, _CHUNK_FRAMES, 65536),
    "pongs": (client_frame(b"", mask=_MASK, opcode=PONG) * _CHUNK_FRAMES, _CHUNK_FRAMES, 65536),
    "empty fragments": (_fragmented() * 8, 8 * (_FRAGMENTS + 2), 65536),
    "one-byte segments": (_MESSAGE * _CHUNK_FRAMES, _CHUNK_FRAMES, 1),
}
QUIET = "idle flooder"
MODES = tuple(_MODES)


class Flooder:
    """One connection that sends a chunk of frames round and round, and throws away what it reads."""

    def __init__(self, chunk: bytes, segment: int) -> None:
        self._chunk = memoryview(chunk)
        self._segment = segment
        self._place = 0
        self._sink = bytearray(262144)
        self.sent = 0
        """Bytes sent so far, on all connections."""

    def flood(self, flooder: socket.socket, listeners: list[socket.socket], until: float) -> bool:
        """Send until the time `until`; return False when the broker cut the flooder off before."""
        self._place = 0
        poll = select.epoll()
        try:
            poll.register(flooder, select.EPOLLIN | select.EPOLLOUT)
            known = {flooder.fileno(): flooder}
            for listener in listeners:
                poll.register(listener, select.EPOLLIN)
                known[listener.fileno()] = listener
            while time.monotonic() < until:
                for descriptor, events in poll.poll(0.1):
                    if not self._serve(known[descriptor], events):
                        return False
        except ConnectionError:
            return False
        finally:
            poll.close()
        return True

    def _serve(self, client: socket.socket, events: int) -> bool:
        if events & ~select.EPOLLOUT and not client.recv_into(self._sink, 0, socket.MSG_TRUNC):
            return False
        if events & select.EPOLLOUT:
            self._send(client)
        return True

    def _send(self, client: socket.socket) -> None:
        """Hand over up to one chunk, in segments, until the socket is full."""
        try:
            for _ in range(256):
                count = client.send(self._chunk[self._place : self._place + self._segment])
                self._place = (self._place + count) % len(self._chunk)
                self.sent += count
        except BlockingIOError:
            return


def _spin(until: float, *, busy: bool) -> None:
    """Do nothing, or nothing useful: what the pair suffers from its neighbour alone."""
    while time.monotonic() < until:
        if not busy:
            time.sleep(0.05)


def flood(broker: Running, mode: str, seconds: float) -> dict[str, float]:
    """Flood a broker for some seconds and say how many frames it took and how often it cut the flooder off."""
    chunk, frames, segment = _MODES[mode]
    began = time.monotonic()
    until = began + seconds
    cut_off = 0
    flooder = Flooder(chunk, segment)
    if not chunk:
        _spin(until, busy=mode == "busy core")
    while chunk and time.monotonic() < until:
        with ExitStack() as stack:
            heard = 1 if mode == "messages, heard" else 0
            try:
                sender, *listeners = stack.enter_context(clients(broker, TOPIC, 1 + heard))
            except (BenchError, OSError):
                time.sleep(0.2)  # refused for now: that is a cut as well
                cut_off += 1
                continue
            cut_off += not flooder.flood(sender, listeners, until)
    took = time.monotonic() - began
    sent = flooder.sent / len(chunk) * frames if chunk else 0
    return {"frames": round(sent), "seconds": took, "cut_off": cut_off}


def _main(peer: str, port: str, mode: str, seconds: str) -> None:
    os.nice(_NICE)
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    result = flood(Running(PEERS[peer], int(port), 0), mode, float(seconds))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
