"""Join the parts of long messages as the receiver's telephone does, and keep every part."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One SMS that reached the network.

    Attributes:
        modem: Which emulated modem sent it.
        receiver: As dialled.
        text: Of this part alone.
        reference: Of the concatenation; ``None`` for a message of one part.
        total: Parts of the whole message.
        index: Which one this is, from 1.
        number: The network's message reference, as ``+CMGS`` tells it.
        at: Unix seconds.
        validity: Seconds the network would keep trying; ``None`` where nothing was asked for.
        report: A delivery report was asked for.
        flash: Shown at once and not kept.
        alphabet: ``gsm7``, ``ucs2`` or ``8bit``.
        duplicate: The same part of a long message was seen before.
    """

    modem: str
    receiver: str
    text: str
    reference: int | None
    total: int
    index: int
    number: int
    at: float
    validity: float | None
    report: bool
    flash: bool
    alphabet: str
    duplicate: bool = False

    def to_json(self) -> str:
        """Return it as a JSON object on one line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A whole message as a telephone shows it.

    Attributes:
        parts: How many SMS it took.
        at: When the last of them came, in Unix seconds.
        validity: Of the first part, in seconds.
        numbers: Their message references.
        duplicate: A long message with the same reference and text arrived before.
    """

    modem: str
    receiver: str
    text: str
    parts: int
    at: float
    validity: float | None
    numbers: tuple[int, ...]
    duplicate: bool = False

    def to_json(self) -> str:
        """Return it as a JSON object on one line."""
        return json.dumps(asdict(self))


_Key = tuple[str, int | None, int]


class Joiner:
    """Put parts together by receiver, reference and total.

    Attributes:
        open: Long messages of which parts are missing: receiver, reference and total -> index -> part.
    """

    def __init__(self) -> None:
        self.open: dict[_Key, dict[int, Part]] = {}
        self._seen: set[tuple[_Key, int, str]] = set()
        self._complete: set[tuple[_Key, str]] = set()

    def seen(self, receiver: str, reference: int | None, total: int, index: int, text: str) -> bool:
        """Tell whether this very part of a long message came before, and remember it."""
        if reference is None:
            return False
        part = ((receiver, reference, total), index, text)
        known = part in self._seen
        self._seen.add(part)
        return known

    def add(self, part: Part) -> Arrived | None:
        """Take a part; return the whole message if it was the last one that was missing."""
        if part.reference is None:
            return _whole([part], duplicate=False)
        key = (part.receiver, part.reference, part.total)
        held = self.open.setdefault(key, {})
        before = held.get(part.index)
        if before is not None and before.text == part.text:
            return None
        if before is not None:
            held.clear()  # the reference was used again for another message; the old one never got complete
        held[part.index] = part
        if len(held) < part.total:
            return None
        del self.open[key]
        return self._finish(key, [held[index] for index in sorted(held)])

    def _finish(self, key: _Key, parts: list[Part]) -> Arrived:
        text = "".join(part.text for part in parts)
        duplicate = (key, text) in self._complete
        self._complete.add((key, text))
        return _whole(parts, duplicate=duplicate)


def _whole(parts: list[Part], *, duplicate: bool) -> Arrived:
    first = parts[0]
    return Arrived(
        modem=first.modem,
        receiver=first.receiver,
        text=_fused("".join(part.text for part in parts)),
        parts=len(parts),
        at=max(part.at for part in parts),
        validity=first.validity,
        numbers=tuple(part.number for part in parts),
        duplicate=duplicate,
    )


def _fused(text: str) -> str:
    """Join surrogates that met: a telephone joins octets, not characters."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
