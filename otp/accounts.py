"""Decide who may use the server: HTTP Basic (RFC 7617) against a password file, off the event loop.

A bcrypt hash takes 70 to 200 ms to check. It is checked in a thread, two at a time, and a success is remembered for
five minutes as a keyed digest, so that a client with a request a second costs one check and not three hundred. The
file is looked at once a second and read again when it changed; one that cannot be used changes nothing. Whoever
guesses is throttled; credentials that are remembered never are.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path

from htpasswd import hashes
from htpasswd.file import PasswordFileError, load
from otp.throttle import Throttle, network

REMEMBER = 300.0
"""Seconds a success is remembered after its last use."""

MAX_REMEMBERED = 10_000
"""Successes remembered at once; past that the longest unused is forgotten, which only costs a check."""

MAX_WAITING = 64
"""Checks that may wait; more are answered 503, so that guessing cannot pile up work."""

WRONG_PER_USER = 20
"""Wrong passwords a minute for one user from one address; more are answered 429 unchecked."""

WRONG_PER_ADDRESS = 10 * WRONG_PER_USER
"""Wrong passwords a minute from one address, whatever the users."""

_PARALLEL = 2
"""Checks at once: one core is left for everything else on the smallest machines."""

_LOOK_EVERY = 1.0
"""Seconds between two looks at the file."""


class BusyError(Exception):
    """Too many checks are waiting."""


class ThrottledError(Exception):
    """There were too many wrong passwords.

    Attributes:
        retry_after: Seconds until the next one is checked.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many wrong passwords; the next is checked in {retry_after:.0f} s")
        self.retry_after = retry_after


class Accounts:
    """The accounts of a password file.

    Args:
        path: The file.
        clock: Returns monotonic seconds.
        logger: Name of the logger that is told of a changed file.

    Raises:
        PasswordFileError: The file cannot be used; the text says why and what to do.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic, logger: str = "otp") -> None:
        self._path = path
        self._clock = clock
        self._log = logging.getLogger(logger)
        self._hashes: Mapping[str, str] = load(path)
        self._dummy = hashes.dummy_like(self._hashes.values())
        self._signature = self._look()
        self._looked = clock()
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._throttle = Throttle()
        self._checking = asyncio.Semaphore(_PARALLEL)
        self._checks: dict[bytes, asyncio.Task[bool]] = {}

    async def user(self, header: str | None, address: str = "") -> str | None:
        """Return the user an ``Authorization`` header proves to be; ``None`` when it proves nobody.

        Cancelling the caller leaves the check running for whoever shares it.

        Args:
            header: Its value.
            address: Where the request came from.

        Raises:
            BusyError: Too many checks are waiting.
            ThrottledError: Too many were wrong; what is remembered is let in all the same.
        """
        pair = credentials(header)
        if pair is None:
            return None
        self._follow_file()
        user, password = pair
        stored = self._hashes.get(user)
        digest = self._digest(user, password, stored or self._dummy)
        if self._remembered.get(digest, 0.0) > self._clock():
            self._remember(digest)
            return user
        right = await self._share(digest, password, stored or self._dummy, self._charged(user, address))
        # Asked again: the file may have been read anew while this was checked.
        if not right or stored is None or self._hashes.get(user) != stored:
            return None
        self._remember(digest)
        return user

    async def _share(self, digest: bytes, password: str, stored: str, charged: Mapping[Hashable, int]) -> bool:
        """Check a password; whoever asks the same meanwhile shares the verdict: a herd of clients costs one check."""
        check = self._checks.get(digest)
        if check is not None:
            return await asyncio.shield(check)
        if len(self._checks) >= MAX_WAITING:
            raise BusyError
        if wait := self._throttle.charge(charged, self._clock()):
            raise ThrottledError(wait)
        check = self._checks[digest] = asyncio.create_task(self._check(password, stored))
        check.add_done_callback(lambda _: self._checks.pop(digest))
        right = await asyncio.shield(check)
        if right:
            self._throttle.give_back(charged, self._clock())
        return right

    async def _check(self, password: str, stored: str) -> bool:
        async with self._checking:
            return await asyncio.to_thread(hashes.verify, password, stored)

    def _charged(self, user: str, address: str) -> dict[Hashable, int]:
        place = network(address)
        return {(place, user): WRONG_PER_USER, place: WRONG_PER_ADDRESS}

    def _remember(self, digest: bytes) -> None:
        self._remembered.pop(digest, None)  # the order is that of their last use
        if len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = self._clock() + REMEMBER

    def _digest(self, user: str, password: str, stored: str) -> bytes:
        """Return what a success is remembered by; it changes with the hash, so a new password counts at once."""
        mac = hashlib.blake2b(key=self._key)
        for part in (user, password, stored):
            data = part.encode()
            mac.update(len(data).to_bytes(8) + data)
        return mac.digest()

    def _follow_file(self) -> None:
        """Take over a changed file."""
        now = self._clock()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        signature = self._look()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._hashes = load(self._path)
        except PasswordFileError as error:
            self._log.warning("%s; the accounts stay as they were", error)
            return
        self._dummy = hashes.dummy_like(self._hashes.values())
        self._log.info("read %d accounts", len(self._hashes))

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def credentials(header: str | None) -> tuple[str, str] | None:
    """Read user and password from a Basic header; everything after the first colon is the password."""
    scheme, _, encoded = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None
