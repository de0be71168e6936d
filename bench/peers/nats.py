"""NATS over WebSocket: the `nats-server` of Debian and others."""

import shutil
import subprocess
from pathlib import Path

from bench.peers.base import Peer, debian_package, missing_program
from bench.wire import BINARY, Dialect
from examples.ports import free_port

# nats-server has no flag for its WebSocket listener, only this file.
_CONFIG = """\
host: 127.0.0.1
port: {nats_port}
ping_interval: "1h"
websocket {{
    host: 127.0.0.1
    port: {port}
    {tls}
    compression: false
}}
authorization {{ user: {user}, password: {password} }}
"""


class NatsDialect(Dialect):
    """The NATS client protocol in binary frames; the server packs many messages into one frame."""

    opcode = BINARY
    framed = False
    ready = b"PONG\r\n"

    def __init__(self, user: str, password: str, subject: str = "bench") -> None:
        self._account = user, password
        self._subject = subject.encode()
        options = f'{{"verbose":false,"pedantic":false,"echo":false,"user":"{user}","pass":"{password}"}}'
        self.hello = f"CONNECT {options}\r\nSUB {subject} 1\r\nPING\r\n".encode()

    def on(self, topic: str) -> "NatsDialect":
        return NatsDialect(*self._account, topic)

    def published(self, payload: bytes) -> bytes:
        return b"PUB %s %d\r\n%s\r\n" % (self._subject, len(payload), payload)

    def delivered(self, payload: bytes) -> bytes:
        return b"MSG %s 1 %d\r\n%s\r\n" % (self._subject, len(payload), payload)


class Nats(Peer):
    """`nats-server` with its WebSocket listener; clients ask for no echo of their own messages."""

    name = "nats"

    def __init__(self) -> None:
        self.dialect = NatsDialect(*self.accounts[0])

    def unavailable(self) -> str | None:
        return missing_program("nats-server", "install the package nats-server")

    def version(self) -> str:
        found = subprocess.run(["nats-server", "--version"], capture_output=True, text=True, check=True)
        return found.stdout.strip() + debian_package("nats-server")

    def command(self, port: int, workdir: Path) -> list[str]:
        (user, password) = self.accounts[0]
        config = workdir / "nats.conf"
        tls = "no_tls: true"
        if self.certificate:
            tls = f'tls {{ cert_file: "{self.certificate.chain}", key_file: "{self.certificate.key}" }}'
        config.write_text(_CONFIG.format(port=port, nats_port=free_port(), user=user, password=password, tls=tls))
        return [shutil.which("nats-server") or "nats-server", "-c", str(config)]

    def target(self, topic: str) -> str:
        del topic
        return "/"
