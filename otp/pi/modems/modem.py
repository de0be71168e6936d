"""Drive one modem: open it, set it up, keep it well, send and receive through it.

One task, ``run``, does all of it, round after round, until it is cancelled:

    find port -> open -> greet (who is it?) -> SIM card, PIN -> set up -> round: SIM, network, signal, stored SMS
        ^                                                                   |
        +-- wait 1 s, 2 s, ... ``reopen_longest`` <-- unplugged, or silent -+

``submit`` and ``ussd`` are called from other tasks and share the dialogue with it. A message whose outcome is unknown
closes the modem to further ones for at most ``LATE_WAIT``, so that its answer, when it does come, cannot be taken for
the answer to another message.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Final

from broker.logs import Log, describe
from otp.pi import settings as pi_settings
from otp.pi.modems import cms, health, replies
from otp.pi.modems.dialogue import (
    CommandError,
    Dialogue,
    NoPromptError,
    NoReferenceError,
    SilentError,
    UnpluggedError,
)
from otp.pi.modems.identity import Finder, identify, same_device
from otp.pi.modems.incoming_sms import Incoming
from otp.pi.modems.news import LateReference, News, UssdAnswer
from otp.pi.modems.pdu import Submit
from otp.pi.modems.pin import Pin
from otp.pi.modems.port import PortError, open_port
from otp.pi.modems.status import ModemState, ModemStatus, NotSentError, OutcomeUnknownError
from otp.pi.modems.ussd import Ussd

LOG: Final = Log("otp.pi")
FIRST_PAUSE: Final = 1.0
"""Seconds until a port is opened anew the first time."""
SOON: Final = 3.0
"""Seconds between two rounds while there is no network."""
LATE_WAIT: Final = 30.0
"""Longest time, in seconds, that a modem is kept back for an answer that is late."""
HANGS: Final = 3
"""Commands in a row without an answer after which the port is opened anew."""
MAX_NEWS: Final = 256
"""Unsolicited lines that wait to be looked at; what is stored beyond is found by the next round."""

_YIELD: Final = 0.01
_NEWS: Final = ("+CMTI:", "+CDSI:", "+CMT:", "+CDS:")
_LOOK: Final = ("+CPIN:", "+CREG:", "+CEREG:", "^SIMST:")
_RESTARTED: Final = ("RDY", "^SYSSTART", "SYSSTART")
_PDU: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){8,200}")
_ABSENT: Final[dict[str, Any]] = {
    "state": ModemState.ABSENT,
    "port": "",
    "registered": False,
    "signal": None,
    "ber": None,
    "operator": "",
}
_CNMI: Final = ("2,1,0,{},0", "1,1,0,{},0", "2,1,0,0,0", "2,1")
"""Ways to be told of what comes in, best first; the hole is for delivery reports (TS 27.005, 3.4.1)."""


class Modem:
    """One modem of the settings.

    Attributes:
        name: From the settings.
        settings: As given.
        status: How it is now; replaced whenever that changes.
        on_change: Called after ``status`` was replaced.
    """

    def __init__(
        self,
        settings: pi_settings.Modem,
        sms: pi_settings.Sms,
        *,
        news: Callable[[News], Awaitable[None]],
        finder: Finder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin, without touching the port.

        Args:
            settings: Of this modem.
            sms: Of all of them.
            news: Takes what comes in. What it raises leaves a received message on the SIM card: it comes again.
            finder: Shared by all modems of the service.
            clock: Unix seconds.
        """
        self.name = settings.name
        self.settings = settings
        self.status = ModemStatus(
            name=settings.name, active=settings.active, sms=settings.sms, default=settings.default
        )
        self.on_change: Callable[[], None] = lambda: None
        self._sms = sms
        self._news = news
        self._finder = finder
        self._incoming = Incoming(settings.name, news, clock)
        self._pin = Pin(settings.pin)
        self._ussd = Ussd(sms.ussd_timeout)
        self._using = asyncio.Lock()
        self._wake = asyncio.Event()
        self._queue: deque[tuple[str, str]] = deque(maxlen=MAX_NEWS)
        self._late: deque[LateReference] = deque(maxlen=MAX_NEWS)
        self._dialogue: Dialogue | None = None
        self._prepared = False
        self._known = False
        self._next = 0.0
        self._unknown: object | None = None
        self._hold_until = 0.0
        if settings.active and settings.port:
            finder.reserve(settings.port)

    # -- for others

    async def submit(self, submit: Submit, *, token: object, before_body: Callable[[], Awaitable[None]]) -> int:
        """Send one part; one at a time, others wait.

        Args:
            submit: What the codec made.
            token: Comes back in a ``LateReference`` when the answer comes after all; not ``None``.
            before_body: Awaited when the modem is ready for the body: nothing was sent until it has returned. What it
                raises is raised, and nothing is sent.

        Returns:
            The network's message reference, 0 to 255.

        Raises:
            NotSentError: nothing went out.
            OutcomeUnknownError: the body was handed over, and nobody said what became of it. So it is when this is
                cancelled after ``before_body`` has returned.
        """
        if _PDU.fullmatch(submit.hex) is None:
            raise NotSentError("no_pdu")
        async with self._using:
            dialogue = self._ready()
            handed_over = False

            async def ready() -> None:
                nonlocal handed_over
                await before_body()
                handed_over = True
                self._unknown = None  # from here on a reference is this message's

            try:
                return await dialogue.submit(
                    submit.length,
                    submit.hex,
                    before_body=ready,
                    prompt_timeout=self._sms.prompt_timeout,
                    result_timeout=self._sms.result_timeout,
                )
            except NoReferenceError as error:
                self._keep_back(token)
                raise OutcomeUnknownError(_why(error.__cause__)) from None
            except asyncio.CancelledError:
                if handed_over:
                    self._keep_back(token)
                raise
            except CommandError as error:
                raise self._refused(error, handed_over=handed_over) from None
            except (SilentError, UnpluggedError) as error:
                self._suspect()
                raise NotSentError(_why(error)) from None

    async def ussd(self, code: str) -> UssdAnswer:
        """Ask the network with a USSD code, or answer it when its last answer was ``replyable``.

        Raises:
            NotSentError: no answer came; its reason is ``invalid_code``, ``not_ready``, ``timeout``, ``unplugged``,
                ``not_supported``, ``network_timeout``, ``ended`` or an error of the modem.
        """
        async with self._using:
            dialogue = self._ready()
            try:
                return await self._ussd.ask(dialogue, code)
            except CommandError as error:
                raise self._refused(error, handed_over=False) from None
            except (SilentError, UnpluggedError) as error:
                self._suspect()
                raise NotSentError(_why(error)) from None

    def _ready(self) -> Dialogue:
        if self._dialogue is None or self.status.state is not ModemState.READY:
            raise NotSentError("not_ready")
        return self._dialogue

    def _refused(self, error: CommandError, *, handed_over: bool) -> Exception:
        self._look_soon()
        code = error.result.code if error.result.kind == "cms" else None
        kind = None if code is None else cms.kind(code)
        if handed_over and kind is cms.Kind.UNKNOWN:
            return OutcomeUnknownError(error.token)
        return NotSentError(error.token, cms=code, kind=kind)

    def _keep_back(self, token: object) -> None:
        self._unknown = token
        self._hold_until = _now() + min(self._sms.result_timeout, LATE_WAIT)
        self._suspect()

    def _suspect(self) -> None:
        """Send nothing more through it until it has answered again."""
        self._show(state=ModemState.OPENING, detail="it did not answer; it is being asked again")
        self._look_soon()

    def _look_soon(self) -> None:
        self._next = 0.0
        self._wake.set()

    # -- the task

    async def run(self) -> None:
        """Drive the modem until cancelled; returns at once when the settings switch it off."""
        if not self.settings.active:
            self._show(state=ModemState.STOPPED, detail="switched off in the settings")
            return
        pause = 0.0
        try:
            while True:
                await asyncio.sleep(pause)
                detail = await self._once()
                pause = FIRST_PAUSE if self._known else min(pause * 2 or FIRST_PAUSE, self._sms.reopen_longest)
                pause = min(pause, self._sms.reopen_longest)
                self._show(**_ABSENT, detail=detail)
        finally:
            self._show(state=ModemState.STOPPED, detail="")

    async def _once(self) -> str:
        """Find and drive it until it is gone; return why."""
        self._known = self._prepared = False
        try:
            with suppress(UnpluggedError):
                await self._connect()
        except PortError as error:
            return str(error)
        except SilentError:
            return "the port is there and does not answer: is it the port for AT commands?"
        except Exception as error:  # noqa: BLE001 - one modem's trouble must not end the service
            LOG.error("modem_failed", modem=self.name, error=describe(error))
            return "it failed; the log says where"
        return "unplugged"

    async def _connect(self) -> None:
        path = await self._finder.find(self.settings)
        with self._finder.hold(path):
            self._show(state=ModemState.OPENING, port=path, detail="")
            port = await open_port(path, self.settings.baud_rate)
            dialogue = Dialogue(
                port.write, at_timeout=self._sms.at_timeout, on_news=self._take_line, on_late=self._take_late
            )
            port.attach(dialogue.feed, self._take_loss(dialogue))
            try:
                await self._serve(dialogue)
            finally:
                self._dialogue = None
                await port.close()

    def _take_loss(self, dialogue: Dialogue) -> Callable[[], None]:
        def lost() -> None:
            dialogue.lost()
            self._ussd.lost()
            self._wake.set()

        return lost

    # -- what comes in unasked; called by the dialogue

    def _take_line(self, line: str, pdu: str) -> None:
        if line.startswith("+CUSD:"):
            self._ussd.take(line)
        elif line.startswith(_NEWS):
            self._queue.append((line, pdu))
            self._wake.set()
        elif line.startswith(_RESTARTED):
            self._prepared = self._known = False
            self._look_soon()
        elif line.startswith(_LOOK):
            self._next = min(self._next, _now() + SOON)  # not at once: a modem may send these without end
            self._wake.set()

    def _take_late(self, reference: int) -> None:
        if self._unknown is not None:
            self._late.append(LateReference(modem=self.name, token=self._unknown, reference=reference))
            self._unknown = None
            self._hold_until = 0.0
            self._look_soon()

    # -- one open port

    async def _serve(self, dialogue: Dialogue) -> None:
        """Go round after round until the port is gone or the modem hangs."""
        self._dialogue = dialogue
        self._queue.clear()
        self._next = 0.0
        while True:
            self._wake.clear()
            try:
                await self._tell_late()
                while self._queue:
                    await self._receive(dialogue, *self._queue.popleft())
                if _now() >= self._next:
                    await self._round(dialogue)
            except CommandError as error:
                self._show(state=ModemState.OPENING, detail=f"it refused to be set up: {error.token}")
            except SilentError:
                if dialogue.silences >= HANGS and _now() >= self._hold_until:
                    raise
                self._suspect()
                continue
            if dialogue.gone:
                await self._tell_late()
                raise UnpluggedError
            await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout_at(max(self._next, _now() + _YIELD)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _tell_late(self) -> None:
        while self._late:
            late = self._late.popleft()
            try:
                await self._news(late)
            except Exception as error:  # noqa: BLE001 - whatever it is, the modem goes on
                LOG.error("news_not_taken", modem=self.name, error=describe(error))

    async def _receive(self, dialogue: Dialogue, line: str, pdu: str) -> None:
        if pdu:
            await self._incoming.direct(dialogue, pdu)
        else:
            await self._incoming.announced(dialogue, line)

    async def _round(self, dialogue: Dialogue) -> None:
        if not self._known:
            await self._greet(dialogue)
        if _now() < self._hold_until:
            await dialogue.ask("AT")
            self._next = self._hold_until
            return
        self._next = _now() + min(SOON, self._sms.health_interval)
        if not await self._has_sim(dialogue):
            return
        if not self._prepared:
            await self._prepare(dialogue)
        found = await health.look(dialogue)
        if self._hold_until > _now():
            return  # a message went unanswered meanwhile
        state = ModemState.READY if found.registered else ModemState.NOT_REGISTERED
        detail = "" if found.registered else "no network: look at antenna, signal and whether the card is blocked"
        self._show(state=state, detail=detail, **asdict(found))
        if found.registered:
            self._next = _now() + self._sms.health_interval
        await self._incoming.sweep(dialogue)

    async def _greet(self, dialogue: Dialogue) -> None:
        """Learn who it is, and set what needs no SIM card."""
        await health.attempt(dialogue, "ATE0")
        await health.attempt(dialogue, "AT+CMEE=1")
        names = [await health.attempt(dialogue, command, free=True) for command in ("AT+CGMI", "AT+CGMM", "AT+CGMR")]
        manufacturer, model, revision = (replies.free_text(lines or []) for lines in names)
        self._check(imei=(await identify(dialogue)).imei)
        self._show(manufacturer=manufacturer, model=model, revision=revision)
        self._known = True

    def _check(self, **numbers: str) -> None:
        """Compare IMEI or IMSI with the settings.

        Raises:
            PortError: it is another modem, or another card.
        """
        for name, found in numbers.items():
            wanted: str = getattr(self.settings, name)
            same = same_device(found, wanted) if name == "imei" else found == wanted
            if wanted and not same:
                self._finder.forget()
                raise PortError(f"{self.status.port} is not the modem with this {name}: correct port or {name}")
        self._show(**numbers)

    async def _has_sim(self, dialogue: Dialogue) -> bool:
        found = await health.sim(dialogue)
        if found is health.Sim.PIN:
            await self._pin.enter(dialogue)
            found = await health.sim(dialogue)
        if found is health.Sim.READY:
            self._pin.accepted()
            return True
        state, detail = self._pin.trouble(found)
        self._prepared = False
        self._show(state=state, detail=detail, registered=False, signal=None, ber=None, operator="")
        return False

    async def _prepare(self, dialogue: Dialogue) -> None:
        """Set what needs the SIM card: PDU mode, what is told unasked, where messages are stored."""
        self._check(imsi=(await identify(dialogue)).imsi)
        await dialogue.ask("AT+CMGF=0")
        await health.attempt(dialogue, "AT+COPS=3,0")
        centre = await health.attempt(dialogue, "AT+CSCA?", prefix="+CSCA:")
        self._show(
            iccid=await health.iccid(dialogue),
            smsc=next(iter(replies.fields(centre[0])), "") if centre else "",
        )
        self._incoming.acknowledge = await health.attempt(dialogue, "AT+CSMS=1") is not None
        await self._incoming.begin(dialogue)
        reports = 1 if self.settings.delivery_reports else 0
        for way in _CNMI:
            if await health.attempt(dialogue, f"AT+CNMI={way.format(reports)}") is not None:
                break
        self._prepared = True

    def _show(self, **changed: Any) -> None:
        status = replace(self.status, **changed)
        if status == self.status:
            return
        moved = status.state is not self.status.state
        self.status = status
        if moved:
            LOG.info("modem_state", modem=self.name, state=status.state, port=status.port, detail=status.detail or None)
        self.on_change()


def _why(error: BaseException | None) -> str:
    match error:
        case UnpluggedError():
            return "unplugged"
        case NoPromptError():
            return "no_prompt"
        case SilentError():
            return "timeout"
        case _:
            return "no_reference"


def _now() -> float:
    return asyncio.get_running_loop().time()
