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
            for prefix in modem.prefixes:
                self._by_prefix.setdefault(_international(prefix, numbers), set()).add(modem.name)
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


def _international(prefix: str, numbers: Numbers) -> str:
    """Return a prefix as it begins numbers: in the region ID, 0812 and 62812 are +62812; 123 is left to short codes."""
    bare = strip(prefix)
    code = numbers.calling_code()
    if bare.startswith("00"):
        return "+" + bare[2:]
    if code and bare.startswith("0"):
        return f"+{code}{bare[1:]}"
    return f"+{bare}" if code and bare.startswith(code) else bare
