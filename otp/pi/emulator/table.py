"""Hold the table of commands: who answers which, and what they need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from otp.pi.emulator.device import Device
from otp.pi.emulator.refusals import RefusedError
from otp.pi.emulator.requests import TEST, Request

Handler = Callable[[Device, Request], list[str]]
"""Returns the lines of information; OK follows. Raises ``RefusedError``."""

Card = Literal["", "cme", "cms"]


@dataclass(frozen=True, slots=True)
class _Entry:
    handler: Handler
    card: Card


_TABLE: dict[tuple[str, str], _Entry] = {}
_NAMES: set[str] = set()


def command(name: str, *kinds: str, card: Card = "") -> Callable[[Handler], Handler]:
    """Put a handler into the table.

    Args:
        name: Such as ``+CMGS``.
        kinds: ``read``, ``set``, ``run``: what it answers.
        card: It needs a card that is ready, and is refused with ``+CME ERROR`` or ``+CMS ERROR`` without one.
    """

    def register(handler: Handler) -> Handler:
        _NAMES.add(name)
        for kind in kinds:
            _TABLE[name, kind] = _Entry(handler, card)
        return handler

    return register


def carry_out(device: Device, request: Request) -> list[str]:
    """Carry out a command and return its lines of information.

    Raises:
        RefusedError: It is unknown, not for this modem now, or its arguments are wrong.
    """
    if request.name in device.knobs.unsupported:
        raise RefusedError
    entry = _TABLE.get((request.name, request.kind))
    if entry is None:
        if request.kind == TEST and request.name in _NAMES:
            return []
        raise RefusedError
    if entry.card:
        device.sim.check(sms=entry.card == "cms")
    return entry.handler(device, request)
