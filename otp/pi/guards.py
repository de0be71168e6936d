"""Limit what one key that leaked can cost: where messages may go, how many, and when somebody is told.

Where (``guards.countries``; empty allows everything):

| receiver                                          | with a list                                             |
|---------------------------------------------------|---------------------------------------------------------|
| number of a country on the list                   | allowed; +62 allows by calling code, ID by region       |
| number of another country                         | refused: ``country``                                    |
| short code, national number without a region      | refused: ``country``, since no country is known         |
| mail address                                      | allowed: mail costs nothing a country decides           |

A region is narrower than its calling code: US refuses the Caribbean numbers that +1 lets through.

How many (0 is no limit); a scope is the name of its setting without ``per_``:

| scope                         | counted for each                                      | mail |
|-------------------------------|-------------------------------------------------------|------|
| receiver_hour, receiver_day   | receiver                                              | yes  |
| prefix_hour                   | number without its last four digits                   | no   |
| user_hour, user_day           | API user, or road where the road tells no user        | yes  |
| total_hour, total_day         | everything                                            | yes  |
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Final, Literal

from otp.errors import InvalidInput, MissingExtra
from otp.numbers import Numbers
from otp.pi import settings
from otp.pi.journal import Charge
from otp.pi.model import Channel

COUNTRY: Final = "country"
"""Why a number that is not of an allowed country is refused."""

BUDGET: Final = "budget:"
"""What stands before the scope when the journal refuses a message because a budget is used up."""

EVERYTHING: Final = "all"
"""The name that the totals are counted under."""

Span = Literal["hour", "day"]
_SECONDS: Final[Mapping[Span, int]] = {"hour": 3600, "day": 86_400}
_SPANS: Final[tuple[Span, ...]] = ("hour", "day")
_LAST_DIGITS: Final = 4


class Guards:
    """What may be sent to whom, and how much; holds no counters.

    Args:
        limits: The table ``[guards]``.
        numbers: How receivers are read.

    Raises:
        InvalidInput: An entry of ``countries`` is neither a calling code nor a region.
        MissingExtra: There are countries, and ``phonenumbers`` is not installed.
    """

    __slots__ = ("_limits", "_numbers", "_places")

    def __init__(self, limits: settings.Guards, numbers: Numbers) -> None:
        self._limits = limits
        self._numbers = numbers
        self._places = _Places(limits.countries) if limits.countries else None

    def check(self, receiver: str, channel: Channel) -> str | None:
        """Return why a message may not go to a receiver: ``COUNTRY``; ``None`` when it may.

        Args:
            receiver: Any spelling of it, or its key.
            channel: What would carry the message.
        """
        if channel is not Channel.SMS or self._places is None:
            return None
        return None if self._places.have(self._numbers.key(receiver)) else COUNTRY

    def charges(self, receiver_key: str, user: str, channel: Channel) -> list[Charge]:
        """Return the budgets that a message counts against, the ones without a limit left out.

        Args:
            receiver_key: The receiver in the one spelling that counters go by.
            user: The API user; where the road tells none, the name of the road.
            channel: What carries the message.
        """
        names = {"receiver": receiver_key, "user": user, "total": EVERYTHING}
        if channel is Channel.SMS and (prefix := receiver_key[:-_LAST_DIGITS].lstrip("+")):
            names["prefix"] = prefix
        return [
            Charge(scope=scope, name=names[kind], span=span, limit=limit)
            for scope, kind, span, limit in _budgets(self._limits)
            if kind in names
        ]


class _Places:
    """The countries on the list.

    Attributes:
        codes: Calling codes with their plus. No calling code begins with another one, so a prefix decides.
        regions: ISO 3166 codes.
    """

    __slots__ = ("codes", "regions")

    def __init__(self, entries: Iterable[str]) -> None:
        library = _phonenumbers()
        codes, regions = set(), set()
        for entry in entries:
            bare = entry.lstrip("+").upper()
            if bare.isascii() and bare.isdecimal() and int(bare) in library.COUNTRY_CODE_TO_REGION_CODE:
                codes.add(f"+{int(bare)}")
            elif bare in library.SUPPORTED_REGIONS:
                regions.add(bare)
            else:
                raise InvalidInput(
                    f"guards.countries: {entry!r} is neither a calling code such as +62 nor a region such as ID."
                )
        self.codes, self.regions = tuple(codes), frozenset(regions)

    def have(self, key: str) -> bool:
        """Tell whether a number, E.164 where it is known where it belongs, is of a country on the list."""
        if not key.startswith("+"):
            return False
        return key.startswith(self.codes) or bool(self.regions and _region(key) in self.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Somebody should be told about a budget.

    Attributes:
        event: ``budget_near`` once the alarm mark is passed, ``budget_used_up`` once a message was refused.
        scope: As in the table above.
        name: The API user or road of a user's budget; empty for the others, so that no receiver leaves the house.
        limit: Messages in the window.
        used: Messages sent in it so far; the limit once it is used up.
    """

    event: Literal["budget_near", "budget_used_up"]
    scope: str
    name: str = ""
    limit: int
    used: int


class Alarms:
    """Decide whether an alarm is due: once for each budget, event and window, whatever the number of messages.

    A user's budget raises its own alarm. Those of receivers and prefixes share one for each scope: who tries a thousand
    numbers shall not cause a thousand alarms.

    Args:
        limits: The table ``[guards]``.
    """

    __slots__ = ("_budgets", "_limits", "_raised")

    def __init__(self, limits: settings.Guards) -> None:
        self._limits = limits
        self._budgets = {scope: (span, limit) for scope, _, span, limit in _budgets(limits)}
        self._raised: dict[tuple[str, str, str], int] = {}  # (event, scope, name) -> window of the last alarm

    def near(self, used: Mapping[str, int], now: float) -> list[Alarm]:
        """Return the alarms that are due because the totals have passed ``alarm_at`` percent.

        Args:
            used: Messages in the present window by scope, of ``total_hour`` and ``total_day`` those that have a limit.
            now: Unix seconds.
        """
        due = (self._near(scope, count) for scope, count in used.items() if scope in self._budgets)
        return [alarm for alarm in due if alarm and self._first(alarm, now)]

    def used_up(self, reason: str, user: str, now: float) -> Alarm | None:
        """Return the alarm that is due because a message was refused; ``None`` when it was raised before.

        Args:
            reason: Why, as the journal says it: ``budget:`` and the scope. Any other reason raises nothing.
            user: The API user, or road, whose message it was.
            now: Unix seconds.
        """
        scope = reason.removeprefix(BUDGET)
        if scope == reason or scope not in self._budgets:
            return None
        limit = self._budgets[scope][1]
        name = user if scope.startswith("user_") else ""
        alarm = Alarm(event="budget_used_up", scope=scope, name=name, limit=limit, used=limit)
        return alarm if self._first(alarm, now) else None

    def _near(self, scope: str, used: int) -> Alarm | None:
        limit = self._budgets[scope][1]
        if used * 100 < limit * self._limits.alarm_at:
            return None
        return Alarm(event="budget_near", scope=scope, limit=limit, used=used)

    def _first(self, alarm: Alarm, now: float) -> bool:
        """Tell whether an alarm is the first of its kind in the window, and remember that it was raised."""
        window = int(now // _SECONDS[self._budgets[alarm.scope][0]])
        key = (alarm.event, alarm.scope, alarm.name)
        if self._raised.get(key) == window:
            return False
        self._raised[key] = window
        return True


def _budgets(limits: settings.Guards) -> Iterator[tuple[str, str, Span, int]]:
    """Yield scope, kind, span and limit of every budget that has a limit."""
    for kind, span in itertools.product(("receiver", "prefix", "user", "total"), _SPANS):
        scope = f"{kind}_{span}"
        name = scope if kind == "total" else f"per_{scope}"
        limit = getattr(limits, name, 0)  # there is no per_prefix_day
        if limit:
            yield scope, kind, span, limit


def _region(key: str) -> str | None:
    """Return the region of a number, ``None`` where its numbering plan does not tell."""
    library = _phonenumbers()
    try:
        parsed = library.parse(key, None)
    except library.NumberParseException:
        return None
    region: str | None = library.region_code_for_number(parsed)
    return region


def _phonenumbers() -> ModuleType:
    """Import ``phonenumbers`` only where a list of countries needs it."""
    try:
        return import_module("phonenumbers")
    except ImportError:
        raise MissingExtra("guards.countries needs phonenumbers: pip install 'wsmessagebroker[pi]'") from None
