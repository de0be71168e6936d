"""Say which modems a receiver may be reached through.

| receiver      | modems with prefixes       | of those that work, eligible are                                  |
|---------------|----------------------------|-------------------------------------------------------------------|
| +62812345     | a: +62812, b: +62          | a; b only when a does not work: a shorter prefix is a second best |
| +62899345     | a: +62812, b: +62          | b                                                                 |
| +1555         | a: +62812, c: default      | c: the default modems                                             |
| +1555         | a: +62812, d: nothing      | d: with no default, those without prefixes                        |
| +1555         | a: +62812                  | a: with neither, all                                              |

Who of several is taken is decided by who was used least recently.
"""

from collections.abc import Iterable
from typing import Final

from otp.numbers import Numbers, strip
from otp.pi import settings

_ALL: Final = ""


class Router:
    """The prefixes of all modems.

    Args:
        modems: Those that messages may be sent through.
        numbers: How prefixes in national form are read.

    Attributes:
        lanes: What ``lane`` may return: every prefix, the longest first, and "" for all other receivers.
    """

    def __init__(self, modems: Iterable[settings.Modem], numbers: Numbers) -> None:
        modems = tuple(modems)
        self._by_prefix: dict[str, set[str]] = {}
        for modem in modems:
            for begin in {begin for prefix in modem.prefixes for begin in _begins(prefix, numbers)}:
                self._by_prefix.setdefault(begin, set()).add(modem.name)
        everybody = {modem.name for modem in modems}
        unbound = {modem.name for modem in modems if not modem.prefixes}
        self._rest = {modem.name for modem in modems if modem.default} or unbound or everybody
        self.lanes = [*sorted(self._by_prefix, key=len, reverse=True), _ALL]

    def lane(self, receiver: str) -> str:
        """Return a token that is the same for receivers that the same modems are eligible for."""
        return next(prefix for prefix in self.lanes if receiver.startswith(prefix))

    def eligible(self, receiver: str, working: set[str] | frozenset[str]) -> set[str]:
        """Return those of the working modems that a receiver may be reached through.

        Args:
            receiver: In the one spelling that numbers are known by.
            working: Names of the modems that work.
        """
        for prefix in self.lanes:
            if prefix != _ALL and receiver.startswith(prefix):
                found = self._by_prefix[prefix] & working
                if found:
                    return found
        return self._rest & working


def _begins(prefix: str, numbers: Numbers) -> set[str]:
    """Return how numbers of a prefix begin: 0812, 62812 and 812 in the region ID are all +62812.

    One without plus stands for itself as well: it may be meant for short codes.
    """
    bare = strip(prefix)
    if bare.startswith("+"):
        return {bare}
    if bare.startswith("00"):
        return {"+" + bare[2:]}
    code, trunk = numbers.calling_code(), numbers.trunk_prefix()
    if not code:
        return {bare}
    if trunk and bare.startswith(trunk):
        return {f"+{code}{bare.removeprefix(trunk)}", bare}
    return {f"+{bare}" if bare.startswith(code) else f"+{code}{bare}", bare}
