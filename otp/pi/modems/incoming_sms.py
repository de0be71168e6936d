"""Take in what the network sends: messages, whole or in parts, and delivery reports.

A stored message is read, handed on, and only then deleted, at exactly its index: a crash in between brings it again.
One that comes directly (``+CMT``, ``+CDS``) is acknowledged to the network once it was handed on (``AT+CNMA``).
Parts of a long message stay in the store until all are there, or ``INCOMPLETE`` is over: then each goes on alone.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from broker.logs import Log, describe
from otp.pi.modems import pdu, replies
from otp.pi.modems.dialogue import CommandError, Dialogue
from otp.pi.modems.news import News, Received, Reported

LOG: Final = Log("otp.pi")
INCOMPLETE: Final = 86_400.0
"""Seconds that the parts of a long message may take to come."""
MAX_PARTS: Final = 512
"""Parts kept of messages that are not complete; beyond, the oldest message goes on in parts."""
MAX_UNREADABLE: Final = 64
"""Stored messages remembered as unreadable, so that each is complained of once."""
_CAME_IN: Final = frozenset({0, 1})
_STORE: Final = re.compile(r"[A-Z]{2}")

Place = tuple[str, int]
"""Store and index of a message; a message that came directly has none."""


@dataclass(slots=True)
class _Long:
    """A message of which parts have come: by index from 1, with all places that hold one of them."""

    since: float
    total: int
    parts: dict[int, pdu.Deliver] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ready:
    """Messages that can go on, and the places to delete then."""

    messages: tuple[Received, ...]
    places: tuple[Place, ...]


class Joiner:
    """Join the parts of long messages. Pure."""

    def __init__(self, modem: str) -> None:
        self._modem = modem
        self._long: dict[tuple[str, int, int], _Long] = {}

    def holds(self, place: Place) -> bool:
        """Tell whether the part at a place has been taken already and waits for others."""
        return any(place in each.places for each in self._long.values())

    def add(self, deliver: pdu.Deliver, place: Place | None, now: float) -> Ready | None:
        """Take a message; return it, or all of a long one when this was its last part."""
        places = () if place is None else (place,)
        concat = deliver.concat
        if concat is None or concat.total < 2 or not 1 <= concat.index <= concat.total:  # noqa: PLR2004 - one part is whole
            return Ready((self._message([deliver]),), places)
        key = (deliver.sender, concat.reference, concat.total)
        long = self._long.setdefault(key, _Long(now, concat.total))
        long.parts[concat.index] = deliver
        long.places += places
        if len(long.parts) < concat.total:
            return None
        del self._long[key]
        return Ready((self._message([long.parts[index] for index in sorted(long.parts)]),), tuple(long.places))

    def overdue(self, now: float) -> list[Ready]:
        """Return the messages of which parts are missing for too long, or that are too many, part by part."""
        found = []
        for key, long in list(self._long.items()):  # the oldest is first
            if now - long.since >= INCOMPLETE or sum(len(each.parts) for each in self._long.values()) > MAX_PARTS:
                del self._long[key]
                parts = [
                    self._message([part], index=index, total=long.total) for index, part in sorted(long.parts.items())
                ]
                found.append(Ready(tuple(parts), tuple(long.places)))
        return found

    def _message(self, parts: list[pdu.Deliver], *, index: int = 0, total: int = 0) -> Received:
        return Received(
            modem=self._modem,
            sender=parts[0].sender,
            text="".join(part.text for part in parts),
            sent_at=parts[0].sent_at,
            part=index,
            total=total or len(parts),
        )


class Incoming:
    """Everything one modem receives.

    Attributes:
        acknowledge: Whether the modem wants ``AT+CNMA`` for what comes directly: set when it took ``AT+CSMS=1``.
    """

    def __init__(self, modem: str, news: Callable[[News], Awaitable[None]], clock: Callable[[], float]) -> None:
        self.acknowledge = False
        self._modem = modem
        self._news = news
        self._clock = clock
        self._joiner = Joiner(modem)
        self._store = ""
        self._main_store = ""
        self._unreadable: dict[tuple[Place, str], None] = {}

    async def begin(self, dialogue: Dialogue) -> None:
        """Find out where the modem stores what comes in, and read from there."""
        self._store = self._main_store = ""
        try:
            lines = await dialogue.ask("AT+CPMS?", prefix="+CPMS:")
        except CommandError:
            return
        stores = [name for name in replies.fields(lines[0]) if _STORE.fullmatch(name)] if lines else []
        if stores:
            self._main_store = stores[-1]  # the third is the one that what comes in is put into

    async def direct(self, dialogue: Dialogue, pdu_hex: str) -> None:
        """Take what came without being stored: ``+CMT`` or ``+CDS``."""
        if await self._hand_on(pdu_hex, None) and self.acknowledge:
            await _try(dialogue, "AT+CNMA")

    async def announced(self, dialogue: Dialogue, line: str) -> None:
        """Read, hand on and delete what ``+CMTI`` or ``+CDSI`` tells of."""
        place = replies.stored_at(line)
        if place is None or self._joiner.holds(place) or not await self._select(dialogue, place[0]):
            return
        lines = await _try(dialogue, f"AT+CMGR={place[1]}", "+CMGR:")
        for stored in replies.stored(lines, place[1]):
            await self._take(dialogue, place, stored)

    async def sweep(self, dialogue: Dialogue) -> None:
        """Take everything that is stored, and what waits for missing parts for too long."""
        if await self._select(dialogue, self._main_store):
            for stored in replies.stored(await _try(dialogue, "AT+CMGL=4", "+CMGL:")):
                place = (self._store, stored.index)
                if not self._joiner.holds(place):
                    await self._take(dialogue, place, stored)
        for ready in self._joiner.overdue(self._clock()):
            await self._finish(dialogue, ready)

    async def _select(self, dialogue: Dialogue, store: str) -> bool:
        """Read from a store from now on; an empty name is whatever the modem reads from."""
        if store and store != self._store:
            try:
                await dialogue.ask(f'AT+CPMS="{store}"', prefix="+CPMS:")
            except CommandError:
                return False
            self._store = store
        return True

    async def _take(self, dialogue: Dialogue, place: Place, stored: replies.Stored) -> None:
        if stored.status in _CAME_IN and (place, stored.pdu) not in self._unreadable:
            ready = await self._hand_on(stored.pdu, place)
            if ready:
                await self._delete(dialogue, ready.places)

    async def _finish(self, dialogue: Dialogue, ready: Ready) -> None:
        if await self._tell(ready.messages):
            await self._delete(dialogue, ready.places)

    async def _hand_on(self, pdu_hex: str, place: Place | None) -> Ready | None:
        """Hand on what a PDU completes; ``None`` when it is kept where it is."""
        try:
            read = pdu.read(pdu_hex)
        except pdu.PduError as error:
            LOG.warning("sms_unreadable", modem=self._modem, error=describe(error))
            if place is None:
                return Ready((), ())  # it is acknowledged all the same: the network would send it for ever
            self._unreadable[(place, pdu_hex)] = None
            while len(self._unreadable) > MAX_UNREADABLE:
                del self._unreadable[next(iter(self._unreadable))]
            return None
        if isinstance(read, pdu.StatusReport):
            report = Reported(
                modem=self._modem,
                reference=read.reference,
                receiver=read.receiver,
                outcome=read.outcome,
                status=read.status,
                at=read.at or self._clock(),
            )
            return Ready((), () if place is None else (place,)) if await self._tell((report,)) else None
        ready = self._joiner.add(read, place, self._clock())
        if ready is None:
            return Ready((), ())  # taken; its places go with the last part
        return ready if await self._tell(ready.messages) else None

    async def _tell(self, messages: tuple[News, ...]) -> bool:
        for message in messages:
            try:
                await self._news(message)
            except Exception as error:  # noqa: BLE001 - whatever it is, the message stays where it is and comes again
                LOG.error("news_not_taken", modem=self._modem, error=describe(error))
                return False
        return True

    async def _delete(self, dialogue: Dialogue, places: tuple[Place, ...]) -> None:
        for store, index in places:
            if await self._select(dialogue, store):
                await _try(dialogue, f"AT+CMGD={index}")


async def _try(dialogue: Dialogue, command: str, prefix: str = "") -> list[str]:
    try:
        return await dialogue.ask(command, prefix=prefix)
    except CommandError:
        return []
