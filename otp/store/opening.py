"""Put a store together: backend, key, policy, numbers, clock."""

import os
from collections.abc import Callable
from typing import TypedDict, Unpack

from otp.numbers import Numbers
from otp.store.digests import SecretKey
from otp.store.keys import load_key
from otp.store.memory import MemoryBackend
from otp.store.otps import OtpStore
from otp.store.policy import OtpPolicy
from otp.store.redis import RedisBackend
from otp.store.sqlite import SqliteBackend


class StoreOptions(TypedDict, total=False):
    """What every store takes; see ``OtpStore``."""

    policy: OtpPolicy | None
    numbers: Numbers | None
    clock: Callable[[], float]


def memory_store(key: SecretKey | None = None, **options: Unpack[StoreOptions]) -> OtpStore:
    """Open a store in memory: for tests, and for one process that may forget open codes when it ends.

    Args:
        key: ``None`` for a fresh random one.
        options: ``policy``, ``numbers``, ``clock``.
    """
    return OtpStore(MemoryBackend(), key or SecretKey(os.urandom(32)), **options)


def sqlite_store(
    cache_dir: str | os.PathLike[str], key_file: str | os.PathLike[str], **options: Unpack[StoreOptions]
) -> OtpStore:
    """Open the store in ``cache_dir``, for any number of threads and processes of one machine.

    Args:
        cache_dir: Made with mode 0700 if it does not exist. On a local disk: SQLite's WAL does not work over NFS.
        key_file: Made with mode 0600 if it does not exist; must lie outside ``cache_dir``.
        options: ``policy``, ``numbers``, ``clock``.

    Raises:
        KeyFileError: The key cannot be used.
        StoreError: The directory or the database cannot be used.
    """
    key = load_key(key_file, outside=cache_dir)
    return OtpStore(SqliteBackend.in_directory(cache_dir, key.fingerprint), key, **options)


def redis_store(
    url: str, key_file: str | os.PathLike[str], *, prefix: str = "{otp}:", **options: Unpack[StoreOptions]
) -> OtpStore:
    """Open a store in Redis, for application servers on several machines; each has a copy of the key file.

    Args:
        url: ``redis://user:password@host:6379/0``, ``rediss://`` for TLS, ``unix://`` for a socket.
        key_file: Made with mode 0600 if it does not exist.
        prefix: What every key in Redis begins with. The braces keep all keys in one slot of a cluster.
        options: ``policy``, ``numbers``, ``clock``.

    Raises:
        KeyFileError: The key cannot be used.
        MissingExtra: The library ``redis`` is not installed.
        StoreError: Redis cannot be reached, or was filled under another key.
    """
    key = load_key(key_file)
    return OtpStore(RedisBackend.from_url(url, key.fingerprint, prefix=prefix), key, **options)
