"""Draw from a seed what is sent and what is killed when. Pure: the same seed is the same plan."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

ROADS = ("amqp", "mqtt")
PARTS = ("pi", "modems", "rabbit", "mosquitto")

METERS = {"pi": ("stored", "stored", "sent"), "modems": ("sent",), "mosquitto": ("confirmed-mqtt",)}
"""What messages do at a part."""

LONG = 3600
HURRIED = 590
"""Seconds that messages are good for; with the shorter time those with a code in them go before the others."""

_HASTY = 0.02
_TWICE = 0.1
_BOTH_ROADS = 0.03
"""Parts of the messages: good for moments only; published again though confirmed; published on the other road too."""

_SECOND_KILL = {"pi": 0.6, "modems": 0.3, "mosquitto": 0.3}
_ROUND = 7.0
"""Seconds in which a round's blows fall: about what RabbitMQ takes to be back."""


@dataclass(frozen=True, slots=True)
class Text:
    """A message that an application sends.

    Attributes:
        receiver: No two messages have the same.
        life: Seconds from its publication that it is good for.
        roads: Which it is published on, and how often.
    """

    number: int
    receiver: str
    text: str
    life: int
    roads: tuple[str, ...]

    @property
    def hasty(self) -> bool:
        """Whether it may expire before it can be sent."""
        return self.life < HURRIED


@dataclass(frozen=True, slots=True)
class Blow:
    """A kill.

    Attributes:
        part: Who is killed.
        after: Seconds from the start of the round, or from the blow before, at most.
        meter: Where messages are counted: ``confirmed-amqp``, ``confirmed-mqtt``, ``stored`` or ``sent``.
        messages: It falls earlier, as soon as so many have been counted in that time.
        down: Seconds until it is started again.
    """

    part: str
    meter: str
    after: float
    messages: int
    down: float


@dataclass(frozen=True, slots=True)
class Round:
    """What happens between two moments at which everything is up.

    Attributes:
        texts: With the second of the round at which they are published.
        blows: By part, one after the other.
    """

    texts: tuple[tuple[float, Text], ...]
    blows: dict[str, tuple[Blow, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything.

    Attributes:
        texts: All messages of all rounds.
    """

    seed: int
    rounds: tuple[Round, ...]

    @property
    def texts(self) -> list[Text]:
        """All messages."""
        return [text for each in self.rounds for _, text in each.texts]


def draw(seed: int, *, messages: int = 500, kills: int = 20) -> Plan:
    """Return the plan of a seed.

    Args:
        seed: Any number.
        messages: How many in all, half of them on each road.
        kills: How often each part is killed at least; so many rounds there are.
    """
    chance = random.Random(seed)
    texts = [_text(chance, number, ROADS[number % 2]) for number in range(messages)]
    shares = [texts[messages * place // kills : messages * (place + 1) // kills] for place in range(kills)]
    return Plan(seed, tuple(_round(chance, share) for share in shares))


def _text(chance: random.Random, number: int, road: str) -> Text:
    roads = [road] * (2 if chance.random() < _TWICE else 1)
    if chance.random() < _BOTH_ROADS:
        roads.append(next(other for other in ROADS if other != road))
    life = chance.randint(1, 5) if chance.random() < _HASTY else chance.choice((LONG, HURRIED))
    return Text(number, f"+62812{30_000_000 + number}", _words(chance, number), life, tuple(roads))


def _words(chance: random.Random, number: int) -> str:
    """Return a text that no other message has: most are short, some are not GSM-7, some are long."""
    code = f"{chance.randrange(10**6):06}"
    kind = chance.random()
    if kind < 0.8:
        return f"Your code is {code} (message {number})"
    if kind < 0.9:
        return f"رمزك {code} é 🔑 (message {number})"
    return f"Message {number}, code {code}: " + "the quick brown fox jumps over it; " * chance.randint(5, 9)


def _round(chance: random.Random, texts: Sequence[Text]) -> Round:
    timed = tuple((chance.choice((0.0, chance.uniform(0, _ROUND * 0.6))), text) for text in texts)
    return Round(timed, {part: tuple(_blows(chance, part)) for part in PARTS})


def _blows(chance: random.Random, part: str) -> list[Blow]:
    """Return one blow, or two; RabbitMQ takes so long to start that there is only one, and that early."""
    if part == "rabbit":
        return [Blow(part, "confirmed-amqp", chance.uniform(0.5, 3.0), chance.randint(1, 12), 0.0)]
    count = 2 if chance.random() < _SECOND_KILL[part] else 1
    return [_blow(chance, part, _ROUND / count) for _ in range(count)]


def _blow(chance: random.Random, part: str, latest: float) -> Blow:
    """Return a blow that falls in the middle of what the part does, or at any other moment."""
    meter = chance.choice(METERS[part])
    messages = chance.choice((chance.randint(1, 8), chance.randint(1, 8), 10**6))
    return Blow(part, meter, chance.uniform(0.5, latest), messages, _down(chance))


def _down(chance: random.Random) -> float:
    return chance.choice((0.0, chance.uniform(0.0, 1.5)))
