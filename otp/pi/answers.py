"""Say in response codes what became of a message.

| outcome                                   | code | reason                         |
|-------------------------------------------|------|--------------------------------|
| sent, delivered                           | 0000 |                                |
| unknown, or still waiting                 | 1111 | ``outcome_unknown`` ``queued`` |
| no modem configured                       | 1000 | ``no_modem_configured``        |
| no modem that works                       | 1101 | ``no_modem``                   |
| seen before                               | 1201 | ``duplicate``                  |
| its time was over                         | 1203 | ``expired``                    |
| blocked, refused by a guard, failed       | 1102 | which block, guard or failure  |
"""

import re
from typing import Any

from otp.codes import ResponseCode
from otp.incoming import Incoming
from otp.pi.model import Outcome, State
from otp.pi.modems import cms
from otp.results import Result

NO_MODEM_CONFIGURED = "no_modem_configured"
NO_MODEM = "no_modem"

_CODES = {
    State.SENT: ResponseCode.SUCCESS,
    State.DELIVERED: ResponseCode.SUCCESS,
    State.DONE: ResponseCode.SUCCESS,
    State.QUEUED: ResponseCode.HANDED_OVER,
    State.ROUTED: ResponseCode.HANDED_OVER,
    State.SENDING: ResponseCode.HANDED_OVER,
    State.UNKNOWN: ResponseCode.HANDED_OVER,
    State.DUPLICATE: ResponseCode.DUPLICATED,
    State.EXPIRED: ResponseCode.EXPIRED,
}

_CODES_OF_REASONS = {
    NO_MODEM_CONFIGURED: ResponseCode.SERIAL_PORT_NULL,
    NO_MODEM: ResponseCode.NO_DEVICE_CONNECTED,
}

_NETWORK = re.compile(r"cms_(\d+)")

_SENTENCES = {
    "outcome_unknown": "It was handed to the network, which did not say whether it took it.",
    "queued": "It is stored and will be sent; nobody waited for the outcome.",
    NO_MODEM_CONFIGURED: "No modem is configured: add a [[modem]] to the settings.",
    NO_MODEM: "No modem that could send this works at the moment; `otp-pi modems` shows why.",
    "no_mail_account": "No mail account is configured: add a [[mail]] to the settings.",
    "duplicate": "The same message was taken before; it was not sent again.",
    "expired": "Its time was over before it could be sent.",
    "blocked": "The receiver is on the block list.",
    "country": "The receiver's country is not among those that messages may go to.",
    "budget": "A budget is used up.",
    "attempts": "All attempts failed.",
}


def of_outcome(incoming: Incoming, outcome: Outcome) -> Result:
    """Return the answer to a command whose message came to ``outcome``."""
    reason = outcome.reason or _REASONS_OF_STATES.get(outcome.state)
    code = _CODES.get(outcome.state) or _CODES_OF_REASONS.get(outcome.reason, ResponseCode.FAILED)
    data: dict[str, Any] = {**incoming.about(), "journal": outcome.number}
    if outcome.modem:
        data["modemID"] = outcome.modem
    if outcome.references:
        data["result"] = "+CMGS: " + ",".join(str(reference) for reference in outcome.references)
    if outcome.possible_duplicate:
        data["possible_duplicate"] = True
    if code is ResponseCode.SUCCESS:
        return Result(incoming.command, code, data, _sent(outcome))
    return Result(incoming.command, code, data, sentence(reason), reason)


_REASONS_OF_STATES = {
    State.UNKNOWN: "outcome_unknown",
    State.QUEUED: "queued",
    State.ROUTED: "queued",
    State.SENDING: "queued",
    State.DUPLICATE: "duplicate",
    State.EXPIRED: "expired",
    State.BLOCKED: "blocked",
}


def sentence(reason: str | None) -> str:
    """Return words for a reason; a token that has none of its own is shown as it is."""
    family, _, cause = (reason or "no reason was given").partition(":")
    network = _NETWORK.fullmatch(cause or family)
    said = f" The network said: {cms.meaning(int(network[1]))} ({network[1]})." if network else ""
    if family in _SENTENCES:
        return _SENTENCES[family] + said
    return "It was not sent." + said if said else f"It was not sent: {family.replace('_', ' ')}."


def _sent(outcome: Outcome) -> str:
    if outcome.state is State.DELIVERED:
        return "It was delivered."
    extra = " It may arrive twice." if outcome.possible_duplicate else ""
    return f"It was sent by {outcome.modem}.{extra}" if outcome.modem else f"It was sent.{extra}"


def to_json(result: Result) -> dict[str, Any]:
    """Return an answer as JSON types; a failure has its sentence as ``error`` too, where older callers look."""
    answer = result.to_dict()
    return answer if result.ok else {**answer, "error": result.message}
