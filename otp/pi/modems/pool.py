"""Keep the modems: run them, know how they are, and lend out the one that a message should go through.

A modem may be lent when it is switched on and meant for messages, ready, not resting (breaker, quota), not lent out,
and not in its pause between two messages. Which of those it is, ``routing`` decides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from broker.logs import Log
from otp.numbers import Numbers
from otp.pi import settings
from otp.pi.modems.breaker import Breaker
from otp.pi.modems.news import UssdAnswer
from otp.pi.modems.pdu import Submit
from otp.pi.modems.quotas import Budgets, Quotas, Refusal
from otp.pi.modems.routing import Router
from otp.pi.modems.status import ModemState, ModemStatus
from otp.pi.supervisor import keep

QUOTA_REST: Final = 60.0
"""Seconds after which a modem whose quota is used up is asked again whether a new hour, day or month has begun."""

_LOG: Final = Log("otp.pi")


class Modem(Protocol):
    """What is needed of a modem.

    Attributes:
        settings: Its table ``[[modem]]``.
        on_change: Called whenever its status has changed.
    """

    settings: settings.Modem
    on_change: Callable[[], None]

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def status(self) -> ModemStatus:
        """How it is now."""
        ...

    async def run(self) -> None:
        """Open it, keep it healthy and heal it until cancelled."""
        ...

    async def submit(self, submit: Submit, *, token: object, before_body: Callable[[], Awaitable[None]]) -> int:
        """Send one part and return the network's reference."""
        ...

    async def ussd(self, code: str) -> UssdAnswer:
        """Ask the network."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A modem that somebody has to himself until he gives it back."""

    modem: Modem

    @property
    def name(self) -> str:
        """What the modem is called."""
        return self.modem.name


class _Slot:
    """A modem, and what was learnt about it.

    Attributes:
        breaker: Opens after failures in a row.
        lent: Somebody has it.
        free_at: When its pause is over, in seconds of the loop's clock.
        spent_until: When its quota is looked at again, likewise.
        last_used: Counts up over all modems; 0 before the first message.
    """

    __slots__ = ("breaker", "free_at", "last_used", "lent", "modem", "spent_until")

    def __init__(self, modem: Modem, breaker: Breaker) -> None:
        self.modem = modem
        self.breaker = breaker
        self.lent = False
        self.free_at = 0.0
        self.spent_until = 0.0
        self.last_used = 0

    def works(self, now: float) -> bool:
        """Tell whether it could send if nobody else had it."""
        return self.modem.status.state is ModemState.READY and self.spent_until <= now and self.breaker.allows(now)

    def free(self, now: float) -> bool:
        """Tell whether nobody has it and it had its rest."""
        return not self.lent and self.free_at <= now


class Pool:
    """All modems of the settings.

    Args:
        modems: Each under a name of its own.
        sms: When a modem is left alone, and for how long.
        numbers: How prefixes in national form are read.
        budgets: Where quotas are counted.

    Attributes:
        on_change: Called when a modem may have become free, or is something else than it was.
    """

    def __init__(self, modems: Sequence[Modem], sms: settings.Sms, numbers: Numbers, budgets: Budgets) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._slots = {modem.name: _Slot(modem, Breaker(sms)) for modem in modems}
        self._quotas = Quotas(budgets)
        senders = [modem.settings for modem in modems if modem.settings.active and modem.settings.sms]
        self._senders = {each.name for each in senders}
        self._router = Router(senders, numbers)
        self._used = 0
        for modem in modems:
            modem.on_change = self._changed

    async def run(self) -> None:
        """Run every modem that is switched on, until cancelled; one that fails by a fault of ours is run again."""
        async with asyncio.TaskGroup() as group:
            for slot in self._slots.values():
                if slot.modem.settings.active:
                    group.create_task(keep(f"modem.{slot.modem.name}", slot.modem.run))

    # -- how they are

    @property
    def configured(self) -> bool:
        """Whether there is any modem for messages."""
        return bool(self._senders)

    def statuses(self) -> list[ModemStatus]:
        """Return how each modem is; one that works but is left alone after failures rests."""
        now = asyncio.get_running_loop().time()
        return [_status(slot, now) for slot in self._slots.values()]

    def find(self, modem_id: str) -> Modem | None:
        """Return a modem by its name, IMEI or IMSI; ``None`` when there is none."""
        for slot in self._slots.values():
            status = slot.modem.status
            if modem_id and modem_id in {slot.modem.name, status.imei, status.imsi}:
                return slot.modem
        return None

    def usable(self, receiver: str, avoid: frozenset[str] = frozenset()) -> bool:
        """Tell whether a modem that may send to this receiver works at the moment, be it free or not.

        Args:
            receiver: The one spelling that numbers are known by.
            avoid: Modems that do not count.
        """
        now = asyncio.get_running_loop().time()
        return bool(self._router.eligible(receiver, self._working(now) - avoid))

    def works(self, name: str) -> bool:
        """Tell whether one modem works at the moment, be it free or not."""
        return name in self._working(asyncio.get_running_loop().time())

    @property
    def lanes(self) -> list[str]:
        """What ``lane`` may return."""
        return self._router.lanes

    def lane(self, receiver: str) -> str:
        """Return a token that is the same for receivers that the same modems are eligible for."""
        return self._router.lane(receiver)

    # -- lending them

    def lend(self, receiver: str, *, avoid: frozenset[str] = frozenset(), pin: str = "") -> Lease | None:
        """Lend the modem that a message should go through, when one is free; ``release`` it afterwards.

        Of several it is the one that was lent longest ago; at first, the one that stands first in the settings.

        Args:
            receiver: The one spelling that numbers are known by.
            avoid: Modems that are not wanted.
            pin: The only modem that is wanted; empty takes any.
        """
        now = asyncio.get_running_loop().time()
        working = self._working(now)
        names = working & {pin} if pin else self._router.eligible(receiver, working - avoid)
        free = [slot for name, slot in self._slots.items() if name in names and slot.free(now)]
        if not free:
            return None
        slot = min(free, key=lambda slot: slot.last_used)
        self._used += 1
        slot.lent, slot.last_used = True, self._used
        return Lease(slot.modem)

    def release(self, lease: Lease) -> None:
        """Take a modem back; it may be lent again after its pause."""
        slot = self._slots[lease.name]
        slot.lent = False
        slot.free_at = asyncio.get_running_loop().time() + slot.modem.settings.pause
        self._changed_in(slot.modem.settings.pause)

    def worked(self, lease: Lease) -> None:
        """Take note that a modem did its part, whatever the network said."""
        self._slots[lease.name].breaker.success()

    def failed(self, lease: Lease) -> None:
        """Take note of a failure of the modem or its SIM card."""
        breaker = self._slots[lease.name].breaker
        now = asyncio.get_running_loop().time()
        breaker.failure(now)
        if not breaker.allows(now):
            _LOG.warning("modem_resting", modem=lease.name, seconds=breaker.until - now)
            self._changed_in(breaker.until - now)

    async def quota(self, lease: Lease, receiver: str, parts: int) -> Refusal | None:
        """Return why a message does not fit into the quotas of a modem, ``None`` when it does.

        Raises:
            StorageError: The journal cannot be read.
        """
        refusal = await self._quotas.refusal(lease.modem.settings, receiver, parts)
        if refusal is not None and refusal.for_all:
            self._slots[lease.name].spent_until = asyncio.get_running_loop().time() + QUOTA_REST
            self._changed_in(QUOTA_REST)
        return refusal

    async def count(self, lease: Lease, receiver: str) -> None:
        """Count a part that is about to be handed to the network.

        Raises:
            StorageError: The journal cannot be written.
        """
        await self._quotas.count(lease.modem.settings, receiver)

    def _working(self, now: float) -> set[str]:
        return {name for name in self._senders if self._slots[name].works(now)}

    def _changed(self) -> None:
        self.on_change()

    def _changed_in(self, seconds: float) -> None:
        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, self._changed)
        else:
            self._changed()


def _status(slot: _Slot, now: float) -> ModemStatus:
    status = slot.modem.status
    if status.state is not ModemState.READY or slot.breaker.allows(now):
        return status
    seconds = round(slot.breaker.until - now)
    return replace(
        status, state=ModemState.RESTING, detail=f"It failed several times in a row; tried again in {seconds} s."
    )
