"""Sort what a modem answers instead of a reference (3GPP TS 27.005, 3.2.5; 24.011, annex E; 23.040, 9.2.3.22).

| kind           | means                                  | what is done                                     |
|----------------|----------------------------------------|--------------------------------------------------|
| recipient      | this number will never take it         | it failed                                        |
| modem          | this SIM card or modem cannot          | another one now; the breaker counts              |
| network        | the network cannot at the moment       | later, while it is valid                         |
| once_elsewhere | rejected, or unknown                   | once on another SIM card                         |
| duplicate_sent | the service centre has it already      | it is sent                                       |
| unknown        | nobody knows                           | one retry elsewhere, flagged                     |
"""

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a code is put down to; see the table above."""

    RECIPIENT = "recipient"
    MODEM = "modem"
    NETWORK = "network"
    ONCE_ELSEWHERE = "once_elsewhere"
    DUPLICATE_SENT = "duplicate_sent"
    UNKNOWN = "unknown"


_KINDS: Final[dict[Kind, frozenset[int]]] = {
    Kind.RECIPIENT: frozenset({1, 28, 30, 96, 111, 195, 196, 304, 305}),
    Kind.DUPLICATE_SENT: frozenset({197}),
    Kind.MODEM: frozenset({8, 10, 29, 50, 69, 193, 208, *range(300, 304), *range(310, 319), 320, 322, 330, 331}),
    Kind.NETWORK: frozenset({27, 38, 41, 42, 47, 192, 194}),
    Kind.ONCE_ELSEWHERE: frozenset({21, 500}),
    Kind.UNKNOWN: frozenset({332}),
}
_KIND_OF: Final = {code: kind for kind, codes in _KINDS.items() for code in codes}
_FIRST_OF_MANUFACTURERS: Final = 512


def kind(code: int) -> Kind:
    """Return what ``+CMS ERROR: code`` is put down to.

    Codes from 512 on are the manufacturer's and blame the modem. One that no table has is tried once elsewhere.
    """
    return _KIND_OF.get(code, Kind.MODEM if code >= _FIRST_OF_MANUFACTURERS else Kind.ONCE_ELSEWHERE)


_MEANINGS: Final = {
    1: "unassigned number",
    8: "operator determined barring",
    10: "call barred",
    21: "short message transfer rejected",
    27: "destination out of service",
    28: "unidentified subscriber",
    29: "facility rejected",
    30: "unknown subscriber",
    38: "network out of order",
    41: "temporary failure",
    42: "congestion",
    47: "resources unavailable",
    50: "requested facility not subscribed",
    69: "requested facility not implemented",
    96: "invalid mandatory information",
    111: "protocol error",
    192: "service centre busy",
    193: "no service centre subscription",
    194: "service centre system failure",
    195: "invalid short message entity address",
    196: "destination barred",
    197: "duplicate rejected by the service centre",
    208: "SIM storage full",
    300: "modem failure",
    301: "SMS service of the modem reserved",
    302: "operation not allowed",
    303: "operation not supported",
    304: "invalid PDU parameter",
    305: "invalid text parameter",
    310: "SIM not inserted",
    311: "SIM PIN required",
    312: "phone-SIM PIN required",
    313: "SIM failure",
    314: "SIM busy",
    315: "SIM wrong",
    316: "SIM PUK required",
    317: "SIM PIN2 required",
    318: "SIM PUK2 required",
    320: "memory failure",
    322: "memory full",
    330: "service centre address unknown",
    331: "no network service",
    332: "network timeout",
    500: "unknown error",
}


def meaning(code: int) -> str:
    """Return what a code means, in a few words."""
    if code >= _FIRST_OF_MANUFACTURERS:
        return "error of the manufacturer's own"
    return _MEANINGS.get(code, "error of no known meaning")
