"""One-time codes: the store, its backends and its key.

policy    the numbers, frozen
digests   what is derived from the key: pure
keys      the key file
base      what a backend promises
memory sqlite redis   the backends
otps      the store itself
opening   put together what belongs together
"""

from otp.store.digests import SecretKey
from otp.store.keys import load_key
from otp.store.opening import memory_store, redis_store, sqlite_store
from otp.store.otps import Issued, OtpStore
from otp.store.policy import OtpPolicy

__all__ = [
    "Issued",
    "OtpPolicy",
    "OtpStore",
    "SecretKey",
    "load_key",
    "memory_store",
    "redis_store",
    "sqlite_store",
]
