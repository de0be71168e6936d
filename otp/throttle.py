"""Slow down whoever guesses: so many failures a minute for each key, pure; the caller passes ``now``.

A failure is charged before it is known to be one and given back when it was none, so that a burst of guesses in
parallel is counted before it is checked. What is forgotten under a flood of keys is forgotten in favour of strangers:
memory stays bounded and nobody can be locked out by it.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable, Mapping

MAX_KEYS = 65_536
"""Keys that are remembered at once, about 200 bytes each; the longest unused is forgotten first."""


class Throttle:
    """Failures left for each key; a key that was never seen has all of them."""

    def __init__(self) -> None:
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def charge(self, keys: Mapping[Hashable, int], now: float) -> float:
        """Charge a failure to every key, or to none when one has none left.

        Args:
            keys: Key to the failures it may have in a minute, and at once.
            now: Seconds of a clock that never goes back.

        Returns:
            0 when charged; else the seconds until it would be.
        """
        left = {key: self._of(key, allowed, now) for key, allowed in keys.items()}
        wait = max((1 - left[key]) * 60 / allowed for key, allowed in keys.items())
        if wait > 0:
            return wait
        for key in keys:
            self._put(key, left[key] - 1, now)
        return 0.0

    def give_back(self, keys: Mapping[Hashable, int], now: float) -> None:
        """Undo a charge that turned out to be no failure."""
        for key, allowed in keys.items():
            self._put(key, min(allowed, self._of(key, allowed, now) + 1), now)

    def _of(self, key: Hashable, allowed: int, now: float) -> float:
        left, at = self._left.get(key, (float(allowed), now))
        return min(float(allowed), left + (now - at) * allowed / 60)

    def _put(self, key: Hashable, left: float, now: float) -> None:
        self._left[key] = left, now
        self._left.move_to_end(key)
        if len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)


def network(address: str) -> str:
    """Return what an address counts as: IPv4 whole, IPv6 by its /64, since one host owns all of it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
