"""Plug in modems that exist in software only: ``port = "emulate"`` in the settings."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from otp.pi import settings

PORT: Final = "emulate"
"""What stands for a port in the settings."""

Arriving = Callable[[str, str, str], None]
"""Told of an SMS that the emulated network delivers: modem, receiver, text."""

_FIRST_IMEI: Final = 860_000_000_000_010
_FIRST_IMSI: Final = 510_100_000_000_010


class Emulated:
    """The emulated modems.

    Args:
        arriving: See ``Arriving``.
    """

    def __init__(self, arriving: Arriving | None) -> None:
        self._arriving = arriving
        self._count = 0

    async def plug_in(self, stack: AsyncExitStack, table: settings.Modem) -> settings.Modem:
        """Return a modem's table with a real port; an emulated one is switched on for as long as the stack lasts."""
        if table.port != PORT or not table.active:
            return table
        from otp.pi.emulator import Arrived, Emulator, Knobs, Ussd  # noqa: PLC0415 - whoever has modems needs none

        def arrived(message: Arrived) -> None:
            if self._arriving is not None:
                self._arriving(table.name, message.receiver, message.text)

        self._count += 1
        emulator = Emulator(
            name=table.name,
            imei=str(_FIRST_IMEI + self._count),
            imsi=str(_FIRST_IMSI + self._count),
            knobs=Knobs(pin=table.pin.get_secret_value(), ussd={"*123#": Ussd("Your balance is 10,000.")}),
            on_message=arrived,
        )
        await stack.enter_async_context(emulator)
        return table.model_copy(update={"port": emulator.port, "imei": "", "imsi": ""})
