"""Open the store of codes that ``manage_otp`` asks for, and keep it and the sending of its codes in step.

A code that was not handed over must not exist: its reference has to be free for the next try. That holds for refusals,
for exceptions and for a caller that goes away in the middle.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from otp.codes import ResponseCode
from otp.errors import InvalidInput
from otp.limits import DAY, HOUR, Window
from otp.messages import Scalar
from otp.numbers import Numbers
from otp.publisher.errors import ConfigError
from otp.publisher.settings import General, StoreKind
from otp.results import Result
from otp.store import Issued, OtpPolicy, OtpStore, memory_store, redis_store, sqlite_store

_LONGEST_KEEP = 7 * DAY
"""Seconds: what the store allows for remembering expired codes."""

_SETTINGS = {
    "digits": "otp_digits",
    "lifetime": "otp_lifetime",
    "max_lifetime": "otp_max_lifetime",
    "tries": "otp_tries",
    "cooldowns": "resend_cooldowns",
    "windows: codes": "codes_per_hour or codes_per_day",
}
"""The settings that numbers of the policy are read from."""

Deliver = Callable[[Issued], Awaitable[Result]]
"""Sends a code and says what became of it."""


def numbers(general: General) -> Numbers:
    """Return the rules for receivers.

    Raises:
        ConfigError: There is no such policy or region.
    """
    try:
        return Numbers(policy=general.number_policy, region=general.region or None)  # type: ignore[arg-type]
    except InvalidInput as error:
        raise ConfigError(str(error)) from None


def open_store(general: General, rules: Numbers, clock: Callable[[], float]) -> OtpStore:
    """Open the store that the settings describe.

    Raises:
        ConfigError: A number is out of range, or a place is missing.
        StoreError: The directory, the key file or Redis cannot be used.
        MissingExtra: ``store = redis`` without the library.
    """
    try:
        policy = _policy(general)
    except InvalidInput as error:
        raise ConfigError(_in_settings(str(error))) from None
    if general.store is StoreKind.MEMORY:
        return memory_store(policy=policy, numbers=rules, clock=clock)
    if general.key_file is None or (general.store is StoreKind.SQLITE and general.cache_dir is None):
        raise ConfigError("cache_dir and key_file are not set: manage_otp needs a place for codes and their key.")
    if general.store is StoreKind.REDIS:
        if not general.store_url:
            raise ConfigError("store_url is not set: store = redis needs redis://host:6379/0 or the like.")
        return redis_store(general.store_url, general.key_file, policy=policy, numbers=rules, clock=clock)
    return sqlite_store(str(general.cache_dir), general.key_file, policy=policy, numbers=rules, clock=clock)


def _policy(general: General) -> OtpPolicy:
    return OtpPolicy(
        digits=general.otp_digits,
        lifetime=general.otp_lifetime,
        max_lifetime=general.otp_max_lifetime,
        tries=general.otp_tries,
        cooldowns=general.resend_cooldowns,
        windows=(Window(HOUR, general.codes_per_hour), Window(DAY, general.codes_per_day)),
        keep=min(general.cache_max_age, _LONGEST_KEEP),
    )


def _in_settings(error: str) -> str:
    """Return what is wrong with a policy's number under the name that the settings have for it."""
    name, _, rest = error.partition(" must ")
    return f"{_SETTINGS.get(name, name)} of [GENERAL] must {rest}"


class Codes:
    """The store, off the event loop, with every code that was not handed over taken back."""

    def __init__(self, store: OtpStore) -> None:
        self._store = store

    async def create(
        self,
        deliver: Deliver,
        *,
        receiver: str,
        reference: Scalar,
        params: Sequence[Scalar | None],
        lifetime: int | None,
    ) -> Result:
        """Make a code and have it delivered; raises what ``OtpStore.create`` and ``deliver`` raise."""

        def make() -> Issued:
            return self._store.create(receiver=receiver, reference=reference, params=params, lifetime=lifetime)

        return await self._issue(make, deliver)

    async def resend(self, deliver: Deliver, *, receiver: str, reference: Scalar) -> Result:
        """Have a code delivered once more; raises what ``OtpStore.resend`` and ``deliver`` raise."""
        return await self._issue(lambda: self._store.resend(receiver=receiver, reference=reference), deliver)

    async def verify(
        self, *, receiver: str, otp: Scalar, reference: Scalar, params: Sequence[Scalar | None]
    ) -> ResponseCode:
        """Say whether a code is right; see ``OtpStore.verify``."""

        def compare() -> ResponseCode:
            return self._store.verify(receiver=receiver, otp=otp, reference=reference, params=params)

        return await asyncio.to_thread(compare)

    async def cancel(self, *, receiver: str, reference: Scalar) -> bool:
        """Forget a code; see ``OtpStore.cancel``."""
        return await asyncio.to_thread(lambda: self._store.cancel(receiver=receiver, reference=reference))

    async def sweep(self) -> int:
        """Forget what is past its time, which shows that the store can be written."""
        return await asyncio.to_thread(self._store.sweep)

    async def close(self) -> None:
        """Close the store."""
        await asyncio.to_thread(self._store.close)

    async def _issue(self, make: Callable[[], Issued], deliver: Deliver) -> Result:
        making = asyncio.ensure_future(asyncio.to_thread(make))
        try:
            issued = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._take_back_later)
            raise
        try:
            result = await deliver(issued)
        except BaseException:
            await self._take_back(issued)
            raise
        if not result.ok:
            await self._take_back(issued)
        return result

    async def _take_back(self, issued: Issued) -> None:
        await asyncio.shield(asyncio.to_thread(self._store.undo, issued))

    def _take_back_later(self, making: "asyncio.Future[Issued]") -> None:
        """Take back a code whose caller went away while it was made."""
        if not making.cancelled() and making.exception() is None:
            making.get_loop().run_in_executor(None, self._store.undo, making.result())
