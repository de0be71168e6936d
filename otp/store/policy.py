"""Hold the numbers of the OTP store, each with its reason, in one frozen object."""

from dataclasses import dataclass

from otp.errors import InvalidInput
from otp.fields import is_whole
from otp.limits import DAY, DEFAULT_WINDOWS, HOUR, Window

DIGITS_RANGE = (4, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtpPolicy:
    """How codes are made, how long they live and how often they may be tried, sent and made.

    Attributes:
        digits: Length of a code, 4 to 10. Six is what people expect, and what NIST SP 800-63B asks for at least.
        lifetime: Seconds a code lives when nobody says otherwise.
        max_lifetime: Seconds it lives at most; a longer request is shortened, and the answer says so. OWASP
            ASVS 5.0 (6.5.5) and NIST SP 800-63B set 600 for codes sent out of band.
        tries: Answers a code takes, right or wrong, before it is void.
        cooldowns: Seconds before the first, second, third ... resend; there are as many resends as entries.
        windows: How many codes one receiver may be sent, by time window.
        keep: Seconds an expired code is remembered, so that a late answer reads "expired" and not "wrong".
    """

    digits: int = 6
    lifetime: int = 300
    max_lifetime: int = 600
    tries: int = 5
    cooldowns: tuple[int, ...] = (30, 60, 120)
    windows: tuple[Window, ...] = DEFAULT_WINDOWS
    keep: int = HOUR

    def __post_init__(self) -> None:
        """Check every number.

        Raises:
            InvalidInput: A number is out of range; the text names it.
        """
        low, high = DIGITS_RANGE
        _check("digits", self.digits, low, high)
        _check("max_lifetime", self.max_lifetime, 1, DAY)
        _check("lifetime", self.lifetime, 1, self.max_lifetime)
        _check("tries", self.tries, 1, 100)
        _check("keep", self.keep, 0, 7 * DAY)
        for cooldown in self.cooldowns:
            _check("cooldowns", cooldown, 0, DAY)
        for window in self.windows:
            _check("windows: seconds", window.seconds, 1, 30 * DAY)
            _check("windows: codes", window.codes, 1, 100_000)


def _check(name: str, value: int, low: int, high: int) -> None:
    if not is_whole(value) or not low <= value <= high:
        raise InvalidInput(f"{name} must be a whole number from {low} to {high}.")
