"""A bare relay in C: what the system calls of the plainest way cost."""

import shutil
import subprocess
from pathlib import Path

from bench.peers.base import BENCH, Peer, missing_program
from bench.shapes import Shape


class Floor(Peer):
    """One `recv`, unmask, one `send` per subscriber (`bench/floor.c`).

    That is the least for one message at a time. It joins what one `recv` brings and nothing across several, so a
    broker that joins more can need less when messages come in batches or from many publishers.
    """

    name = "floor"
    accounts = ()
    speaks_tls = False

    def cannot(self, shape: Shape) -> str | None:
        """Besides TLS: a subscriber that does not read would hold everybody up."""
        return "it waits for the slowest" if shape.slow else super().cannot(shape)

    def unavailable(self) -> str | None:
        return missing_program("cc", "install a C compiler, for example the package gcc")

    def version(self) -> str:
        found = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True, check=True)
        return f"bench/floor.c, cc {found.stdout.strip()} -O2"

    def command(self, port: int, workdir: Path) -> list[str]:
        program = workdir / "floor"
        compiler = shutil.which("cc") or "cc"
        subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(BENCH / "floor.c")], check=True)
        return [str(program), str(port)]
