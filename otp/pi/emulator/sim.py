"""Be a SIM card: its numbers, its PIN, and the messages it keeps."""

from dataclasses import dataclass

from otp.pi.emulator.knobs import Knobs
from otp.pi.emulator.refusals import CmeError, CmsError

_PUK_TRIES = 10

SIM_MISSING, PIN_REQUIRED, PUK_REQUIRED, WRONG_PASSWORD, NOT_ALLOWED = 10, 11, 12, 16, 3
_CMS_OF = {SIM_MISSING: 310, PIN_REQUIRED: 311, PUK_REQUIRED: 316}

UNREAD, READ = 0, 1


@dataclass(slots=True)
class Stored:
    """A message on the card: status as ``+CMGL`` tells it, octets without the centre, hexadecimal."""

    status: int
    length: int
    pdu: str


class SimCard:
    """A card; it keeps what it has when the modem is unplugged, but wants its PIN again.

    Attributes:
        imsi, iccid: Its numbers.
        smsc: Service centre; empty is none.
        messages: Slot, from 1 -> message.
        tries: PINs that may still be wrong; the PUK is asked for at 0.
        puk_tries: The same of the PUK; the card is dead at 0.
    """

    def __init__(self, knobs: Knobs, *, imsi: str, iccid: str) -> None:
        self._knobs = knobs
        self.imsi = imsi
        self.iccid = iccid
        self.smsc = "+6281100000"
        self.messages: dict[int, Stored] = {}
        self.tries = knobs.pin_tries
        self.puk_tries = _PUK_TRIES
        self._unlocked = False

    def lock(self) -> None:
        """Want the PIN again: the power was off."""
        self._unlocked = False

    @property
    def trouble(self) -> int:
        """CME code of what keeps the card from being used; 0 is nothing."""
        if not self._knobs.sim:
            return SIM_MISSING
        if self.tries <= 0:
            return PUK_REQUIRED
        return PIN_REQUIRED if self._knobs.pin and not self._unlocked else 0

    @property
    def state(self) -> str:
        """What ``+CPIN?`` answers of a card that is there."""
        return {PIN_REQUIRED: "SIM PIN", PUK_REQUIRED: "SIM PUK"}.get(self.trouble, "READY")

    def check(self, *, sms: bool) -> None:
        """Raise what a command that needs the card is refused with: SMS commands speak CMS."""
        if self.trouble:
            raise CmsError(_CMS_OF[self.trouble]) if sms else CmeError(self.trouble)

    def enter_pin(self, pin: str) -> None:
        """Try a PIN.

        Raises:
            CmeError: None is asked for, or it is wrong and one try is gone.
        """
        if self.trouble != PIN_REQUIRED:
            raise CmeError(self.trouble or NOT_ALLOWED)
        if pin != self._knobs.pin:
            self.tries -= 1
            raise CmeError(WRONG_PASSWORD if self.tries > 0 else PUK_REQUIRED)
        self.tries = self._knobs.pin_tries
        self._unlocked = True

    def enter_puk(self, puk: str, pin: str) -> None:
        """Try the PUK that is asked for, which sets a new PIN.

        Raises:
            CmeError: It is wrong, and one try is gone.
        """
        if self.puk_tries <= 0 or puk != self._knobs.puk:
            self.puk_tries = max(self.puk_tries - 1, 0)
            raise CmeError(WRONG_PASSWORD)
        self._knobs.pin = pin
        self.tries = self._knobs.pin_tries
        self.puk_tries = _PUK_TRIES
        self._unlocked = True

    @property
    def full(self) -> bool:
        """There is no room for another message."""
        return len(self.messages) >= self._knobs.capacity

    def keep(self, pdu: str, length: int) -> int:
        """Store a message and return its slot."""
        slot = next(slot for slot in range(1, len(self.messages) + 2) if slot not in self.messages)
        self.messages[slot] = Stored(UNREAD, length, pdu)
        return slot
