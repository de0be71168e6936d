"""Run RabbitMQ, Redis and Mosquitto on private ports of 127.0.0.1, each in a directory of its own.

Nothing of an installed server's own configuration or data is read or touched, and each ends with whoever started it.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Protocol

from examples.ports import free_ports

HOST: Final = "127.0.0.1"

_START_TIME: Final = 60.0
"""Seconds a server may take to start; RabbitMQ needs five on an idle machine."""

_STOP_TIME: Final = 20.0
"""Seconds a server has to end when it is asked to."""


class ServerError(Exception):
    """A server did not start, or did not end; the text has its last words."""


class TlsFiles(Protocol):
    """Files in PEM form for a port that speaks TLS."""

    @property
    def authority(self) -> Path:
        """Who signed the certificate."""
        ...

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        ...

    @property
    def key(self) -> Path:
        """Its key."""
        ...


class Server(ABC):
    """A server process that can be killed and started again on the same ports and the same data.

    Args:
        directory: For its configuration and data.
        password: Of all its accounts.
        tls: With these there is a second port, which speaks TLS.

    Attributes:
        programs: What has to be installed.
        package: Where that is, in Debian and its relatives.
        port: Where it listens.
        tls_port: Where it speaks TLS.
    """

    programs: ClassVar[Sequence[str]]
    package: ClassVar[str]

    def __init__(self, directory: Path, password: str, tls: TlsFiles | None = None) -> None:
        self.directory = directory
        self.password = password
        self.tls = tls
        self.port, self.tls_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> list[str]:
        """Return the programs that are not installed."""
        return [each for each in cls.programs if shutil.which(each) is None and not Path(each).exists()]

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line; the configuration is written."""

    def environment(self) -> dict[str, str]:
        """Return the process's environment."""
        return dict(os.environ)

    def start(self) -> None:
        """Start the server and wait until its ports accept connections.

        Raises:
            ServerError: It does not.
        """
        with (self.directory / "output.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a server of the list below
                self.command(),
                env=self.environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        ports = [self.port] if self.tls is None else [self.port, self.tls_port]
        deadline = time.monotonic() + _START_TIME
        while not all(accepts(port) for port in ports):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{type(self).__name__} did not start:\n{self.output()}")
            time.sleep(0.05)

    def output(self) -> str:
        """Return the last lines it wrote."""
        return (self.directory / "output.log").read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """End it and whatever was started for it; its data is not needed any more."""
        self.kill()

    def pause(self) -> None:
        """Stop it from answering; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._signal(number)
        try:
            self._process.wait(_STOP_TIME)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(_STOP_TIME)
        deadline = time.monotonic() + _STOP_TIME
        while accepts(self.port):  # a shell script may end before the server it started
            if time.monotonic() > deadline:
                raise ServerError(f"{type(self).__name__} did not end")
            time.sleep(0.02)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group, which holds nothing but this server."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


class RedisServer(Server):
    """Redis, which keeps nothing on the disk; ``users`` has each account's rules (redis.io, ACL)."""

    programs = ("redis-server",)
    package = "redis-server"
    users: Mapping[str, str] = {"default": "off", "app": "on >{password} ~* &* +@all"}

    def command(self) -> list[str]:
        """Write the configuration and return the command line."""
        configuration = self.directory / "redis.conf"
        accounts = [f"user {user} {rules.format(password=self.password)}" for user, rules in self.users.items()]
        lines = [f"bind {HOST}", f"port {self.port}", *self._tls_lines(), f"dir {self.directory}", 'save ""', *accounts]
        configuration.write_text("\n".join(lines) + "\n")
        return ["redis-server", str(configuration)]

    def _tls_lines(self) -> list[str]:
        if self.tls is None:
            return []
        return [
            f"tls-port {self.tls_port}",
            f"tls-cert-file {self.tls.certificate}",
            f"tls-key-file {self.tls.key}",
            f"tls-ca-cert-file {self.tls.authority}",
            "tls-auth-clients no",
        ]


class MosquittoServer(Server):
    """Mosquitto with a password file, an access list and persistence; ``users`` has each account's topics."""

    programs = ("mosquitto", "mosquitto_passwd")
    package = "mosquitto"
    users: Mapping[str, str] = {"app": "readwrite #"}

    def command(self) -> list[str]:
        """Write the configuration and return the command line."""
        passwords, rights = self.directory / "passwords", self.directory / "rights"
        if not passwords.exists():
            self._make_accounts(passwords, rights)
        configuration = self.directory / "mosquitto.conf"
        lines = [
            f"user {_user()}",
            "allow_anonymous false",
            f"password_file {passwords}",
            f"acl_file {rights}",
            "persistence true",
            f"persistence_location {self.directory}/",
            f"listener {self.port} {HOST}",
            *self._tls_lines(),
        ]
        configuration.write_text("\n".join(lines) + "\n")
        return ["mosquitto", "-c", str(configuration)]

    def _make_accounts(self, passwords: Path, rights: Path) -> None:
        passwords.write_text("".join(f"{user}:{self.password}\n" for user in self.users))
        passwords.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True)  # noqa: S603, S607 - as installed
        rights.write_text("".join(f"user {user}\ntopic {topics}\n" for user, topics in self.users.items()))
        rights.chmod(0o600)

    def _tls_lines(self) -> list[str]:
        if self.tls is None:
            return []
        return [
            f"listener {self.tls_port} {HOST}",
            f"cafile {self.tls.authority}",
            f"certfile {self.tls.certificate}",
            f"keyfile {self.tls.key}",
        ]


def accepts(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _user() -> str:
    return "root" if os.getuid() == 0 else str(os.environ.get("USER", "nobody"))
