"""Answer what applications ask of modems besides sending: the list of them, and USSD.

The list has the keys that readers of the family's older gateway know. It shows no number of a SIM card's owner, no PIN
and no password.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from otp.codes import ResponseCode
from otp.errors import InvalidInput
from otp.incoming import Incoming
from otp.pi import answers
from otp.pi.modems.news import UssdAnswer
from otp.pi.modems.status import ModemState, ModemStatus, NotSentError
from otp.results import Result

_USSD_CODE = re.compile(r"[0-9*#+]{1,64}")


class Modem(Protocol):
    """What is needed of a modem."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    async def ussd(self, code: str) -> UssdAnswer:
        """Ask the network."""
        ...


class Modems(Protocol):
    """What is needed of the pool."""

    @property
    def configured(self) -> bool:
        """Whether there is any modem for messages."""
        ...

    def statuses(self) -> Sequence[ModemStatus]:
        """Return how each modem is."""
        ...

    def find(self, modem_id: str) -> Modem | None:
        """Return a modem by name, IMEI or IMSI."""
        ...


class Telephony:
    """Modems, as applications see them."""

    def __init__(self, modems: Modems) -> None:
        self._modems = modems

    def modem_list(self) -> dict[str, dict[str, Any]]:
        """Return every modem by its name."""
        return {status.name: _entry(status) for status in self._modems.statuses()}

    async def ussd(self, incoming: Incoming) -> Result:
        """Ask the network through the modem that is named, or else through the first that is ready."""
        code = incoming.ussd_code.strip()
        about = {**incoming.about(), **({"modem_id": incoming.modem_id} if incoming.modem_id else {})}
        name = incoming.modem_id or next((each.name for each in self._modems.statuses() if _ready(each)), "")
        modem = self._modems.find(name) if name else None
        if modem is None:
            return self._nobody(incoming, about)
        try:
            answer = await modem.ussd(code)
        except NotSentError as error:
            text = f"Modem {modem.name} got no answer: {error.reason.replace('_', ' ')}."
            return Result(incoming.command, ResponseCode.FAILED, about, text, error.reason)
        data = {
            **about,
            "modem_id": modem.name,
            "ussd_content": answer.text,
            "ussd_content_raw": answer.raw,
            "replyable": answer.replyable,
        }
        return Result(incoming.command, ResponseCode.SUCCESS, data)

    def _nobody(self, incoming: Incoming, about: dict[str, Any]) -> Result:
        if incoming.modem_id:
            text = "There is no modem of this name; get-modem-list has them all."
            return Result(incoming.command, ResponseCode.FAILED, about, text, "unknown_modem")
        reason = answers.NO_MODEM if self._modems.statuses() else answers.NO_MODEM_CONFIGURED
        code = ResponseCode.NO_DEVICE_CONNECTED if self._modems.statuses() else ResponseCode.SERIAL_PORT_NULL
        return Result(incoming.command, code, about, answers.sentence(reason), reason)


def check_ussd(code: str) -> None:
    """Refuse what is no USSD code.

    Raises:
        InvalidInput: It has other signs than digits, ``*``, ``#`` and ``+``, or more than 64.
    """
    if not _USSD_CODE.fullmatch(code.strip()):
        raise InvalidInput("ussd_code must be 1 to 64 of the signs 0-9 * # +, such as *123#.")


def _ready(status: ModemStatus) -> bool:
    return status.state is ModemState.READY


_CONDITIONS = ((20, "excellent"), (15, "good"), (10, "ok"), (2, "marginal"))


def _entry(status: ModemStatus) -> dict[str, Any]:
    return {
        "id": status.name,
        "name": status.name,
        "port": status.port,
        "state": status.state.value,
        "detail": status.detail,
        "connected": status.state not in {ModemState.ABSENT, ModemState.OPENING, ModemState.STOPPED},
        "registered": status.registered,
        "active": status.active,
        "internetAccess": False,
        "internetConnected": False,
        "defaultModem": status.default,
        "smsAPI": status.sms,
        "copsOperator": status.operator,
        "imei": status.imei,
        "imsi": status.imsi,
        "iccid": status.iccid,
        "smsCenter": status.smsc,
        "manufacturer": status.manufacturer,
        "model": status.model,
        "revision": status.revision,
        "signalStrength": _signal(status),
    }


def _signal(status: ModemStatus) -> dict[str, Any]:
    """Return the signal with its value of +CSQ (3GPP TS 27.007, 8.5), in dBm and in a word."""
    value = status.signal
    condition = "unknown" if value is None else next((word for least, word in _CONDITIONS if value >= least), "poor")
    return {
        "value": value,
        "rssi": status.rssi_dbm,
        "condition": condition,
        "class": condition,
        "ber": status.ber,
    }
