"""Hold the knobs that make an emulated modem misbehave; any of them may be turned while it runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

SilentAt = Literal["", "idle", "prompt", "body"]
DropAt = Literal["", "command", "prompt", "half_body", "body", "result"]
CmsAt = Literal["prompt", "body"]
UssdFormat = Literal["text", "ucs2", "packed"]


@dataclass(frozen=True, slots=True)
class Ussd:
    """An answer of the network to a USSD code, with the menu that may follow it.

    Attributes:
        text: What it says.
        menu: What may be replied, and the answer to that; empty ends the session.
    """

    text: str
    menu: Mapping[str, "Ussd"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Maker:
    """What a manufacturer's modems call themselves, and how they differ.

    Attributes:
        iccid_command: The one command that reads the number of the card.
        boot: Lines that it sends of its own accord once it has started.
    """

    manufacturer: str
    model: str
    revision: str
    iccid_command: str
    boot: tuple[str, ...] = ()


MAKERS: Mapping[str, Maker] = {
    "huawei": Maker("huawei", "E173", "11.126.16.04.00", "^ICCID", ("^BOOT:12345678,0,0,0,77", "^SIMST:1")),
    "simcom": Maker("SIMCOM_Ltd", "SIM800", "Revision:1418B05SIM800L24", "+CCID", ("RDY", "Call Ready", "SMS Ready")),
    "quectel": Maker("Quectel", "EC25", "EC25EFAR06A06M4G", "+QCCID", ("RDY", "+QIND: SMS DONE")),
}


@dataclass(slots=True, kw_only=True)
class Knobs:
    """How an emulated modem behaves; the defaults are a healthy one. Times are in seconds.

    Attributes:
        maker: Whose modem it is: ``huawei``, ``simcom`` or ``quectel``.
        echo: It repeats what it is sent, until ``ATE0``; as every modem does after it is switched on.
        boot: It sends its maker's greeting when it is plugged in.
        chunk: Octets in a write to the port; 0 writes whatever there is at once.
        noise: Lines that come in the middle: before each prompt and final result, and between result and OK.
        unsupported: Commands, such as ``+CNMI``, that it answers with ERROR.
        delay: Time the network takes for a message; the modem hears nothing else meanwhile.
        late_result: The modem goes on at once, but ``+CMGS`` and OK come this much later; infinity is never.
        no_prompt: It waits for the body without saying so.
        silent_at: It goes deaf: at ``idle`` to everything, at the ``prompt``, or after the ``body``; until this knob
            is turned back or it is replugged.
        lost: What it was silent about, or dropped the line over, did not reach the network.
        cms: Code of ``+CMS ERROR`` for the next ``cms_times`` messages; 0 is a plain ERROR.
        cms_times: How many more messages fail; -1 is all.
        cms_at: They fail instead of the prompt, or after the body.
        cms_part: Only this part of long messages fails, from 1; 0 is any message.
        drop_at: It is unplugged, once, at this point: at the command, after the prompt, when half of the body has
            come, after the body, or after ``+CMGS`` and before OK.
        replug_after: It comes back on its own this long after ``drop_at``; ``None`` never.
        sim: There is a SIM card in it.
        pin: PIN of the card; empty asks for none.
        pin_tries: Wrong PINs until the card asks for its PUK.
        puk: The PUK.
        registered: The network has taken it in.
        roaming: The network is another's.
        operator: Name of the network.
        operator_number: Its country and network code.
        signal: 0 to 31, or 99 for not known.
        capacity: Messages the card has room for; the network keeps what comes beyond.
        ussd: Answers to codes; a code that is not in it is not known to the network.
        ussd_format: Answers are plain ``text`` with dcs 15, ``ucs2`` in hexadecimal with dcs 72, or septets
            ``packed`` in hexadecimal with dcs 15, which is also the only way such a modem takes a code.
        ussd_delay: Time until an answer comes; infinity is never.
        reports: The network sends delivery reports to those who ask.
        report_status: TP-Status in them: 0 delivered, 48 still trying, 70 given up.
        report_delay: Time until a report comes.
        acknowledge_within: How long an unacknowledged ``+CDS`` or ``+CMT`` may stay so in service 1 until the modem
            turns them off (27.005, 3.4.1).
    """

    maker: str = "huawei"
    echo: bool = True
    boot: bool = True
    chunk: int = 0
    noise: tuple[str, ...] = ()
    unsupported: Collection[str] = frozenset()
    delay: float = 0.0
    late_result: float = 0.0
    no_prompt: bool = False
    silent_at: SilentAt = ""
    lost: bool = False
    cms: int = 0
    cms_times: int = 0
    cms_at: CmsAt = "body"
    cms_part: int = 0
    drop_at: DropAt = ""
    replug_after: float | None = None
    sim: bool = True
    pin: str = ""
    pin_tries: int = 3
    puk: str = "12345678"
    registered: bool = True
    roaming: bool = False
    operator: str = "TELKOMSEL"
    operator_number: str = "51010"
    signal: int = 18
    capacity: int = 20
    ussd: Mapping[str, Ussd] = field(default_factory=dict)
    ussd_format: UssdFormat = "text"
    ussd_delay: float = 0.0
    reports: bool = True
    report_status: int = 0
    report_delay: float = 0.0
    acknowledge_within: float = 15.0

    def fails(self, at: CmsAt, part: int) -> bool:
        """Tell whether a message fails here, and count it."""
        if not self.cms_times or at != self.cms_at or (self.cms_part and part != self.cms_part):
            return False
        self.cms_times -= self.cms_times > 0
        return True
