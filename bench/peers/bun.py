"""Bun's built-in publish/subscribe, which is uWebSockets."""

import json
import os
from pathlib import Path

from bench.peers.base import BENCH, Peer, npm_package

_PROGRAM = npm_package("bun") / "bin" / "bun.exe"  # named so on every platform


class Bun(Peer):
    """A topic broker on `server.publish`, compression off."""

    name = "bun"

    def unavailable(self) -> str | None:
        if not os.access(_PROGRAM, os.X_OK):
            return "the npm package bun is not installed: npm install --prefix bench"
        return None

    def version(self) -> str:
        return f"bun {json.loads((npm_package('bun') / 'package.json').read_text())['version']}"

    def command(self, port: int, workdir: Path) -> list[str]:
        del workdir
        script = BENCH / "peers" / "servers" / "bun.js"
        return [str(_PROGRAM), str(script), str(port), *self.accounts[0], *self.tls_files()]
