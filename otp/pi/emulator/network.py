"""Be the network behind emulated modems: take what they send, number it, and join it as telephones do."""

import asyncio
from collections.abc import Callable

from otp.pi.emulator.arrived import Arrived, Joiner, Part
from otp.pi.emulator.decode import Submitted

_NUMBERS = 256
"""Message references: one octet, then from 0 again."""


class Network:
    """What one modem sent.

    Attributes:
        arrived: Whole messages, in order.
        parts: Every single SMS, in order.
    """

    def __init__(
        self, name: str, on_part: Callable[[Part], None] | None, on_message: Callable[[Arrived], None] | None
    ) -> None:
        """Listen to the modem ``name``; the callbacks hear of every part, then of what it completed."""
        self.arrived: list[Arrived] = []
        self.parts: list[Part] = []
        self._name = name
        self._on_part = on_part
        self._on_message = on_message
        self._joiner = Joiner()
        self._news = asyncio.Event()

    def take(self, message: Submitted, at: float) -> Part:
        """Take a message at a time in Unix seconds, and give it its message reference."""
        place = message.concatenation
        reference, total, index = (place.reference, place.total, place.index) if place else (None, 1, 1)
        part = Part(
            modem=self._name,
            receiver=message.receiver,
            text=message.text,
            reference=reference,
            total=total,
            index=index,
            number=len(self.parts) % _NUMBERS,
            at=at,
            validity=message.validity,
            report=message.report,
            flash=message.flash,
            alphabet=message.alphabet,
            duplicate=self._joiner.seen(message.receiver, reference, total, index, message.text),
        )
        self._keep(part)
        return part

    def newest(self, number: int) -> Part:
        """Return the newest SMS with a message reference.

        Raises:
            LookupError: None was sent with it.
        """
        for part in reversed(self.parts):
            if part.number == number:
                return part
        raise LookupError(f"no SMS with message reference {number} was sent")

    async def wait_for(self, count: int) -> list[Arrived]:
        """Wait until so many whole messages have arrived since the start, and return them all."""
        while len(self.arrived) < count:
            self._news.clear()
            await self._news.wait()
        return self.arrived

    def _keep(self, part: Part) -> None:
        self.parts.append(part)
        if self._on_part is not None:
            self._on_part(part)
        whole = self._joiner.add(part)
        if whole is None:
            return
        self.arrived.append(whole)
        self._news.set()
        if self._on_message is not None:
            self._on_message(whole)
