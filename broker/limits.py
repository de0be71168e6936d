"""Rates and caps, pure: the caller passes `now`, in seconds of any clock that never goes back."""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache


class TokenBucket:
    """Let `rate` units a second pass on average and `burst` at once.

    Args:
        rate: units per second, above 0.
        burst: units that may pass at once after a pause.
        now: seconds; the bucket begins full.
    """

    __slots__ = ("burst", "rate", "stamp", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.stamp = now

    def _fill(self, now: float) -> None:
        if now > self.stamp:
            self.tokens = min(self.burst, self.tokens + (now - self.stamp) * self.rate)
            self.stamp = now

    def take(self, amount: int, now: float) -> int:
        """Take up to `amount` units and return how many there were, whole units only."""
        self._fill(now)
        taken = amount if amount <= self.tokens else max(0, int(self.tokens))
        self.tokens -= taken
        return taken

    def spend(self, amount: float, now: float) -> bool:
        """Take `amount` at once if any is left, going into debt: for units that come in lumps, such as bytes."""
        self._fill(now)
        if self.tokens <= 0:
            return False
        self.tokens -= amount
        return True

    def give_back(self, amount: float) -> None:
        """Undo a `take` that turned out not to count."""
        self.tokens = min(self.burst, self.tokens + amount)

    def wait(self, now: float) -> float:
        """Seconds until one unit is there; 0 when it is."""
        self._fill(now)
        return max(0.0, (1.0 - self.tokens) / self.rate)


class Buckets:
    """One bucket per key, at most `capacity` of them: the longest unused is forgotten first.

    Forgetting hands a stranger a full bucket, never an empty one: a flood of keys cannot lock anybody out, and memory
    stays bounded (about 200 bytes a key).
    """

    __slots__ = ("buckets", "burst", "capacity", "rate")

    def __init__(self, rate: float, burst: float, capacity: int = 65_536) -> None:
        self.rate = rate
        self.burst = burst
        self.capacity = capacity
        self.buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def of(self, key: Hashable, now: float) -> TokenBucket:
        """Return the bucket of a key, made full when the key is new."""
        bucket = self.buckets.get(key)
        if bucket is None:
            if len(self.buckets) >= self.capacity:
                self.buckets.popitem(last=False)
            bucket = self.buckets[key] = TokenBucket(self.rate, self.burst, now)
        else:
            self.buckets.move_to_end(key)
        return bucket


class Tally:
    """How many of something each key holds now; a key that holds none takes no memory."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.total = 0

    def __getitem__(self, key: str) -> int:
        return self.counts.get(key, 0)

    def add(self, key: str) -> None:
        """Count one more for the key."""
        self.counts[key] = self.counts.get(key, 0) + 1
        self.total += 1

    def drop(self, key: str) -> None:
        """Count one less for the key."""
        left = self.counts[key] - 1
        if left:
            self.counts[key] = left
        else:
            del self.counts[key]
        self.total -= 1


@lru_cache(maxsize=4096)
def address_key(address: str) -> str:
    """Return what limits count an address as: IPv4 whole, IPv6 by its /64, since one host owns all of it.

    An IPv4 address that came in as IPv6 (`::ffff:192.0.2.1`) counts as IPv4. Anything else (a Unix socket) stays.
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
