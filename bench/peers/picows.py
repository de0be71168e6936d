"""picows, a WebSocket library in Cython, as a relay."""

import importlib.metadata
import sys
from pathlib import Path

from bench.peers.base import Peer, missing_module
from bench.peers.servers.loop import loop_name


class Picows(Peer):
    """A minimal topic broker: one `send` per subscriber, on uvloop where that is installed."""

    name = "picows"

    def unavailable(self) -> str | None:
        return missing_module("picows")

    def version(self) -> str:
        return f"picows {importlib.metadata.version('picows')} on {loop_name()}"

    def command(self, port: int, workdir: Path) -> list[str]:
        del workdir
        arguments = [str(port), *self.accounts[0], *self.tls_files()]
        return [sys.executable, "-m", "bench.peers.servers.picows_relay", *arguments]
