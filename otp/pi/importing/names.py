"""Make names that our settings accept from names that people gave."""

import re
import unicodedata
from typing import Final

_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST: Final = 36
"""Characters, so that a number still fits into the 40 that a name may have."""


class Names:
    """The names given so far; no two are the same."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def make(self, wanted: str, fallback: str) -> str:
        """Return a name that resembles what was wanted."""
        plain = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode()
        base = _OTHER.sub("-", plain).strip("-")[:_LONGEST] or fallback
        name, count = base, 1
        while name in self._given:
            count += 1
            name = f"{base}-{count}"
        self._given.add(name)
        return name
