"""Run real servers on private ports of 127.0.0.1, each in a directory of its own.

| server    | accounts (password ``s3cret``)                                                    |
|-----------|-----------------------------------------------------------------------------------|
| broker    | ``app``                                                                           |
| RabbitMQ  | ``app`` may do everything, ``writer`` only write, ``stranger`` nothing             |
| Mosquitto | ``app`` may do everything, ``reader`` may not publish; nobody comes in without     |
| Redis     | ``app`` may do everything, ``reader`` may not publish; without only where ``open`` |

A server that is not installed skips its tests; where ``CI`` is set it fails them.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import bcrypt
import pytest

from examples import rabbit, servers
from examples.servers import HOST
from tests.publisher.certificates import Certificates

__all__ = ["HOST", "PASSWORD", "BrokerServer", "MosquittoServer", "RabbitServer", "RedisServer", "Server", "need"]

PASSWORD = "s3cret"


def need(*programs: str) -> None:
    """Skip the test when a program is missing; fail it in CI."""
    missing = [program for program in programs if shutil.which(program) is None and not Path(program).exists()]
    if not missing:
        return
    text = f"{', '.join(missing)} is not installed"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


class Server(servers.Server):
    """A server that also speaks TLS, with the password of the tests."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        need(*self.programs)
        super().__init__(directory, PASSWORD, certificates)
        self.certificates = certificates


class BrokerServer(Server):
    """Our own broker, as a process so that it can be killed; speaks TLS only where ``tls`` is set."""

    programs = ()
    package = ""

    def __init__(self, directory: Path, certificates: Certificates, *, tls: bool = False) -> None:
        super().__init__(directory, certificates)
        self.tls_port = self.port
        self._speaks_tls = tls
        accounts = directory / "accounts"
        accounts.write_text(f"app:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")

    def command(self) -> list[str]:
        pair = [f"--tls-certificate={self.certificates.certificate}", f"--tls-key={self.certificates.key}"]
        return [
            *(sys.executable, "-c", "from broker.cli import main; main()", "serve"),
            *(f"--password-file={self.directory / 'accounts'}", f"--host={HOST}", f"--port={self.port}"),
            *("--admin-port=0", "--drain-time=0s"),
            *(pair if self._speaks_tls else []),
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


class RedisServer(Server, servers.RedisServer):
    """Redis; ``open_to_all`` lets in whoever gives no password."""

    def __init__(self, directory: Path, certificates: Certificates, *, open_to_all: bool = False) -> None:
        super().__init__(directory, certificates)
        self.users: Mapping[str, str] = {
            "default": "on nopass ~* &* +@all" if open_to_all else "off",
            "app": "on >{password} ~* &* +@all",
            "reader": "on >{password} ~* &* +@all -publish",
        }


class MosquittoServer(Server, servers.MosquittoServer):
    """Mosquitto with a password file, an access list and persistence."""

    users: Mapping[str, str] = {"app": "readwrite #", "reader": "read #"}


class RabbitServer(Server, rabbit.RabbitServer):
    """RabbitMQ with a port mapper (epmd), a cookie and a node name of its own."""

    users: Mapping[str, rabbit.Rights | None] = {"app": (".*", ".*", ".*"), "writer": ("", ".*", ""), "stranger": None}
