"""Unlock a SIM card, with care: three wrong PINs lock it."""

import re
from typing import Final

from pydantic import SecretStr

from otp.pi.modems import health
from otp.pi.modems.dialogue import CommandError, Dialogue
from otp.pi.modems.status import ModemState

FEWEST: Final = 2
"""Tries that must be left before one of them is used: the last is for a human with a telephone."""
_PIN: Final = re.compile(r"[0-9]{4,8}")


class Pin:
    """The PIN of one card: entered once, and never again after it was refused, until the service is started anew."""

    def __init__(self, pin: SecretStr) -> None:
        self._pin = pin
        self._entered = False
        self._trouble = (ModemState.PIN_NEEDED, "the SIM card wants its PIN: set pin, or take the PIN off the card")

    def accepted(self) -> None:
        """Take note that the card is open: it may be asked for again after the modem was replugged."""
        self._entered = False

    def trouble(self, sim: health.Sim) -> tuple[ModemState, str]:
        """Say what is wrong with a card that is not ready, and what to do."""
        match sim:
            case health.Sim.PIN:
                return self._trouble
            case health.Sim.PUK:
                return ModemState.PIN_NEEDED, "the SIM card is locked and wants its PUK: unlock it in a telephone"
            case health.Sim.MISSING:
                return ModemState.SIM_MISSING, "no SIM card, or one that cannot be read: put it in, then replug"
            case _:
                return ModemState.OPENING, "the SIM card is not ready yet"

    async def enter(self, dialogue: Dialogue) -> None:
        """Enter the PIN, if it is known, was not tried yet and is not the last try."""
        pin = self._pin.get_secret_value()
        if not pin or self._entered:
            return
        if not _PIN.fullmatch(pin):
            self._trouble = ModemState.PIN_WRONG, "pin is not a PIN: it has 4 to 8 digits; it was not tried"
            return
        left = await health.tries_left(dialogue)
        if left is not None and left < FEWEST:
            self._trouble = (
                ModemState.PIN_WRONG,
                f"{left} tries are left, and the last is not risked: enter the PIN in a telephone",
            )
            return
        self._entered = True
        self._trouble = ModemState.PIN_WRONG, "pin was refused and is not tried again: correct it and start anew"
        try:
            await dialogue.ask(f'AT+CPIN="{pin}"')
        except CommandError as error:
            self._entered = error.result.code != health.SIM_BUSY
        else:
            self._trouble = ModemState.OPENING, "the SIM card has taken its PIN and is not ready yet"
