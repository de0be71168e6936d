"""Mosquitto over WebSocket: MQTT 5 in binary frames, for which plain WebSocket clients need a library."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.peers.base import Peer, debian_package, missing_program
from bench.shapes import Shape
from bench.wire import BINARY, Dialect
from examples.ports import free_port

_ITERATIONS = 101  # what mosquitto_passwd writes
_LARGEST = 4096
_SALT = b"twelve bytes"
# The plain listener is needed: Mosquitto 2.0.11 does not start with WebSocket listeners alone. Where there is no
# IPv6, its WebSocket library must be told not to try.
_CONFIG = """\
{user}
allow_anonymous false
password_file {folder}/passwords
set_tcp_nodelay true
max_queued_messages 0
listener {mqtt_port} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
socket_domain ipv4
{tls}
"""


def variable_length(size: int) -> bytes:
    """Encode a length as MQTT does (MQTT 5.0, section 1.5.5): seven bits per byte, the lowest first."""
    encoded = bytearray()
    while size >= 128:
        encoded.append(size & 127 | 128)
        size >>= 7
    return bytes([*encoded, size])


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def _packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + variable_length(len(body)) + body


class MqttDialect(Dialect):
    """MQTT 5.0 at quality of service 0, subscribed without the client's own messages ("No Local")."""

    subprotocol = "mqtt"
    opcode = BINARY
    ready = b"\x90\x04\x00\x01\x00\x00"
    """SUBACK for packet 1, no properties, granted (section 3.9)."""

    def __init__(self, user: str, password: str, topic: str = "bench") -> None:
        self._account = user, password
        self._topic = topic
        flags = 0b1100_0010  # user name, password, clean start (section 3.1.2)
        connect = _text("MQTT") + bytes([5, flags, 0, 0, 0]) + _text("") + _text(user) + _text(password)
        subscribe = b"\x00\x01\x00" + _text(topic) + bytes([0b0000_0100])  # No Local (section 3.8.3.1)
        self.hello = _packet(0x10, connect) + _packet(0x82, subscribe)

    def on(self, topic: str) -> "MqttDialect":
        return MqttDialect(*self._account, topic)

    def published(self, payload: bytes) -> bytes:
        return _packet(0x30, _text(self._topic) + b"\x00" + payload)

    def delivered(self, payload: bytes) -> bytes:
        return self.published(payload)


class Mosquitto(Peer):
    """Mosquitto with a WebSocket listener, where its build has one."""

    name = "mosquitto"
    most_clients = 2500  # 4 ms for each of the first thousand

    def __init__(self) -> None:
        self.dialect = MqttDialect(*self.accounts[0])

    def cannot(self, shape: Shape) -> str | None:
        """Besides crowds: messages larger than its WebSocket library's buffer."""
        if shape.size > _LARGEST:
            return f"messages of {shape.size:,} bytes take it seconds each"
        return super().cannot(shape)

    def unavailable(self) -> str | None:
        if reason := missing_program("mosquitto", "install the package mosquitto"):
            return reason
        program = Path(shutil.which("mosquitto") or "mosquitto")
        if b"websockets_headers_size" not in program.read_bytes():
            return "this build of mosquitto has no WebSocket listener"
        return None

    def version(self) -> str:
        said = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"version (\S+)", said)
        return f"mosquitto {found[1] if found else 'of an unknown version'}{debian_package('mosquitto')}"

    def command(self, port: int, workdir: Path) -> list[str]:
        (user, password) = self.accounts[0]
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), _SALT, _ITERATIONS)
        salt, stored = (base64.b64encode(part).decode() for part in (_SALT, digest))
        (workdir / "passwords").write_text(f"{user}:$7${_ITERATIONS}${salt}${stored}\n")
        tls = f"certfile {self.certificate.chain}\nkeyfile {self.certificate.key}" if self.certificate else ""
        account = "user root" if os.geteuid() == 0 else ""
        config = workdir / "mosquitto.conf"
        config.write_text(_CONFIG.format(folder=workdir, port=port, mqtt_port=free_port(), user=account, tls=tls))
        return [shutil.which("mosquitto") or "mosquitto", "-c", str(config)]

    def target(self, topic: str) -> str:
        del topic
        return "/mqtt"
