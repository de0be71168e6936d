"""Say what a modem brings unasked: received messages, delivery reports, and references that came too late."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An SMS that came in, its parts joined.

    Attributes:
        modem: Name of the modem.
        sender: As the network gave it: a number, or letters.
        text: All of it, or of one part when ``part`` is not 0.
        sent_at: Time stamp of the service centre, Unix seconds.
        part: 0 when the message is whole; else the number of this part, from 1: the others did not come in time.
        total: How many parts the message was sent in.
    """

    modem: str
    sender: str = field(repr=False)
    text: str = field(repr=False)
    sent_at: float
    part: int = 0
    total: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What the network says became of a part that was sent.

    Attributes:
        modem: Name of the modem.
        reference: What ``submit`` returned for the part, 0 to 255.
        receiver: As it stands in the report.
        outcome: ``delivered``, ``pending`` (it goes on trying) or ``failed``.
        status: TP-Status of 3GPP TS 23.040, 9.2.3.15.
        at: When it was decided, Unix seconds.
    """

    modem: str
    reference: int
    receiver: str = field(repr=False)
    outcome: str
    status: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LateReference:
    """The network took a part after all, when nobody waited any longer: its outcome is no longer unknown.

    Attributes:
        modem: Name of the modem.
        token: What was given to ``submit``.
        reference: What ``submit`` would have returned.
    """

    modem: str
    token: object
    reference: int


News = Received | Reported | LateReference


@dataclass(frozen=True, slots=True, kw_only=True)
class UssdAnswer:
    """What the network answered to a USSD code.

    Attributes:
        text: Decoded.
        raw: The line as the modem gave it.
        replyable: The network waits for a further code.
        dcs: Data coding scheme of 3GPP TS 23.038, section 5; ``None`` where the modem gave none.
    """

    text: str = field(repr=False)
    raw: str = field(repr=False)
    replyable: bool
    dcs: int | None
