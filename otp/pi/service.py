"""Put the parts together, start them in order, and stop them in order.

    roads, HTTP, control socket  ->  commands  ->  journal  ->  outbox  ->  modems, mail
                                                      ^                        |
                                                    inbox  <-------------------+   ->  webhook, topic

Stopping is: take nothing new; let what is under way end (``drain_time``); close modems, then the journal.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from broker.logs import Log
from otp.errors import InvalidInput, OtpError
from otp.issuing import Codes
from otp.limits import DAY, HOUR, Window
from otp.numbers import Numbers
from otp.pi import settings as tables
from otp.pi.callbacks import Callbacks
from otp.pi.commands import Commands
from otp.pi.control import Control, DirectoryLock
from otp.pi.counts import Counts
from otp.pi.emulated import Arriving, Emulated
from otp.pi.events import Event, Events
from otp.pi.guards import Alarms, Guards
from otp.pi.housekeeping import LOOK_EVERY, SWEEP_EVERY, Watch, every
from otp.pi.inbox import Inbox
from otp.pi.inputs import Input, open_input
from otp.pi.journal import Journal, StorageError
from otp.pi.model import Origin
from otp.pi.modems.news import News
from otp.pi.modems.pool import Modem, Pool
from otp.pi.outbox import Outbox
from otp.pi.receivers import open_events
from otp.pi.recent import Recent
from otp.pi.rest import Rest
from otp.pi.sending import Sending
from otp.pi.settings import Settings
from otp.pi.status import Status
from otp.pi.supervisor import keep
from otp.pi.telephony import Telephony
from otp.roads.errors import ConfigError
from otp.store import OtpPolicy, OtpStore, sqlite_store

if TYPE_CHECKING:
    from otp.pi.mail.mailer import Mailer

CODES: Final = "codes"
"""Directory of the codes made here, in ``data_dir``; their key is beside it."""

KEY_OF_CODES: Final = "codes.key"

_LOG: Final = Log("otp.pi")


class Service:
    """The OTP-Pi, for as long as the block lasts.

    Args:
        settings: All of them.
        clock: Returns Unix seconds.
        arriving: Told of every SMS that an emulated modem sends.

    Attributes:
        url: Where HTTP is served; empty where it is not.
        commands: What roads, HTTP and the control socket hand commands to.
        status: How everybody is.
    """

    commands: Commands
    status: Status
    url = ""

    def __init__(
        self, settings: Settings, *, clock: Callable[[], float] = time.time, arriving: Arriving | None = None
    ) -> None:
        self.settings = settings
        self.counts = Counts()
        self._clock = clock
        self._emulated = Emulated(arriving)
        self._recent = Recent()
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._inputs: dict[str, Input] = {}
        self._rest: Rest | None = None

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            ConfigError: A setting cannot be used as it stands, or another process works on ``data_dir``.
            StorageError: The journal cannot be used.
            OtpError: The codes or a library cannot be used.
        """
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop everything, in order."""
        self.status.stopping = True
        await self._stack.aclose()
        _LOG.info("stopped")

    def reload(self) -> None:
        """Read the certificate again; accounts are watched anyway, other settings need a restart."""
        if self._rest is not None:
            self._rest.reload()

    # -- opening, from the bottom up

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        logging.getLogger("otp.pi").addHandler(self._recent)
        stack.callback(logging.getLogger("otp.pi").removeHandler, self._recent)
        stack.enter_context(DirectoryLock(settings.data_dir))
        numbers, guards = _rules(settings)
        journal = await Journal.open(settings.data_dir, clock=self._clock, on_commit=self.counts.journal_commit.observe)
        stack.push_async_callback(journal.close)
        codes = Codes(await asyncio.to_thread(_open_codes, settings, numbers, self._clock))
        stack.push_async_callback(codes.close)
        pool = Pool(await self._modems(stack), settings.sms, numbers, journal)
        mailer = self._mailer(journal)
        outbox = Outbox(
            journal,
            pool,
            mailer,
            settings.sms,
            clock=self._clock,
            drain_time=settings.drain_time,
            counts=self.counts,
        )
        # Everything below is stopped before the modems are: messages under way still need them.
        self._start(stack, "modems", pool.run)
        self._start(stack, "outbox", outbox.run)
        watch, commands = self._make_commands(journal, pool, outbox, numbers, guards, codes)
        stack.push_async_callback(commands.close)
        self.commands = commands
        self._open_inputs(commands)
        events = self._events()
        self._inbox = Inbox(journal, numbers, emit=events.emit, look_again=outbox.look_again)
        self._emit = events.emit
        self._start(stack, "events", events.run)
        self._start(stack, "watch", partial(every, LOOK_EVERY, watch.look))
        self._start(stack, "sweep", partial(every, SWEEP_EVERY, partial(_sweep, journal, codes, settings.journal_keep)))
        self.status = self._status(journal, pool, mailer)
        await self._serve(stack, commands, journal)
        for name, each in self._inputs.items():
            self._start(stack, f"input.{name}", each.run)

    def _start(self, stack: AsyncExitStack, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Start a part, which ends when the stack gets to it."""
        task = asyncio.create_task(keep(name, run), name=name)
        stack.push_async_callback(_end, task)

    async def _modems(self, stack: AsyncExitStack) -> list[Modem]:
        if not self.settings.modem:
            return []
        # Here and not above: without modems the serial library is not needed.
        from otp.pi.modems.identity import Finder  # noqa: PLC0415
        from otp.pi.modems.modem import Modem as Device  # noqa: PLC0415

        tables_of = [await self._emulated.plug_in(stack, each) for each in self.settings.modem]
        finder = Finder(at_timeout=self.settings.sms.at_timeout)
        return [
            Device(each, self.settings.sms, news=self._take_news, finder=finder, clock=self._clock)
            for each in tables_of
        ]

    async def _take_news(self, news: News) -> None:
        await self._inbox.take(news)

    def _tell(self, event: Event) -> None:
        self._emit(event)

    def _mailer(self, journal: Journal) -> "Mailer | None":
        if not self.settings.mail:
            return None
        from otp.pi.mail.mailer import Mailer  # noqa: PLC0415 - without accounts the library is not needed

        try:
            return Mailer(self.settings.mail, journal, clock=self._clock)
        except InvalidInput as error:
            raise ConfigError(str(error)) from None

    def _make_commands(
        self, journal: Journal, pool: Pool, outbox: Outbox, numbers: Numbers, guards: Guards, codes: Codes
    ) -> tuple[Watch, Commands]:
        settings = self.settings
        watch = Watch(Alarms(settings.guards), journal, self._tell, self._clock)

        def refused(scope: str, origin: Origin) -> None:
            self.counts.guard_refusals[scope] += 1
            watch.refused(scope, origin)

        def dropped(reason: str) -> None:
            self.counts.rejected[f"answer_{reason}"] += 1

        sending = Sending(journal, outbox, pool, numbers, guards, clock=self._clock, refused=refused)
        closed = {each.topic for each in settings.inputs().values()} | {settings.events.topic}
        commands = Commands(
            sending=sending,
            codes=codes,
            journal=journal,
            modems=Telephony(pool),
            numbers=numbers,
            callbacks=Callbacks(closed, dropped),
            offset=settings.expiration_offset,
            answer_timeout=settings.rest.answer_timeout,
            clock=self._clock,
            counts=self.counts,
        )
        return watch, commands

    def _open_inputs(self, commands: Commands) -> None:
        for name, table in self.settings.inputs().items():
            self._inputs[name] = open_input(name, table, commands.take, data_dir=self.settings.data_dir)

    def _events(self) -> Events:
        road = self.settings.events.road or next(iter(self._inputs), "")
        publish = self._inputs[road].publish if road else None
        try:
            return open_events(self.settings.events, publish)
        except OSError as error:
            raise ConfigError(f"events.webhook_ca: {error.strerror or error}") from None

    def _status(self, journal: Journal, pool: Pool, mailer: "Mailer | None") -> Status:
        return Status(
            journal,
            inputs=lambda: tuple(self._inputs.values()),
            modems=pool.statuses,
            mail=mailer.statuses if mailer is not None else lambda: (),
            events=self._recent.events,
            clock=self._clock,
        )

    async def _serve(self, stack: AsyncExitStack, commands: Commands, journal: Journal) -> None:
        settings = self.settings
        control = Control(settings.data_dir, commands.ask, self.status, journal, self.counts)
        await control.start()
        stack.push_async_callback(control.stop)
        if settings.rest.enabled:
            self._rest = Rest(settings.rest, commands.ask, self.status, journal, self.counts)
            self.url = await self._rest.start()
            stack.push_async_callback(self._rest.stop)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _sweep(journal: Journal, codes: Codes, keep_for: float) -> None:
    try:
        await journal.sweep(keep_for)
        await codes.sweep()
    except (StorageError, OtpError) as error:
        _LOG.warning("sweep_failed", error=str(error))


def _rules(settings: Settings) -> tuple[Numbers, Guards]:
    try:
        numbers = Numbers(policy=settings.numbers.policy, region=settings.numbers.region or None)  # type: ignore[arg-type]
        return numbers, Guards(settings.guards, numbers)
    except InvalidInput as error:
        raise ConfigError(f"numbers: {error}") from None


def _open_codes(settings: Settings, numbers: Numbers, clock: Callable[[], float]) -> OtpStore:
    return sqlite_store(
        settings.data_dir / CODES,
        settings.data_dir / KEY_OF_CODES,
        policy=_policy(settings.otp),
        numbers=numbers,
        clock=clock,
    )


def _policy(otp: tables.Otp) -> OtpPolicy:
    return OtpPolicy(
        digits=otp.digits,
        lifetime=round(otp.lifetime),
        max_lifetime=round(otp.max_lifetime),
        tries=otp.tries,
        windows=(Window(HOUR, otp.codes_per_hour), Window(DAY, otp.codes_per_day)),
    )
