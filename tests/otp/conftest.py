"""A clock to turn, a real Redis, and one way to open each kind of store."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from examples.ports import free_port
from otp.store import OtpPolicy, OtpStore, SecretKey, redis_store, sqlite_store
from otp.store.memory import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKENDS = ("memory", "sqlite", "redis")


@dataclass
class Clock:
    """A clock that stands until it is turned."""

    now: float = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class RedisServer:
    """A real Redis on a private port, without files, that can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *extra: str) -> None:
        command = [
            *("redis-server", "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(self.folder), *extra),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self.answers():
            assert self.process.poll() is None, "redis-server ended at its start"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def need_redis() -> None:
    """Skip where Redis or its library is missing; fail there in CI."""
    missing = []
    if shutil.which("redis-server") is None:
        missing.append("redis-server (apt-get install redis-server)")
    try:
        import redis  # noqa: F401 - only whether it is there
    except ImportError:
        missing.append("the library redis (pip install redis)")
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI needs {' and '.join(missing)}")
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run; tests keep apart by prefix."""
    need_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis"), free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for one test, which may kill it."""
    need_redis()
    server = RedisServer(tmp_path, free_port())
    server.start()
    yield server
    server.stop()


@dataclass
class Opener:
    """Opens stores over one and the same storage, as several threads or processes would."""

    backend: str
    folder: Path
    clock: Clock
    redis: RedisServer | None = None
    prefix: str = field(default_factory=lambda: f"{{test-{secrets.token_hex(4)}}}:")
    memory: MemoryBackend = field(default_factory=MemoryBackend)
    key: SecretKey = field(default_factory=lambda: SecretKey(secrets.token_bytes(32)))
    opened: ExitStack = field(default_factory=ExitStack)

    def __call__(self, policy: OtpPolicy | None = None, **options: Any) -> OtpStore:
        options = {"policy": policy, "clock": self.clock, **options}
        return self.opened.enter_context(self._open(options))

    def _open(self, options: dict[str, Any]) -> OtpStore:
        key_file = self.folder / "otp.key"
        if self.backend == "memory":
            return OtpStore(self.memory, self.key, **options)
        if self.redis is not None:
            return redis_store(self.redis.url, key_file, prefix=self.prefix, **options)
        return sqlite_store(self.folder / "cache", key_file, **options)


@pytest.fixture(params=BACKENDS)
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    """Opens stores of each kind; every test runs over all of them."""
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    opener = Opener(request.param, tmp_path, clock, server)
    with opener.opened:
        yield opener


@pytest.fixture
def store(open_store: Opener) -> OtpStore:
    return open_store()


@pytest.fixture
def sqlite_opener(tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    opener = Opener("sqlite", tmp_path, clock)
    with opener.opened:
        yield opener
