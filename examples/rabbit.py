"""Run RabbitMQ with a port mapper (epmd), a cookie and a node name of its own."""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from examples.ports import free_ports
from examples.servers import HOST, Server, TlsFiles

PROGRAM: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""The one on the search path insists on the account rabbitmq."""

Rights = tuple[str, str, str]
"""Patterns of what an account may configure, write and read."""


class RabbitServer(Server):
    """RabbitMQ; ``users`` has each account's rights, ``None`` for none at all."""

    programs = (PROGRAM, "epmd")
    package = "rabbitmq-server"
    users: Mapping[str, Rights | None] = {"app": (".*", ".*", ".*")}

    def __init__(self, directory: Path, password: str, tls: TlsFiles | None = None) -> None:
        super().__init__(directory, password, tls)
        self._mapper_port, self._node_port = free_ports(2)
        self._mapper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the port mapper, then the server; see ``Server``."""
        if self._mapper is None:
            self._mapper = subprocess.Popen(  # noqa: S603 - as installed
                ["epmd", "-port", str(self._mapper_port), "-address", HOST],  # noqa: S607
                env=self.environment(),
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
        program = PROGRAM.replace("rabbitmq-server", "rabbitmqctl")
        command = [program, "--node", self.environment()["RABBITMQ_NODENAME"], "close_all_connections", "test"]
        subprocess.run(command, env=self.environment(), check=True, capture_output=True, timeout=60)  # noqa: S603

    def command(self) -> list[str]:
        """Write the configuration and return the command line."""
        (self.directory / "definitions.json").write_text(json.dumps(self._definitions()))
        (self.directory / "plugins").write_text("[].\n")
        lines = [
            f"listeners.tcp.1 = {HOST}:{self.port}",
            *self._tls_lines(),
            f"load_definitions = {self.directory / 'definitions.json'}",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
        ]
        (self.directory / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        return [PROGRAM]

    def _tls_lines(self) -> list[str]:
        if self.tls is None:
            return []
        return [
            f"listeners.ssl.1 = {HOST}:{self.tls_port}",
            f"ssl_options.cacertfile = {self.tls.authority}",
            f"ssl_options.certfile = {self.tls.certificate}",
            f"ssl_options.keyfile = {self.tls.key}",
        ]

    def environment(self) -> dict[str, str]:
        """Return what keeps it apart from every other node on the machine."""
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

    def _definitions(self) -> dict[str, Any]:
        accounts = [
            {
                "name": user,
                "password_hash": _hash(self.password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
            for user in self.users
        ]
        permissions = [
            {"user": user, "vhost": "/", "configure": rights[0], "write": rights[1], "read": rights[2]}
            for user, rights in self.users.items()
            if rights is not None
        ]
        return {"vhosts": [{"name": "/"}], "users": accounts, "permissions": permissions, "queues": []}


def _hash(password: str) -> str:
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
