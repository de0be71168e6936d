"""The `websockets` library's own `serve()` and `broadcast()`."""

import importlib.metadata
import sys
from pathlib import Path

from bench.peers.base import Peer, missing_module
from bench.peers.servers.loop import loop_name


class Websockets(Peer):
    """A minimal topic broker as the library's documentation shows it, on uvloop where that is installed."""

    name = "websockets"

    def unavailable(self) -> str | None:
        return missing_module("websockets")

    def version(self) -> str:
        return f"websockets {importlib.metadata.version('websockets')} broadcast() on {loop_name()}"

    def command(self, port: int, workdir: Path) -> list[str]:
        del workdir
        (user, password) = self.accounts[0]
        arguments = [str(port), user, password, *self.tls_files()]
        return [sys.executable, "-m", "bench.peers.servers.broadcast", *arguments]
