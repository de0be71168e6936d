"""Keep records in Redis: for application servers on several machines.

Each step is one Lua script, which Redis runs without interruption. Everything carries a time to live, so that
Redis forgets by itself. Nothing is ever repeated after a lost answer: a try must not be charged twice in
secret.

Redis has to be set to ``maxmemory-policy noeviction`` (its default) and to persist if codes are to survive
its restart.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from math import ceil
from typing import Any

from otp import limits
from otp.errors import MissingExtra, StoreError
from otp.limits import Window
from otp.store import redis_scripts
from otp.store.base import Gone, Record, Taken, Wait

CONNECT_TIMEOUT = 2.0
"""Seconds to wait for a connection."""

ANSWER_TIMEOUT = 5.0
"""Seconds to wait for an answer; scripts take well under a millisecond."""

IDLE_CHECK = 30
"""Seconds after which an idle connection is tried before it is used: firewalls forget connections."""


class RedisBackend:
    """Records in Redis, each under ``<prefix>code:<name>``; budgets under ``<prefix>budget:<owner>``.

    Attributes:
        _client: A ``redis.Redis``, which is safe for threads and forks.
        _prefix: What every key begins with.
        _error: The base class of its errors.
    """

    __slots__ = ("_client", "_error", "_prefix", "_scripts")

    def __init__(self, client: Any, fingerprint: str, *, prefix: str = "{otp}:") -> None:
        """Take a client and check that Redis answers and was filled under this key.

        Args:
            client: A ``redis.Redis`` that returns bytes and repeats nothing.
            fingerprint: The key's.
            prefix: What every key begins with.

        Raises:
            MissingExtra: The library ``redis`` is not installed.
            StoreError: Redis cannot be reached, or was filled under another key.
        """
        self._client = client
        self._prefix = prefix
        self._error = _library().exceptions.RedisError
        names = ("ADD", "CHARGE", "CONSUME", "RESEND", "UNDO_RESEND", "UNDO_ADD", "REMOVE")
        self._scripts = {name: client.register_script(getattr(redis_scripts, name)) for name in names}
        self._check_key(fingerprint)

    @classmethod
    def from_url(cls, url: str, fingerprint: str, *, prefix: str = "{otp}:") -> "RedisBackend":
        """Connect to Redis.

        Raises:
            MissingExtra: The library ``redis`` is not installed.
            StoreError: The URL is none, Redis cannot be reached, or was filled under another key.
        """
        library = _library()
        try:
            client = library.Redis.from_url(
                url,
                socket_connect_timeout=CONNECT_TIMEOUT,
                socket_timeout=ANSWER_TIMEOUT,
                health_check_interval=IDLE_CHECK,
                retry=import_module("redis.retry").Retry(import_module("redis.backoff").NoBackoff(), 0),
            )
        except ValueError:
            raise StoreError("The Redis URL must begin with redis://, rediss:// or unix://.") from None
        try:
            return cls(client, fingerprint, prefix=prefix)
        except BaseException:
            client.close()
            raise

    def add(self, record: Record, windows: Sequence[Window], now: float) -> Taken | Wait | None:
        """Insert a record and count it; see ``Backend.add``."""
        flat = [number for window in windows for number in (window.seconds, window.codes)]
        keep = max(1, ceil(record.keep_until - now))
        horizon = max(1, limits.horizon(windows))
        arguments = [_text(now), keep, horizon, len(windows), *flat, record.nonce, *_fields(record)]
        state, rest = self._run("ADD", record.name, record.owner, arguments)
        if state == b"taken":
            return Taken()
        return Wait(int(rest)) if state == b"wait" else None

    def charge(self, name: bytes, now: float) -> Record | Gone:
        """Take one try; see ``Backend.charge``."""
        state, rest = self._run("CHARGE", name, None, [_text(now)])
        return _record(name, rest) if state == b"open" else Gone(state.decode())

    def consume(self, name: bytes, nonce: bytes) -> bool:
        """Mark a record used, once; see ``Backend.consume``."""
        return self._run("CONSUME", name, None, [nonce])[0] == b"yes"

    def resend(self, name: bytes, owner: bytes, cooldowns: Sequence[int], now: float) -> Record | Gone | Wait:
        """Count one resend; see ``Backend.resend``."""
        state, rest = self._run("RESEND", name, None, [_text(now), owner, *cooldowns])
        if state == b"open":
            return _record(name, rest)
        if state == b"wait":
            return Wait(int(rest) if rest else None)
        return Gone(state.decode())

    def undo_resend(self, record: Record, now: float) -> None:
        """Take back a resend; see ``Backend.undo_resend``."""
        self._run("UNDO_RESEND", record.name, None, [int(now), record.nonce, record.resends])

    def undo_add(self, record: Record) -> None:
        """Remove a record as it was added; see ``Backend.undo_add``."""
        self._run("UNDO_ADD", record.name, record.owner, [record.nonce, record.tries])

    def remove(self, name: bytes, owner: bytes) -> bool:
        """Remove this owner's record; see ``Backend.remove``."""
        return self._run("REMOVE", name, None, [owner])[0] == b"yes"

    def sweep(self, now: float) -> int:  # Redis has its own clock
        """Remove nothing, since Redis forgets by itself; only see that it answers."""
        with self._clear_errors():
            self._client.ping()
        return 0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(self, script: str, name: bytes, owner: bytes | None, arguments: list[Any]) -> tuple[bytes, Any]:
        """Run a script and return its state and what comes with it."""
        keys = [f"{self._prefix}code:{name.hex()}"]
        if owner is not None:
            keys.append(f"{self._prefix}budget:{owner.hex()}")
        with self._clear_errors():
            answer = self._scripts[script](keys=keys, args=arguments)
        return answer[0], answer[1] if len(answer) > 1 else None

    def _check_key(self, fingerprint: str) -> None:
        with self._clear_errors():
            self._client.set(f"{self._prefix}key", fingerprint, nx=True)
            found = self._client.get(f"{self._prefix}key")
        if found != fingerprint.encode():
            raise StoreError(
                "Redis was filled under another key. Copy the key_file of the other servers to this one; or, "
                f"to begin anew with this key, delete {self._prefix}key: codes on their way become invalid."
            )

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise StoreError(f"Redis cannot be used ({type(error).__name__}: {error}).") from error


def _library() -> Any:
    try:
        return import_module("redis")
    except ImportError:
        raise MissingExtra("A store in Redis needs redis: pip install 'wsmessagebroker[publisher]'") from None


def _text(now: float) -> str:
    """Write a time so that Lua reads the same number."""
    return f"{now:.6f}"


def _fields(record: Record) -> list[bytes | str | int]:
    return [
        *("owner", record.owner, "nonce", record.nonce, "mac", record.mac),
        *("digits", record.digits, "tries", record.tries, "used", int(record.used)),
        *("expires_at", record.expires_at, "keep_until", record.keep_until),
        *("resends", record.resends, "resend_at", "" if record.resend_at is None else record.resend_at),
    ]


def _record(name: bytes, flat: list[bytes]) -> Record:
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    return Record(
        name=name,
        owner=found[b"owner"],
        nonce=found[b"nonce"],
        mac=found[b"mac"],
        digits=int(found[b"digits"]),
        tries=int(found[b"tries"]),
        expires_at=int(found[b"expires_at"]),
        keep_until=int(found[b"keep_until"]),
        resends=int(found[b"resends"]),
        resend_at=int(found[b"resend_at"]) if found[b"resend_at"] else None,
        used=found[b"used"] == b"1",
    )
