"""The npm package `ws`, the usual choice on Node.js."""

import json
import shutil
import subprocess
from pathlib import Path

from bench.peers.base import BENCH, Peer, missing_program, npm_package


class NodeWs(Peer):
    """A topic broker in a few lines of JavaScript: a frame per message, a write per subscriber and turn of the loop."""

    name = "nodews"

    def unavailable(self) -> str | None:
        if reason := missing_program("node", "see nodejs.org"):
            return reason
        if not npm_package("ws").is_dir():
            return "the npm package ws is not installed: npm install --prefix bench"
        return None

    def version(self) -> str:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        unmasking = f" with bufferutil {_version('bufferutil')}" if npm_package("bufferutil").is_dir() else ""
        return f"ws {_version('ws')}{unmasking} on node {node.stdout.strip()}"

    def command(self, port: int, workdir: Path) -> list[str]:
        del workdir
        script = BENCH / "peers" / "servers" / "nodews.mjs"
        return [shutil.which("node") or "node", str(script), str(port), *self.accounts[0], *self.tls_files()]


def _version(package: str) -> str:
    """Read the version of an installed npm package."""
    described: dict[str, str] = json.loads((npm_package(package) / "package.json").read_text())
    return described["version"]
