"""Run the commands of a page as a reader would: in one directory, in several terminals, against a real broker.

What the info string of a block says:

    sh {test}                                  run it; it must succeed
    sh {test exit=1}                           run it; it must end with this code
    sh {test terminal=broker until="listening"}   run it in another terminal; go on once some terminal shows the text
    python {test}                              run it with Python
    text {output}                              what the block before it printed, exactly
    text {output terminal=sub}                 lines that appear in that terminal
    toml {file=wsbroker.toml}                  written to that file

Ports 9000, 9001 and 8899 stand for private ones, in what is run and in what it prints.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from broker.settings import Settings
from examples.ports import free_ports
from otp.pi.settings import Rest
from tests.docs.pages import Block

PATIENCE = 20.0
"""Seconds for a text to appear and for a command to end."""


class Terminals:
    """One reader's terminals, which share a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory.parent
        defaults = Settings()
        known = (defaults.port, defaults.admin_port, Rest().port)
        self.ports = {str(port): str(free) for port, free in zip(known, free_ports(len(known)), strict=True)}
        (directory / ".curlrc").write_text("silent\nshow-error\n")  # as on a terminal: no progress bar
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.printed = ""
        """What the last block printed."""

    def environment(self) -> dict[str, str]:
        """Return a plain environment in which the commands of this project are found, and the private ports hold."""
        first, second, third = self.ports.values()
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "WSBROKER_PORT": first,
            "WSBROKER_ADMIN_PORT": second,
            "OTP_PI_REST_PORT": third,
        }

    def play(self, block: Block) -> None:
        """Do with a block what its info string says."""
        words = block.words
        if "file" in words:
            (self.directory / words["file"]).write_text(self._here(block.text))
        elif "output" in words:
            self._compare(block)
        elif "terminal" in words:
            self._start(block)
        elif "test" in words:
            self._run(block)

    def close(self) -> None:
        """End what still runs, each with the processes it started."""
        for process in self.running.values():
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)

    def _here(self, text: str) -> str:
        for written, private in self.ports.items():
            text = re.sub(rf"\b{written}\b", private, text)
        return text

    def _as_written(self, text: str) -> str:
        for written, private in self.ports.items():
            text = re.sub(rf"\b{private}\b", written, text)
        return text

    def _command(self, block: Block) -> list[str]:
        if block.language == "python":
            return [sys.executable, "-c", self._here(block.text)]
        return ["bash", "-euc", self._here(block.text)]

    def _run(self, block: Block) -> None:
        ended = subprocess.run(
            self._command(block),
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        self.printed = self._as_written(ended.stdout.decode())
        wanted = int(block.words.get("exit", "0"))
        assert ended.returncode == wanted, f"{block.place}: exit code {ended.returncode}: {self.printed}"

    def _start(self, block: Block) -> None:
        before = self._shown()
        name = block.words["terminal"]
        with (self.logs / f"{name}.terminal").open("ab") as output:
            self.running[name] = subprocess.Popen(
                self._command(block),
                cwd=self.directory,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def new() -> str:
            return "".join(text[len(before.get(terminal, "")) :] for terminal, text in self._shown().items())

        self._await(block, lambda: block.words["until"] in new())

    def _shown(self) -> dict[str, str]:
        """Return what each terminal shows."""
        return {file.stem: self._as_written(file.read_text()) for file in sorted(self.logs.glob("*.terminal"))}

    def _compare(self, block: Block) -> None:
        terminal = block.words.get("terminal")
        if terminal is None:
            assert self.printed.rstrip("\n") == block.text.rstrip("\n"), f"{block.place}: printed {self.printed!r}"
            return
        for line in block.lines:
            self._await(block, lambda line=line: line in self._shown()[terminal])  # type: ignore[misc]

    def _await(self, block: Block, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{block.place}: it did not appear in {self._shown()}"
            time.sleep(0.02)
