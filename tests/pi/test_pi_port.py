"""A serial port is opened for us alone, and what goes wrong with it is said in plain words."""

import asyncio
import errno
import logging
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serialx

from otp.pi.modems import port as port_module
from otp.pi.modems.dialogue import UnpluggedError
from otp.pi.modems.port import Port, PortError, open_port


@pytest.fixture
def cable() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    yield master, os.ttyname(slave)
    for end in (master, slave):
        try:
            os.close(end)
        except OSError:
            continue


async def test_port_moves_bytes_both_ways(cable: tuple[int, str]) -> None:
    """What is read before anybody listens is kept; what is written arrives."""
    master, path = cable
    port = await open_port(path, 115_200)
    port.data_received(b"ear")
    got = bytearray()
    enough = asyncio.Event()

    def take(data: bytes) -> None:
        got.extend(data)
        if got == b"early OK":
            enough.set()

    port.attach(take, lambda: None)
    os.write(master, b"ly OK")
    await enough.wait()
    port.write(b"AT\r")
    assert await asyncio.to_thread(os.read, master, 10) == b"AT\r"
    await port.close()
    assert port.lost.is_set()
    with pytest.raises(UnpluggedError):
        port.write(b"AT\r")


async def test_port_unplugged_is_told(cable: tuple[int, str]) -> None:
    """The end of the cable is told to who listens."""
    master, path = cable
    port = await open_port(path, 115_200)
    told = asyncio.Event()
    port.attach(lambda data: None, told.set)
    os.close(master)
    await told.wait()
    with pytest.raises(UnpluggedError):
        port.write(b"AT\r")


async def test_port_is_ours_alone(cable: tuple[int, str]) -> None:
    """Who comes second is told who may have it."""
    port = await open_port(cable[1], 115_200)
    with pytest.raises(PortError, match="in use by another program"):
        await open_port(cable[1], 115_200)
    await port.close()


async def test_port_that_is_not_there(tmp_path: Path) -> None:
    """The reason names the port and what to do."""
    with pytest.raises(PortError, match=r"none is not there: plug the modem in"):
        await open_port(str(tmp_path / "none"), 115_200)


async def test_port_that_is_no_port(tmp_path: Path) -> None:
    """A file is no port."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PortError, match="cannot be opened"):
        await open_port(str(tmp_path / "file"), 115_200)


async def test_port_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the group."""

    async def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(serialx, "create_serial_connection", refuse)
    with pytest.raises(PortError, match="dialout"):
        await open_port("/dev/ttyUSB0", 115_200)


class Transport(asyncio.Transport):
    """One that fails to write, and never closes."""

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        raise serialx.SerialException("gone")

    def abort(self) -> None:
        return


async def test_port_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails means unplugged, and a port that never closes is not waited for."""
    monkeypatch.setattr(port_module, "CLOSE_TIMEOUT", 0.01)
    port = Port("/dev/x")
    await port.close()
    port.connection_made(Transport())
    with pytest.raises(UnpluggedError):
        port.write(b"AT\r")
    await port.close()
    assert not port.lost.is_set()


def test_port_library_never_logs_bytes() -> None:
    """The library's debug log would hold PINs and messages."""
    assert not logging.getLogger("serialx.descriptor_transport").isEnabledFor(logging.DEBUG)
