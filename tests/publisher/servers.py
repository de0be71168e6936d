"""Run real servers on private ports of 127.0.0.1, each in a directory of its own.

| server    | accounts (password ``s3cret``)                                                    |
|-----------|-----------------------------------------------------------------------------------|
| broker    | ``app``                                                                           |
| RabbitMQ  | ``app`` may do everything, ``writer`` only write, ``stranger`` nothing             |
| Mosquitto | ``app`` may do everything, ``reader`` may not publish; nobody comes in without     |
| Redis     | ``app`` may do everything, ``reader`` may not publish; without only where ``open`` |

A server that is not installed skips its tests; where ``CI`` is set it fails them.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

import bcrypt
import pytest

from examples.ports import free_ports
from tests.publisher.certificates import Certificates

PASSWORD = "s3cret"
HOST = "127.0.0.1"

_READY = 60.0
"""Seconds a server may take to start; RabbitMQ needs five on an idle machine."""


def need(*programs: str) -> None:
    """Skip the test when a program is missing; fail it in CI."""
    missing = [program for program in programs if shutil.which(program) is None and not Path(program).exists()]
    if not missing:
        return
    text = f"{', '.join(missing)} is not installed"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


class Server(ABC):
    """A server process that can be killed and started again on the same ports and the same data."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        self.directory = directory
        self.certificates = certificates
        self.port, self.tls_port = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line."""

    def environment(self) -> dict[str, str]:
        """Return the process's environment."""
        return dict(os.environ)

    def start(self) -> None:
        """Start the server and wait until both ports accept connections."""
        with (self.directory / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY
        while not all(_accepts(port) for port in (self.port, self.tls_port)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{type(self).__name__} did not start:\n{self.output()}")
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
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(20)
        deadline = time.monotonic() + 20
        while _accepts(self.port):  # a shell script may end before the server it started
            assert time.monotonic() < deadline, f"{type(self).__name__} did not end"
            time.sleep(0.02)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group, which holds nothing but this server."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


class BrokerServer(Server):
    """Our own broker, as a process so that it can be killed; speaks TLS only where ``tls`` is set."""

    def __init__(self, directory: Path, certificates: Certificates, *, tls: bool = False) -> None:
        super().__init__(directory, certificates)
        self.tls_port = self.port
        self._tls = tls
        accounts = directory / "accounts"
        accounts.write_text(f"app:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")

    def command(self) -> list[str]:
        pair = [f"--tls-certificate={self.certificates.certificate}", f"--tls-key={self.certificates.key}"]
        return [
            *(sys.executable, "-c", "from broker.cli import main; main()", "serve"),
            *(f"--password-file={self.directory / 'accounts'}", f"--host={HOST}", f"--port={self.port}"),
            *("--admin-port=0", "--drain-time=0s"),
            *(pair if self._tls else []),
        ]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


class RedisServer(Server):
    """Redis; ``open_to_all`` lets in whoever gives no password."""

    def __init__(self, directory: Path, certificates: Certificates, *, open_to_all: bool = False) -> None:
        need("redis-server")
        super().__init__(directory, certificates)
        self._default = "user default on nopass ~* &* +@all" if open_to_all else "user default off"

    def command(self) -> list[str]:
        configuration = self.directory / "redis.conf"
        configuration.write_text(
            f"""
bind {HOST}
port {self.port}
tls-port {self.tls_port}
tls-cert-file {self.certificates.certificate}
tls-key-file {self.certificates.key}
tls-ca-cert-file {self.certificates.authority}
tls-auth-clients no
dir {self.directory}
save ""
{self._default}
user app on >{PASSWORD} ~* &* +@all
user reader on >{PASSWORD} ~* &* +@all -publish
"""
        )
        return ["redis-server", str(configuration)]


class MosquittoServer(Server):
    """Mosquitto with a password file, an access list and persistence."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        need("mosquitto", "mosquitto_passwd")
        super().__init__(directory, certificates)
        passwords = directory / "passwords"
        for user in ("app", "reader"):
            create = [] if passwords.exists() else ["-c"]
            subprocess.run(
                ["mosquitto_passwd", "-b", *create, str(passwords), user, PASSWORD], check=True, capture_output=True
            )
        passwords.chmod(0o600)
        rights = directory / "rights"
        rights.write_text("user app\ntopic readwrite #\nuser reader\ntopic read #\n")
        rights.chmod(0o600)

    def command(self) -> list[str]:
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text(
            f"""
user {_user()}
allow_anonymous false
password_file {self.directory / "passwords"}
acl_file {self.directory / "rights"}
persistence true
persistence_location {self.directory}/
listener {self.port} {HOST}
listener {self.tls_port} {HOST}
cafile {self.certificates.authority}
certfile {self.certificates.certificate}
keyfile {self.certificates.key}
"""
        )
        return ["mosquitto", "-c", str(configuration)]


class RabbitServer(Server):
    """RabbitMQ with a port mapper (epmd), a cookie and a node name of its own."""

    PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        need(self.PROGRAM, "epmd")
        super().__init__(directory, certificates)
        self._mapper_port, self._node_port = free_ports(2)
        self._mapper: subprocess.Popen[bytes] | None = None
        self._write_definitions()

    def start(self) -> None:
        if self._mapper is None:
            self._mapper = subprocess.Popen(
                ["epmd", "-port", str(self._mapper_port), "-address", HOST], env=self.environment()
            )
        super().start()

    def close(self) -> None:
        """End the server and its port mapper."""
        self.kill()
        if self._mapper is not None:
            self._mapper.terminate()
            self._mapper.wait(20)

    def close_connections(self) -> None:
        """Have the server close every client's connection, and wait until it has."""
        program = self.PROGRAM.replace("rabbitmq-server", "rabbitmqctl")
        command = [program, "--node", self.environment()["RABBITMQ_NODENAME"], "close_all_connections", "test"]
        subprocess.run(command, env=self.environment(), check=True, capture_output=True, timeout=60)

    def command(self) -> list[str]:
        (self.directory / "rabbitmq.conf").write_text(
            f"""
listeners.tcp.1 = {HOST}:{self.port}
listeners.ssl.1 = {HOST}:{self.tls_port}
ssl_options.cacertfile = {self.certificates.authority}
ssl_options.certfile = {self.certificates.certificate}
ssl_options.keyfile = {self.certificates.key}
load_definitions = {self.directory / "definitions.json"}
log.console = true
log.console.level = warning
log.file = false
"""
        )
        return [self.PROGRAM]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": HOST,
            "RABBITMQ_NODENAME": f"otp{self._node_port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_PID_FILE": str(self.directory / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }

    def _write_definitions(self) -> None:
        users = {"app": (".*", ".*", ".*"), "writer": ("", ".*", ""), "stranger": None}
        definitions = {
            "vhosts": [{"name": "/"}],
            "users": [
                {
                    "name": user,
                    "password_hash": _rabbit_hash(PASSWORD),
                    "hashing_algorithm": "rabbit_password_hashing_sha256",
                    "tags": "",
                }
                for user in users
            ],
            "permissions": [
                {"user": user, "vhost": "/", "configure": rights[0], "write": rights[1], "read": rights[2]}
                for user, rights in users.items()
                if rights is not None
            ],
            "queues": [],
        }
        (self.directory / "definitions.json").write_text(json.dumps(definitions))
        (self.directory / "plugins").write_text("[].\n")


def _rabbit_hash(password: str) -> str:
    salt = b"salt"
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _user() -> str:
    return "root" if os.getuid() == 0 else str(os.environ.get("USER", "nobody"))
