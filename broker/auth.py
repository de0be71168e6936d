"""From Basic credentials to a user: remembered, shared, throttled, verified off the loop.

    remembered?  -> in              answered at once, whatever an attacker does meanwhile
    same credentials being verified -> share that verdict: 1,000 clients of one account cost one bcrypt
    throttled?   -> 429             wrong passwords per (address, user) and per address
    verify in a thread              one at a time per account, a few at a time in all

An unknown user is verified against a dummy that costs as much as the file's costliest line, so that time tells nothing.
"""

import asyncio
import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from broker.errors import INTERNAL_ERROR, RATE_LIMITED, UNAUTHORIZED, Refused
from broker.limits import Buckets, Tally, TokenBucket
from broker.logs import Log, describe
from broker.metrics import Counters
from broker.request import Credentials
from broker.settings import Settings
from htpasswd.hashes import dummy_like, verify

LOG: Final = Log()
REMEMBERED: Final = 10_000
"""Credentials that are remembered at once; about 150 bytes each."""
PER_ADDRESS: Final = 10
"""How many times `auth_failures` one address may use up, whatever the user names."""


def worker_count() -> int:
    """Return how many verifications may run at once: they are pure CPU, and the relay needs a core."""
    return max(1, min(4, (os.cpu_count() or 2) - 1))


class Authenticator:
    """Decide whether credentials are those of an account.

    Args:
        settings: `auth_failures`, `auth_cache` and `allow_plaintext`; replaced on reload.
        counters: where failures are counted.
        clock: seconds, monotonic.
    """

    def __init__(self, settings: Settings, counters: Counters, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.counters = counters
        self.clock = clock
        self.accounts: Mapping[str, str] = {}
        """User to stored hash."""
        self._dummy = dummy_like(())
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        """Digest of (user, password, stored hash) to the time at which it is forgotten."""
        self._flights: dict[bytes, asyncio.Task[bool]] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._queued = Tally()
        """How many wait for or hold the turn of a user; without any the turn is forgotten."""
        self._pool = ThreadPoolExecutor(worker_count(), thread_name_prefix="verify")
        self._failures: Buckets
        self._address_failures: Buckets
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take over new settings; the throttle starts afresh when its rate changed."""
        changed = not hasattr(self, "_failures") or settings.auth_failures != self.settings.auth_failures
        self.settings = settings
        if changed:
            allowed = float(settings.auth_failures)
            self._failures = Buckets(allowed / 60, allowed)
            self._address_failures = Buckets(PER_ADDRESS * allowed / 60, PER_ADDRESS * allowed)

    def replace(self, accounts: Mapping[str, str]) -> None:
        """Take over a newly read password file. What was remembered of changed lines no longer matches."""
        self.accounts = accounts
        self._dummy = dummy_like(accounts.values())

    def remembered(self, credentials: Credentials) -> bool:
        """Tell, without waiting, whether these credentials were verified within `auth_cache`."""
        stored = self.accounts.get(credentials.user)
        if stored is None:
            return False
        digest = self._digest(credentials, stored)
        until = self._remembered.get(digest)
        if until is None:
            return False
        if self.clock() < until:
            return True
        del self._remembered[digest]
        return False

    async def verify(self, credentials: Credentials, address: str) -> None:
        """Verify credentials that are not remembered.

        Cancelling the caller leaves the verification running for whoever shares it.

        Args:
            credentials: as the client sent them.
            address: what the throttle counts the client as.

        Raises:
            Refused: 401 when they are wrong, 429 when there were too many wrong ones, 500 when verifying failed.
        """
        stored = self.accounts.get(credentials.user, self._dummy)
        digest = self._digest(credentials, stored)
        flight = self._flights.get(digest)
        charged: tuple[TokenBucket, ...] = ()
        if flight is None:
            charged = self._charge(credentials.user, address)
            flight = asyncio.get_running_loop().create_task(self._decide(credentials, stored, digest))
            self._flights[digest] = flight
            flight.add_done_callback(lambda _: self._flights.pop(digest, None))
        right = await asyncio.shield(flight)
        # Asked again: the file may have been read anew in the turn of the loop between verdict and waking up.
        if right and self.accounts.get(credentials.user) == stored:
            for bucket in charged:
                bucket.give_back(1)
            return
        self.counters.auth_failures["wrong"] += 1
        raise Refused(UNAUTHORIZED, "user or password is wrong", reason="wrong")

    def close(self) -> None:
        """Stop the threads once they finish what they verify now."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _charge(self, user: str, address: str) -> tuple[TokenBucket, ...]:
        """Book a failure in advance, so that a burst of guesses in parallel is counted before it is checked."""
        if not self.settings.auth_failures:
            return ()
        now = self.clock()
        buckets = (self._failures.of((address, user), now), self._address_failures.of(address, now))
        wait = max(bucket.wait(now) for bucket in buckets)
        if wait:
            self.counters.auth_failures["throttled"] += 1
            raise Refused(RATE_LIMITED, "too many wrong passwords", retry_after=wait, reason="auth_throttled")
        for bucket in buckets:
            bucket.take(1, now)
        return buckets

    async def _decide(self, credentials: Credentials, stored: str, digest: bytes) -> bool:
        user = credentials.user
        turn = self._turns.setdefault(user, asyncio.Lock())
        self._queued.add(user)
        try:
            async with turn:
                right = await asyncio.get_running_loop().run_in_executor(self._pool, self._check, credentials, stored)
        finally:
            self._queued.drop(user)
            if not self._queued[user]:
                del self._turns[user]
        if isinstance(right, str):
            LOG.error("internal_error", phase="verification", user=user, error=right)
            raise Refused(INTERNAL_ERROR, "the broker failed on this password")
        if right:
            self._remember(digest)
        return right

    def _check(self, credentials: Credentials, stored: str) -> bool | str:
        try:
            return verify(credentials.password, stored, allow_plaintext=self.settings.allow_plaintext)
        except Exception as error:  # noqa: BLE001 - its text may quote the password, and futures show it to debuggers
            return describe(error)

    def _remember(self, digest: bytes) -> None:
        if not self.settings.auth_cache:
            return
        if len(self._remembered) >= REMEMBERED:
            self._remembered.popitem(last=False)
        self._remembered[digest] = self.clock() + self.settings.auth_cache

    def _digest(self, credentials: Credentials, stored: str) -> bytes:
        mac = hashlib.blake2b(key=self._key, digest_size=16)
        for part in (credentials.user, credentials.password, stored):
            raw = part.encode("utf-8", "surrogatepass")
            mac.update(len(raw).to_bytes(4, "big") + raw)
        return mac.digest()
