"""Say how a modem is, and in which two ways handing it a message can go wrong."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from otp.pi.modems.cms import Kind


class ModemState(StrEnum):
    """What a modem is up to.

    | state          | means                                                            | may submit |
    |----------------|------------------------------------------------------------------|------------|
    | absent         | its port is not there, is taken, or nothing on it answers        |            |
    | opening        | it is being set up                                               |            |
    | pin_needed     | its SIM card wants a PIN (or PUK) and none is given              |            |
    | pin_wrong      | the PIN given was refused; it is not tried again                 |            |
    | sim_missing    | there is no usable SIM card in it                                |            |
    | not_registered | no network                                                       |            |
    | ready          | registered                                                       | yes        |
    | resting        | left alone after failures                                        |            |
    | stopped        | switched off by the settings, or the service ends                |            |
    """

    ABSENT = "absent"
    OPENING = "opening"
    PIN_NEEDED = "pin_needed"
    PIN_WRONG = "pin_wrong"
    SIM_MISSING = "sim_missing"
    NOT_REGISTERED = "not_registered"
    READY = "ready"
    RESTING = "resting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModemStatus:
    """All that is known of a modem; no PIN and no number of its own.

    Attributes:
        name: From the settings.
        port: Where it was found; empty while it is absent.
        state: See ``ModemState``.
        detail: In words, what is wrong and what to do; empty when nothing is.
        imei, imsi, iccid, smsc, operator, manufacturer, model, revision: As the modem tells; empty while unknown.
        signal: 0 (-113 dBm or less) to 31 (-51 dBm or more); ``None`` while unknown (3GPP TS 27.007, 8.5).
        ber: Bit error rate class 0 to 7; ``None`` while unknown.
        registered: At home or roaming.
        active, sms, default: From the settings.
    """

    name: str
    port: str = ""
    state: ModemState = ModemState.ABSENT
    detail: str = ""
    imei: str = ""
    imsi: str = ""
    iccid: str = ""
    smsc: str = ""
    operator: str = ""
    manufacturer: str = ""
    model: str = ""
    revision: str = ""
    signal: int | None = None
    ber: int | None = None
    registered: bool = False
    active: bool = True
    sms: bool = True
    default: bool = False

    @property
    def rssi_dbm(self) -> int | None:
        """Return the received signal strength in dBm; ``None`` while unknown."""
        return None if self.signal is None else 2 * self.signal - 113

    def to_dict(self) -> dict[str, Any]:
        """Return all of it by name, ready for JSON."""
        return {**asdict(self), "state": self.state.value, "rssi_dbm": self.rssi_dbm}


class NotSentError(Exception):
    """Nothing went out: another modem may be tried at once.

    Attributes:
        reason: Token: ``cms_38``, ``cme_10``, ``error``, ``no_prompt``, ``timeout``, ``unplugged``, ``not_ready``,
            ``no_pdu``; of USSD also those of ``Modem.ussd``.
        cms: Code of ``+CMS ERROR`` (3GPP TS 27.005, 3.2.5); ``None`` where it was something else.
        kind: What ``cms`` is put down to; ``None`` where it was something else.
    """

    def __init__(self, reason: str, *, cms: int | None = None, kind: Kind | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cms = cms
        self.kind = kind


class OutcomeUnknownError(Exception):
    """The message was handed over and nobody said whether it was taken.

    Attributes:
        reason: Token: ``cms_332``, ``timeout``, ``unplugged``, ``no_reference`` (an OK without one).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
