"""What a stranger may do to the HTTP server without an account, and what it must survive."""

import asyncio
import logging
from pathlib import Path

import pytest

from otp import http
from tests.pi.rest_doubles import AUTHORIZED
from tests.pi.test_pi_rest import Running, serving

PATIENCE = 10.0


async def _open(running: Running, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def _end(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes."""
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


@pytest.mark.parametrize("sent", [b"", b"POST /api/otp HTTP/1.1\r\nHost: x\r\nX"])
async def test_slow_headers_are_given_up(sent: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that does not come to the end of its headers is closed after a time, not after an hour."""
    monkeypatch.setattr(http, "REQUEST_TIMEOUT", 0.2)
    async with serving(tmp_path) as running:
        reader, writer = await _open(running, sent)
        assert await _end(reader) == b""
        writer.close()


async def test_idle_connections_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of connections that ask nothing the oldest are closed when there are too many; one at work never is."""
    monkeypatch.setattr(http, "MAX_IDLE", 2)
    monkeypatch.setattr(http, "ROOM_AFTER", 0.1)
    async with serving(tmp_path) as running:
        account = f"Authorization: {AUTHORIZED['Authorization']}\r\nConnection: close"
        request = f"POST /api/otp HTTP/1.1\r\nHost: x\r\n{account}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        reader, writer = await _open(running, request.encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"  # it waits for the body now
        idle = [await _open(running, b"GET /livez HTTP/1.1\r\nX") for _ in range(4)]
        assert [await _end(each) for each, _ in idle[:2]] == [b"", b""]
        assert not any(each.at_eof() for each, _ in idle[2:])
        writer.write(b"{}")
        assert (await _end(reader)).startswith(b"HTTP/1.1 200 OK\r\n")
        for _, each in [*idle, (reader, writer)]:
            each.close()


async def test_malformed_requests_leave_nothing_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sends no HTTP is answered 400; neither a traceback nor what he sent, a password say, is logged."""
    caplog.set_level(logging.DEBUG)
    async with serving(tmp_path) as running:
        reader, writer = await _open(
            running, b"GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\0\r\n\r\n"
        )
        assert (await _end(reader)).startswith(b"HTTP/1.0 400 ")
        writer.close()
    assert "c2VjcmV0" not in caplog.text
    assert "Traceback" not in caplog.text


def test_faults_of_the_server_are_logged_by_kind(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong inside the HTTP library is logged as its kind: its text may quote what a client sent."""
    try:
        raise RuntimeError("c2VjcmV0")
    except RuntimeError:
        http.SERVER_LOG.exception("Unhandled exception")
    assert caplog.messages == ["a connection failed: RuntimeError"]
    assert "c2VjcmV0" not in caplog.text
