"""Keep every SIM card within what its owner wants to spend.

Parts are counted by hour, day and month, receivers by day, when the network is about to be handed a part: an attempt
that fails before costs nothing. Whoever has the modem to himself may ask first and count later; nobody else counts for
it meanwhile.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from otp.pi import settings
from otp.pi.journal import Charge

PARTS: Final = "modem_parts"
"""What parts are counted under, by the modem's name."""

RECEIVERS: Final = "modem_receivers"
"""What receivers are counted under, by the modem's name."""


class Budgets(Protocol):
    """What is needed of the journal."""

    async def charge(self, charges: Sequence[Charge], amount: int = 1) -> str | None:
        """Count against budgets; return the scope that is used up, in which case nothing was counted."""
        ...

    async def used(self, scope: str, name: str, span: Literal["hour", "day", "month"]) -> int:
        """Return what was counted in the present window."""
        ...


class Refusal(NamedTuple):
    """Why a message does not fit.

    Attributes:
        quota: The setting, such as ``per_hour``.
        for_all: Nobody else's message fits either: the modem may rest.
    """

    quota: str
    for_all: bool


class Quotas:
    """What modems may still send."""

    __slots__ = ("_budgets",)

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    async def refusal(self, modem: settings.Modem, receiver_key: str, parts: int) -> Refusal | None:
        """Return why a message of so many parts does not fit, ``None`` when it does.

        Raises:
            StorageError: The journal cannot be read.
        """
        for quota, charge in _parts(modem):
            used = await self._budgets.used(PARTS, modem.name, charge.span)
            if used + parts > charge.limit:
                return Refusal(quota, used >= charge.limit)
        return await self._refusal_of_receiver(modem, receiver_key)

    async def count(self, modem: settings.Modem, receiver_key: str) -> None:
        """Count one part to a receiver.

        Raises:
            StorageError: The journal cannot be written.
        """
        charges = [charge for _, charge in _parts(modem)]
        if modem.recipients_per_day:
            charges.append(_receiver(modem, receiver_key))
        if charges:
            await self._budgets.charge(charges)

    async def _refusal_of_receiver(self, modem: settings.Modem, receiver_key: str) -> Refusal | None:
        limit = modem.recipients_per_day
        if not limit or await self._budgets.used(RECEIVERS, modem.name, "day") < limit:
            return None
        # Full: a charge changes nothing now, and tells whether this receiver is among those that were counted.
        refused = await self._budgets.charge([_receiver(modem, receiver_key)])
        return Refusal("recipients_per_day", for_all=False) if refused else None


def _parts(modem: settings.Modem) -> list[tuple[str, Charge]]:
    limits: list[tuple[Literal["hour", "day", "month"], int]] = [
        ("hour", modem.per_hour),
        ("day", modem.per_day),
        ("month", modem.per_month),
    ]
    return [
        (f"per_{span}", Charge(scope=PARTS, name=modem.name, span=span, limit=limit)) for span, limit in limits if limit
    ]


def _receiver(modem: settings.Modem, receiver_key: str) -> Charge:
    return Charge(scope=RECEIVERS, name=modem.name, span="day", limit=modem.recipients_per_day, once_for=receiver_key)
