"""What the kernel still holds of a socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from broker.kernel import CHUNK, REST_CHUNKS, read_rest, unacknowledged
from tests.broker.doubles import Pipe


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.dispose()


def test_read_rest_reads_to_the_end(pipe: Pipe) -> None:
    """Everything that came before the end, in order."""
    pipe.far.send(b"a" * 100_000)
    pipe.far.send(b"b")
    pipe.far.close()
    assert read_rest(pipe) == b"a" * 100_000 + b"b"


def test_read_rest_of_a_line_that_is_open_reads_what_is_there(pipe: Pipe) -> None:
    """It never waits."""
    assert read_rest(pipe) == b""
    pipe.far.send(b"there")
    assert read_rest(pipe) == b"there"


def test_read_rest_is_bounded(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that gives for ever does not keep the broker."""
    monkeypatch.setattr(os, "read", lambda _descriptor, size: b"x" * size)
    assert len(read_rest(pipe)) == CHUNK * REST_CHUNKS


def test_unacknowledged_counts_what_the_other_side_has_not_taken(pipe: Pipe) -> None:
    """SIOCOUTQ falls as the other side reads."""
    assert unacknowledged(pipe) == 0
    pipe.near.send(b"x" * 1000)
    assert unacknowledged(pipe) > 0
    pipe.far.recv(1000)
    assert unacknowledged(pipe) == 0


def test_unacknowledged_where_the_kernel_does_not_tell_is_0(tmp_path: Path) -> None:
    """A descriptor that knows no such question counts for nothing."""

    class Plain:
        def __init__(self, file: Any) -> None:
            self.file = file

        def get_extra_info(self, _name: str) -> Any:
            return self.file

    with (tmp_path / "file").open("w") as file:
        assert unacknowledged(cast("asyncio.Transport", Plain(file))) == 0


def test_unacknowledged_of_a_tcp_connection_is_what_is_on_its_way() -> None:
    """Bytes that the other side's kernel has acknowledged do not count, read or not."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        with far:
            pipe = Pipe()
            pipe.extra["socket"] = near
            near.sendall(b"x" * 1000)
            far.recv(1000, socket.MSG_WAITALL)
            assert unacknowledged(pipe) == 0
            pipe.dispose()
