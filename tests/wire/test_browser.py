"""A real browser talks through the broker: headless Chromium opens a page, whose script is the client."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import MakeBroker
from tests.wire.conftest import Dial
from tests.wire.raw import binary, text

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60.0
"""Seconds for a browser to start on a busy machine and run the page."""

PAGE = """<!doctype html>
<title>client</title>
<script>
  const report = (outcome) => fetch("/report", {method: "POST", body: JSON.stringify(outcome)});
  const heard = [];
  const socket = new WebSocket("%(url)s");
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    socket.send("from the browser: \\u00e9 \\u{1f600}");
    socket.send(new Uint8Array([0, 255, 254]));
  };
  socket.onmessage = ({data}) => {
    heard.push(typeof data === "string" ? data : Array.from(new Uint8Array(data)));
    if (heard.length === 2) socket.close(4000, "seen enough");
  };
  socket.onclose = ({code, reason, wasClean}) =>
    report({heard, code, reason, wasClean, extensions: socket.extensions, protocol: socket.protocol});
</script>
"""


class Page:
    """A page on a port of its own, and what its script reports."""

    def __init__(self) -> None:
        self.html = ""
        self.port = 0
        self.report: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    @property
    def origin(self) -> str:
        """Where the browser says it comes from."""
        return f"http://127.0.0.1:{self.port}"

    async def serve_page(self, _: web.Request) -> web.Response:
        return web.Response(text=self.html, content_type="text/html")

    async def take_report(self, request: web.Request) -> web.Response:
        if not self.report.done():
            self.report.set_result(await request.json())
        return web.Response()


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Serve a page on loopback."""
    served = Page()
    application = web.Application()
    application.add_routes([web.get("/", served.serve_page), web.post("/report", served.take_report)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.port = runner.addresses[0][1]
    yield served
    await runner.cleanup()


@contextlib.asynccontextmanager
async def browser(url: str, profile: Path) -> AsyncIterator[None]:
    """Open a URL in a browser of its own that talks to nobody else."""
    assert BROWSER is not None
    process = await asyncio.create_subprocess_exec(
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={profile}",
        url,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


pytestmark = [
    pytest.mark.asyncio(loop_factories=["asyncio"]),
    pytest.mark.skipif(BROWSER is None, reason="no browser is installed: sudo apt install chromium"),
]


async def test_browser_talks(make_broker: MakeBroker, dial: Dial, page: Page, tmp_path: Path) -> None:
    """A page of an allowed origin logs in with the URL's credentials, sends, receives and closes cleanly."""
    broker = await make_broker(allowed_origins=page.origin)
    peer = await dial(broker)
    page.html = PAGE % {"url": f"ws://alice:secret@127.0.0.1:{broker.port}/ws?topic=t"}
    async with asyncio.timeout(PATIENCE), browser(page.origin, tmp_path / "profile"):
        assert await peer.at_end() is False
        assert await peer.frames(2) == [text("from the browser: é 😀"), binary(b"\x00\xff\xfe")]
        await peer.send_text("to the browser: é 😀")
        await peer.send(b"\x82\x83\0\0\0\0\x00\xff\xfe")
        report = await page.report
    assert report == {
        "heard": ["to the browser: é 😀", [0, 255, 254]],
        "code": 4000,
        "reason": "",
        "wasClean": True,
        "extensions": "",
        "protocol": "",
    }
    assert broker.core.counters.closed["other"] == 1


async def test_browser_of_a_foreign_page_is_kept_out(make_broker: MakeBroker, page: Page, tmp_path: Path) -> None:
    """A page of another origin gets no connection, although it knows a password."""
    broker = await make_broker()
    page.html = PAGE % {"url": f"ws://alice:secret@127.0.0.1:{broker.port}/ws?topic=t"}
    async with asyncio.timeout(PATIENCE), browser(page.origin, tmp_path / "profile"):
        report = await page.report
    assert (report["code"], report["wasClean"], report["heard"]) == (1006, False, [])
    assert broker.core.counters.opened == 0
    assert broker.core.counters.rejected["forbidden_origin"] >= 1
