"""Payloads and passwords appear in no output of the broker, whatever is logged and whatever goes wrong."""

import base64
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.frames import BINARY, CLOSE, PING, PONG, TEXT
from tests.broker.canary_broker import BOOM
from tests.broker.process import ROOT, Process
from tests.conftest import stored
from tests.wire.raw import Wire, basic, client_frame, close_payload, closing, upgrade_request

PAYLOAD = "canary-payload-7f3a"
PASSWORD = "canary-password-91bc"
TOPIC = "callback-canary-topic-5e8d"
RAW = PAYLOAD.encode()
TOKEN = base64.b64encode(PASSWORD.encode()).decode()[:24]
"""How the password looks in a header, behind a user name of three or six letters and the colon."""

FRAMES = {
    "text": client_frame(TEXT, RAW),
    "binary": client_frame(BINARY, RAW),
    "fragments": client_frame(TEXT, RAW[:5], fin=False) + client_frame(0x80, RAW[5:]),
    "ping": client_frame(PING, RAW),
    "pong": client_frame(PONG, RAW),
    "close": client_frame(CLOSE, close_payload(4000, RAW)),
    "close with a bad code": client_frame(CLOSE, close_payload(1005, RAW)),
    "close with a bad reason": client_frame(CLOSE, close_payload(1000, RAW + b"\xff")),
    "no mask": client_frame(TEXT, RAW, mask=None),
    "reserved bits": client_frame(TEXT, RAW, rsv=4),
    "unknown opcode": client_frame(0x83, RAW),
    "continuation of nothing": client_frame(0x80, RAW),
    "text within a message": client_frame(TEXT, RAW, fin=False) + client_frame(TEXT, RAW),
    "bad UTF-8": client_frame(TEXT, RAW + b"\xff"),
    "bad UTF-8 in fragments": client_frame(TEXT, RAW, fin=False) + client_frame(0x80, RAW + b"\xff"),
    "too big": client_frame(TEXT, RAW * 300),
    "too big in fragments": client_frame(TEXT, RAW * 200, fin=False) + client_frame(0x80, RAW * 200),
    "ping too long": client_frame(PING, RAW * 10),
    "too fast": client_frame(TEXT, RAW) * 500,
    "fault of ours": client_frame(TEXT, RAW + BOOM.encode()),
    "half a frame": client_frame(TEXT, RAW)[:-3],
}


def requests() -> Iterator[bytes]:
    """Handshakes that carry the password in all the wrong ways."""
    good = upgrade_request("/ws", f"alice:{PASSWORD}")
    line = f"Authorization: {basic(f'alice:{PASSWORD}')}\r\n".encode()
    token = line.removeprefix(b"Authorization: Basic ").removesuffix(b"\r\n")
    for replacement in (
        line + line,
        line.replace(b"Basic", b"Bearer"),
        line.replace(b"Basic ", b"Basic  !"),
        b"Authorization: Basic " + PASSWORD.encode() + b"\r\n",
        b"Authorization:\r\n Basic " + token + b"\r\n",
        b"Authorization: Basic " + token + b"\x00\r\n",
        b"Authorization: Basic " + token * 500 + b"\r\n",
        b"Authorization Basic " + token + b"\r\n",
    ):
        yield good.replace(line, replacement)
    yield good.replace(b"\r\n", b"\n")
    yield good.replace(b"HTTP/1.1", b"HTTP/1.0")
    yield good.replace(b"HTTP/1.1", b"FTP/9")
    yield good.replace(b"GET", b"POST")
    yield good.replace(b"websocket", PASSWORD.encode())
    yield good.replace(b"/ws", f"/ws?topic=t&password={PASSWORD}&ack=1".encode())
    yield good.replace(b"/ws", f"http://alice:{PASSWORD}@127.0.0.1/nowhere".encode())
    yield good.replace(b"/ws", f"http://alice:{PASSWORD}@[::1/ws".encode())
    yield good + b"\r\n" + RAW
    yield PASSWORD.encode() + b"\r\n\r\n"
    for wrong in (f"alice:{PASSWORD}x", f"bob:{PASSWORD}", f"alice:{PASSWORD}{BOOM}"):
        yield upgrade_request("/ws", wrong)
    for number in range(5):
        yield upgrade_request("/ws", f"eve:{PASSWORD}{number}")


def admin_requests() -> Iterator[bytes]:
    """Requests to the admin listener, right and wrong."""
    for body in (RAW, RAW + b"\xff", RAW * 300, RAW + BOOM.encode()):
        for kind in ("text/plain", "application/octet-stream"):
            yield post(body, f"Content-Type: {kind}")
    yield post(RAW, user=f"alice:{PASSWORD}x")
    yield post(RAW, user=f"alice:{PASSWORD}{BOOM}")
    yield post(RAW, f"Authorization: {basic(f'alice:{PASSWORD}')}")
    yield post(RAW, "Content-Length: 5")
    yield post(RAW, "Transfer-Encoding: chunked")
    yield post(RAW, "X: " + PASSWORD * 1000)
    yield post(RAW).replace(
        b"Authorization: Basic ", b"Authorization: Basic " + base64.b64encode(PASSWORD.encode()) * 900
    )
    yield post(RAW).replace(b"Authorization: ", b"Authorization ")
    yield post(RAW).replace(b"HTTP/1.1", b"HTTP/" + PASSWORD.encode())
    yield post(RAW).replace(b"POST", PASSWORD.encode())
    yield post(RAW).replace(b"POST", b"GET")
    yield post(RAW).replace(b"?topic=t", b"?topic=%ff&password=" + PASSWORD.encode())
    yield RAW + b"\r\n\r\n" + RAW


def post(body: bytes, *headers: str, user: str = f"alice:{PASSWORD}") -> bytes:
    """Build a request to publish."""
    lines = [
        "POST /publish?topic=t HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Authorization: {basic(user)}",
        *headers,
    ]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def speak(port: int, data: bytes, *, fin: bool = True) -> bytes:
    """Send bytes on a connection of their own, and read everything that comes back; a reset is an end too."""
    wire = await Wire.connect(port)
    with closing([wire]), contextlib.suppress(ConnectionError):
        await wire.send(data)
        if fin:
            wire.fin()
        return await wire.to_end()
    return bytes(wire.buffer)


async def misbehave(port: int) -> None:
    """Send every frame on a WebSocket of its own, with a listener on the topic."""
    listener = await Wire.connect(port)
    with closing([listener]):
        await listener.upgrade(upgrade_request(f"/ws?topic={TOPIC}", f"alice:{PASSWORD}"))
        for frames in FRAMES.values():
            await speak(port, upgrade_request(f"/ws?topic={TOPIC}", f"alice:{PASSWORD}") + frames)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_canaries_appear_in_no_output(loop: str, tmp_path: Path, free_port: int) -> None:
    """With the root logger at DEBUG and the loop in debug mode: not in a log line, a traceback, a repr or a metric."""
    accounts = tmp_path / "accounts"
    accounts.write_text(f"alice:{stored(PASSWORD)}\n{PASSWORD}\ncarol:{PASSWORD}\n")
    script = str(ROOT / "tests" / "broker" / "canary_broker.py")
    process = Process(*(sys.executable, "-X", "dev", script, loop, str(accounts), str(free_port)), whole=True)
    try:
        found = process.wait_for(r"(\d+) (\d+)\n", "stdout")
        port, admin = int(found[1]), int(found[2])
        await misbehave(port)
        refusals = [await speak(port, request) for request in requests()]
        listener = await Wire.connect(port)
        with closing([listener]):
            await listener.upgrade(upgrade_request("/ws?topic=t", f"alice:{PASSWORD}"))
            answers = [await speak(admin, request, fin=False) for request in admin_requests()]
        answers.append(await speak(admin, post(RAW), fin=False))
        await speak(admin, post(RAW)[:-4])
        metrics = await speak(admin, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", fin=False)
        assert process.child.stdin is not None
        process.child.stdin.write(b"reload\n")
        process.child.stdin.flush()
        process.wait_for("settings_loaded")
        process.child.stdin.close()
        assert process.end() == 0
    finally:
        process.dispose()
    # What aiohttp answers to a request that is no HTTP quotes it, to nobody but its sender.
    said = b"".join(answer for answer in (metrics, *refusals, *answers) if b"HTTP/1.0 400" not in answer)
    output = process.stdout + process.stderr + said.decode("utf-8", "replace")
    lines = [line for line in output.splitlines() if re.search(f"{PAYLOAD}|{PASSWORD}|{TOKEN}|{TOPIC}", line)]
    assert lines == []
    # The proof that it was said loudly what happened, only not to whom it belongs.
    for event in ("internal_error", "refused", "account_unusable", "close id=", "admin_refused", "phase=verification"):
        assert event in process.stderr
    assert "DEBUG broker" in process.stderr
    assert "WARNING asyncio Executing" in process.stderr
    statuses = [answer.split(b" ")[1].decode() for answer in answers if answer.startswith(b"HTTP")]
    assert {"200", "202", "400", "401", "405", "413", "500"} <= set(statuses), statuses
