"""Name what everything in here talks about: a message on its way out, its states, where it came from.

| state       | means                                                          | final | body kept |
|-------------|----------------------------------------------------------------|-------|-----------|
| queued      | stored; waits for a modem or a mail account                    |       | yes       |
| routed      | has been given to a modem or an account, nothing was sent yet  |       | yes       |
| sending     | the body is being handed over: a crash now leaves it unknown   |       | yes       |
| unknown     | the body was handed over and nobody said whether it was taken  |       | yes       |
| sent        | the network or the mail server took all of it                  | yes   |           |
| delivered   | the receiver's telephone confirmed all parts                   | yes   |           |
| undelivered | the network gave up on at least one part                       | yes   |           |
| failed      | it was not sent, and will not be                               | yes   |           |
| expired     | its time was over before it was sent                           | yes   |           |
| blocked     | the receiver is on the block list, or a guard refused it       | yes   |           |
| duplicate   | the same message was taken before                              | yes   |           |
| rejected    | it was no command                                              | yes   |           |
| done        | a command that sends nothing was carried out                   | yes   |           |

``unknown`` is final once its one retry is used up, or where the settings forbid one; ``sent`` may still become
``delivered`` or ``undelivered``.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Where a message is on its way; see the table above."""

    QUEUED = "queued"
    ROUTED = "routed"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    EXPIRED = "expired"
    BLOCKED = "blocked"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    DONE = "done"


WAITING = frozenset({State.QUEUED, State.ROUTED, State.SENDING})
"""States in which a message still has its body and may be sent."""

FINAL = frozenset(State) - WAITING - {State.UNKNOWN}
"""States in which only a hash and the length of the body remain."""


class Channel(StrEnum):
    """What carries a message out of the house."""

    SMS = "sms"
    MAIL = "mail"
    NONE = "none"
    """A command that sends nothing, such as ``block-msisdn``."""


class Priority:
    """The order in which messages that wait are sent: lower first."""

    OTP = 0
    """Codes: somebody sits before a login form."""
    OTHER = 1


Reply = Callable[[str, bytes], Awaitable[None]]
"""Publishes an answer on a topic of the road a command came over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a command came from.

    Attributes:
        road: ``rest``, ``local`` (the command line), or an input's name such as ``amqp`` or ``mqtt-2``.
        user: The account that asked, where the road tells; else empty.
        reply: How to answer on a topic; ``None`` where the answer goes back at once.
    """

    road: str
    user: str = ""
    reply: Reply | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message as it is put into the journal.

    Attributes:
        command: Name of the command as received.
        channel: What carries it.
        receiver: As it will be dialled or written to.
        receiver_key: The one spelling that block list, budgets and duplicates go by.
        text: The body; sealed in the journal, gone once the state is final.
        subject: Of a mail; sealed like the body.
        message_id: The sender's ``id``; may be empty.
        origin: Road and user.
        arrived: Unix seconds.
        deadline: Unix seconds after which it must not be sent.
        priority: See ``Priority``.
    """

    command: str
    channel: Channel
    receiver: str
    receiver_key: str
    text: str = field(repr=False)
    subject: str = field(default="", repr=False)
    message_id: str = ""
    origin: Origin
    arrived: float
    deadline: float
    priority: int = Priority.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that waits, as the journal returns it: what is needed to send it.

    Attributes:
        number: Row of the journal; ascending in order of arrival.
        text, subject: Opened; empty once the state is final.
        attempts: How often it was given to a modem or account so far.
        possible_duplicate: It may have been sent before: the one retry after ``unknown``.
        sent_parts: Indexes from 0 of the parts that modem ``modem`` has already sent, of a long SMS.
        modem: Who sent those parts, or sent it all; empty before.
        reference: The concatenation reference of a long SMS (0 to 255), the same on every attempt.
    """

    number: int
    command: str
    channel: Channel
    receiver: str
    receiver_key: str
    text: str = field(repr=False)
    subject: str = field(default="", repr=False)
    message_id: str
    road: str
    user: str
    arrived: float
    deadline: float
    priority: int
    state: State
    attempts: int = 0
    possible_duplicate: bool = False
    sent_parts: tuple[int, ...] = ()
    modem: str = ""
    reference: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a message ended, or where it stands when nobody waits any longer.

    Attributes:
        number: Row of the journal.
        state: Its state.
        modem: Modem or mail account that took it; empty where none did.
        reason: A token such as ``no_modem``, ``cms_38``, ``expired``; empty when it was sent.
        references: The network's message references of an SMS, one a part.
        possible_duplicate: It may have arrived twice.
    """

    number: int
    state: State
    modem: str = ""
    reason: str = ""
    references: tuple[int, ...] = ()
    possible_duplicate: bool = False


class RejectedError(Exception):
    """A payload is no command and never will be; it stands in the journal. An input refuses it for good."""


class UnstoredError(Exception):
    """A command could not be stored. It must not be acknowledged; its road will bring it again."""
