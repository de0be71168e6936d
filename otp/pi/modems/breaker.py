"""Leave a modem alone that keeps failing, and try it again after a while.

| failures in a row | allowed                                        |
|-------------------|------------------------------------------------|
| 0, 1, 2           | yes                                            |
| 3                 | not for 60 s; then one message probes it       |
| the probe fails   | not for 120 s, then 240 s ... 15 min at most   |
| one success       | as new                                         |
"""

from otp.pi import settings


class Breaker:
    """Failures of one modem.

    Args:
        sms: How many failures, and how long a rest.

    Attributes:
        until: From when it may be tried again, in the seconds that ``now`` counts.
    """

    __slots__ = ("_failures", "_pause", "_sms", "until")

    def __init__(self, sms: settings.Sms) -> None:
        self._sms = sms
        self._failures = 0
        self._pause = sms.breaker_pause
        self.until = 0.0

    def allows(self, now: float) -> bool:
        """Tell whether the modem may be given a message."""
        return now >= self.until

    def success(self) -> None:
        """Forget all failures."""
        self._failures = 0
        self._pause = self._sms.breaker_pause
        self.until = 0.0

    def failure(self, now: float) -> None:
        """Count a failure of the modem; from the limit on each one is followed by a rest, longer every time."""
        self._failures += 1
        if self._failures >= self._sms.breaker_failures:
            self.until = now + self._pause
            self._pause = min(2 * self._pause, self._sms.breaker_longest)
