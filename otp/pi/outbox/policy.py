"""Decide what follows when a modem did not send a part. Pure.

| what came back                          | sent?       | then                                    | blames |
|-----------------------------------------|-------------|-----------------------------------------|--------|
| port gone, modem not ready              | no          | elsewhere at once; costs no attempt     | modem  |
| no prompt, ``ERROR``, ``+CME ERROR``    | no          | elsewhere at once                       | modem  |
| CMS: no such receiver, or barred        | no          | failed                                  |        |
| CMS: this SIM card or modem             | no          | elsewhere at once                       | modem  |
| CMS: the network, for now               | no          | later, anywhere                         |        |
| CMS 21, 500                             | no          | elsewhere once, then failed             |        |
| CMS 197: the centre has it already      | yes         | sent                                    |        |
| CMS 332                                 | **unknown** | once more, flagged; or final: settings  |        |
| silence or port gone after the body     | **unknown** | once more, flagged; or final: settings  | modem  |

"Elsewhere" is another eligible modem at once; where there is none, any of them after a rest of 5 s, doubling to 60 s.
When parts of the message were sent before, its missing parts are first tried on the same SIM card once more.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from otp.pi.modems.cms import Kind
from otp.pi.modems.status import NotSentError, OutcomeUnknownError


class Action(StrEnum):
    """What is done with the message."""

    FAIL = "fail"
    SENT = "sent"
    UNKNOWN = "unknown"
    ELSEWHERE = "elsewhere"
    ELSEWHERE_ONCE = "elsewhere_once"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Step:
    """What follows a failure.

    Attributes:
        action: What is done with the message.
        blames: The breaker of the modem counts it.
        costs: It uses up one of the message's attempts.
    """

    action: Action
    blames: bool = False
    costs: bool = True


AWAY: Final = frozenset({"unplugged", "not_ready"})
"""Reasons of a modem that was not there: nothing that a message could have to do with."""

_STEPS: Final = {
    Kind.RECIPIENT: Step(Action.FAIL),
    Kind.MODEM: Step(Action.ELSEWHERE, blames=True),
    Kind.NETWORK: Step(Action.LATER),
    Kind.ONCE_ELSEWHERE: Step(Action.ELSEWHERE_ONCE),
    Kind.DUPLICATE_SENT: Step(Action.SENT),
    Kind.UNKNOWN: Step(Action.UNKNOWN),
}


def step(error: NotSentError | OutcomeUnknownError) -> Step:
    """Return what follows when ``submit`` raised this."""
    if isinstance(error, OutcomeUnknownError):
        return Step(Action.UNKNOWN, blames=not error.reason.startswith("cms_"))
    if error.kind is not None:
        return _STEPS[Kind(error.kind)]
    return Step(Action.ELSEWHERE, blames=True, costs=error.reason not in AWAY)


FIRST_REST: Final = 5.0
LONGEST_REST: Final = 60.0
"""Seconds that a message rests before it is tried again, doubling from the first to the longest."""


def rest(times: int) -> float:
    """Return how long a message rests that has rested so often before."""
    return min(FIRST_REST * 2.0 ** min(times, 10), LONGEST_REST)
