"""Be the modem behind the port: what commands read and set, apart from bytes and time."""

from collections.abc import Callable

from otp.pi.emulator.incoming import Incoming
from otp.pi.emulator.knobs import MAKERS, Knobs, Maker
from otp.pi.emulator.session import Session
from otp.pi.emulator.sim import SimCard
from otp.pi.emulator.timers import Timers
from otp.pi.emulator.ussd import UssdDialogue

HOME, SEARCHING, ROAMING = 1, 2, 5


class Device:
    """A modem with its card.

    Attributes:
        session: What the driver has set; a new one at each start.
        announced: Octets that ``AT+CMGS=`` announced; ``None`` while no body is due.
        emit: Sends a line of its own accord.
    """

    def __init__(self, imei: str, sim: SimCard, knobs: Knobs, timers: Timers, emit: Callable[[str], None]) -> None:
        self.imei = imei
        self.sim = sim
        self.knobs = knobs
        self.emit = emit
        self.announced: int | None = None
        self.session = Session(echo=knobs.echo)
        self.incoming = Incoming(sim, knobs, timers, emit)
        self.ussd = UssdDialogue(knobs, timers, emit)

    @property
    def maker(self) -> Maker:
        """Whose modem it is."""
        return MAKERS[self.knobs.maker]

    @property
    def registration(self) -> int:
        """What ``+CREG`` tells."""
        if self.sim.trouble or not self.knobs.registered:
            return SEARCHING
        return ROAMING if self.knobs.roaming else HOME

    @property
    def on_air(self) -> bool:
        """A network has taken it in."""
        return self.registration != SEARCHING

    def start(self) -> None:
        """Be switched on."""
        self.sim.lock()
        self.reset()

    def reset(self) -> None:
        """Forget what the driver set (``ATZ``)."""
        self.session = Session(echo=self.knobs.echo)
        self.announced = None
        self.ussd.cancel()
        self.incoming.attach(self.session)

    def stop(self) -> None:
        """Be without power."""
        self.incoming.attach(None)
