"""The control socket, the lock on the data directory, and the client of both."""

import asyncio
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from otp.pi.control import AlreadyRunningError, Control, ControlClient, DirectoryLock, NotRunningError
from otp.pi.counts import Counts
from otp.pi.model import Origin
from otp.roads.errors import ConfigError
from tests.pi.rest_doubles import Row, World

ECHO = {"command": "echo", "data": {}}


def control(directory: Path, world: World) -> Control:
    return Control(directory, world.asked, world.status, world.journal, Counts())


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def running(tmp_path: Path, world: World) -> AsyncIterator[Path]:
    """A directory with a service on it."""
    service = control(tmp_path, world)
    assert await service.start() == tmp_path / "control.sock"
    yield tmp_path
    await service.stop()


async def test_command_and_answer(running: Path, world: World) -> None:
    """A command goes in without a password, as one of this machine."""
    async with ControlClient(running) as client:
        assert await client.command(ECHO) == {"command": "echo", "response_code": "0000", "data": {}}
        assert await client.command(ECHO)
    assert world.asked.origins == [Origin(road="local")] * 2


async def test_everything_can_be_looked_at(running: Path, world: World) -> None:
    """The state, the journal and the refusals of the HTTP server come over the socket too."""
    world.journal.kept = [Row(1), Row(2)]
    async with ControlClient(running) as client:
        assert (await client.get("/status"))["ready"] is True
        assert await client.get("/readyz") == {"status": "ready"}
        assert [row["number"] for row in (await client.get("/api/journal?limit=1"))["rows"]] == [2]
        assert (await client.get("/api/journal?limit=x"))["reason"] == "bad_request"


async def test_fields_of_any_kind(running: Path, world: World) -> None:
    """A field of an event that JSON does not know is shown as text."""
    world.events = [{"event": "certificate_loaded", "file": Path("/x.pem")}]
    async with ControlClient(running) as client:
        assert (await client.get("/status"))["events"] == [{"event": "certificate_loaded", "file": "/x.pem"}]


async def test_socket_is_for_one_account(running: Path) -> None:
    """Nobody else may connect, and it is gone afterwards."""
    assert stat.S_IMODE((running / "control.sock").stat().st_mode) == 0o600


async def test_socket_is_gone_after_the_end(tmp_path: Path, world: World) -> None:
    """A service that ended leaves no socket, even when somebody took it away before."""
    service = control(tmp_path, world)
    path = await service.start()
    path.unlink()
    await service.stop()
    assert not path.exists()


async def test_stale_socket_is_replaced(tmp_path: Path, world: World) -> None:
    """What a killed process left is no obstacle."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    service = control(tmp_path, world)
    await service.start()
    async with ControlClient(tmp_path) as client:
        assert (await client.command(ECHO))["response_code"] == "0000"
    await service.stop()


async def test_live_socket_is_left_alone(running: Path, world: World) -> None:
    """A second service on the same directory says so and takes nothing away."""
    with pytest.raises(AlreadyRunningError, match=rf"^otp-pi run is already running on data_dir {running}$"):
        await control(running, world).start()
    async with ControlClient(running) as client:
        assert await client.command(ECHO)


async def test_socket_that_cannot_be_made(tmp_path: Path, world: World) -> None:
    """A directory that is missing, or whose path is too long for a socket, is named."""
    for directory in (tmp_path / "missing", tmp_path / ("x" * 120)):
        with pytest.raises(ConfigError, match=r"^control socket .*/control\.sock: "):
            await control(directory, world).start()
    (tmp_path / ("x" * 120)).mkdir()
    with pytest.raises(ConfigError, match="too long"):
        await control(tmp_path / ("x" * 120), world).start()


async def test_nobody_runs(tmp_path: Path) -> None:
    """Without a service the client says what to do, on an empty directory and on a stale socket."""
    with socket.socket(socket.AF_UNIX) as dead:
        (tmp_path / "stale").mkdir()
        dead.bind(str(tmp_path / "stale" / "control.sock"))
    for directory in (tmp_path, tmp_path / "stale"):
        async with ControlClient(directory) as client:
            with pytest.raises(NotRunningError, match=rf"^otp-pi run is not running on data_dir {directory}; start it"):
                await client.command(ECHO)


async def test_not_allowed(running: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another account is told that it is the wrong one."""

    async def refuse(*_arguments: object, **_more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_connection", refuse)
    async with ControlClient(running) as client:
        with pytest.raises(NotRunningError, match="may not be used: run this as the account that otp-pi run runs as"):
            await client.get("/status")


async def test_service_that_ends_meanwhile(tmp_path: Path) -> None:
    """A service that ends before it answers is told of as such."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "control.sock")
    async with ControlClient(tmp_path) as client:
        with pytest.raises(NotRunningError, match="ended before it answered"):
            await client.get("/status")
    server.close()


async def test_client_that_never_asked_closes(tmp_path: Path) -> None:
    """Closing is fine at any time."""
    await ControlClient(tmp_path).close()


async def test_no_compressed_bodies(running: Path) -> None:
    """What the HTTP server refuses is refused here too."""
    connector = aiohttp.UnixConnector(str(running / "control.sock"))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post("http://x/api/otp", data=b"x", headers={"Content-Encoding": "br"}) as response,
    ):
        assert response.status == 415


# -- the lock


def test_lock_is_for_one_process(tmp_path: Path) -> None:
    """The second process on a directory is refused with the number of the first; afterwards it may."""
    directory = tmp_path / "new" / "data"
    code = (
        "from otp.pi.control import DirectoryLock; from pathlib import Path; "
        f"DirectoryLock(Path({str(directory)!r})).__enter__()"
    )
    with DirectoryLock(directory):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((directory / "lock").stat().st_mode) == 0o600
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert f"already running on data_dir {directory} (process {os.getpid()})" in other.stderr
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert other.returncode == 0, other.stderr
    with DirectoryLock(directory):
        assert (directory / "lock").read_text() == f"{os.getpid()}\n"


def test_lock_without_a_number(tmp_path: Path) -> None:
    """A holder that has not written its number yet is refused without one."""
    with DirectoryLock(tmp_path):
        os.truncate(tmp_path / "lock", 0)
        with pytest.raises(AlreadyRunningError, match=rf"data_dir {tmp_path}$"), DirectoryLock(tmp_path):
            pass


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A directory that cannot be is named with the reason."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"^data_dir .*/file/data: Not a directory$"),
        DirectoryLock(tmp_path / "file" / "data"),
    ):
        pass
