"""Open the store of codes that ``manage_otp`` asks for."""

from collections.abc import Callable

from otp.errors import InvalidInput
from otp.limits import DAY, HOUR, Window
from otp.numbers import Numbers
from otp.publisher.errors import ConfigError
from otp.publisher.settings import General, StoreKind
from otp.store import OtpPolicy, OtpStore, memory_store, redis_store, sqlite_store

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
