"""Take what modems bring unasked: into the journal first, then to whoever is to be told."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from broker.logs import Log
from otp.errors import InvalidInput
from otp.numbers import Numbers, mask
from otp.pi import events
from otp.pi.modems.news import LateReference, News, Received, Reported

_DELIVERED: Final = {"delivered": True, "pending": None, "failed": False}
_LOG: Final = Log("otp.pi")


class Token(NamedTuple):
    """What is given to a modem with each part, and comes back when its reference comes late.

    Attributes:
        number: Row of the journal.
        part: Index of the part, from 0.
    """

    number: int
    part: int


class Journal(Protocol):
    """What is needed of the journal."""

    async def received(self, modem: str, sender: str, text: str, sent_at: float) -> int:
        """Store a received message; the same one again is the same row."""
        ...

    async def delivery_report(
        self, modem: str, reference: int, receiver_key: str, delivered: bool | None, at: float
    ) -> int | None:
        """Store a report and return the row it belongs to."""
        ...

    async def late_reference(self, modem: str, number: int, part: int, reference: int) -> None:
        """Store that a part was taken after all."""
        ...


class Inbox:
    """Where all news of modems go.

    Args:
        journal: Where they are kept.
        numbers: How receivers in reports are read.
        emit: Tells others, see ``events.Events.emit``.
        look_again: Told the row whose outcome may be known now.
    """

    def __init__(
        self,
        journal: Journal,
        numbers: Numbers,
        *,
        emit: Callable[[events.Event], None],
        look_again: Callable[[int], Awaitable[None]],
    ) -> None:
        self._journal = journal
        self._numbers = numbers
        self._emit = emit
        self._look_again = look_again

    async def take(self, news: News) -> None:
        """Store what a modem brought; once this returns it may be deleted from the SIM card.

        Raises:
            StorageError: The journal cannot be written; what was brought must be brought again.
        """
        match news:
            case Received():
                await self._received(news)
            case Reported():
                await self._reported(news)
            case _:
                await self._late(news)

    async def _received(self, news: Received) -> None:
        number = await self._journal.received(news.modem, news.sender, news.text, news.sent_at)
        _LOG.info("sms_received", modem=news.modem, sender=mask(news.sender), journal=number, part=news.part or None)
        self._emit(events.received(number, news))

    async def _reported(self, news: Reported) -> None:
        number = await self._journal.delivery_report(
            news.modem, news.reference, self._key(news.receiver), _DELIVERED[news.outcome], news.at
        )
        _LOG.info("sms_report", modem=news.modem, journal=number, outcome=news.outcome, status=news.status)
        self._emit(events.report(number, news))

    async def _late(self, news: LateReference) -> None:
        if not isinstance(news.token, Token):
            return
        number, part = news.token
        await self._journal.late_reference(news.modem, number, part, news.reference)
        _LOG.info("sms_taken_late", modem=news.modem, journal=number, part=part)
        await self._look_again(number)

    def _key(self, receiver: str) -> str:
        """Return the spelling that the journal knows a receiver by; a short code or a name stays what it is."""
        try:
            return self._numbers.key(receiver)
        except InvalidInput:
            return receiver
