"""Hold what a driver has set on a modem since it was switched on."""

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Session:
    """Settings that are gone with the power, and with ``ATZ``.

    Attributes:
        echo: ``ATE``.
        errors: ``+CMEE``.
        routing: ``+CNMI``: mode, mt, bm, ds, bfr.
        service: ``+CSMS``; 1 wants ``+CNMA`` for each message and report.
        registration: ``+CREG``: 1 and 2 tell of changes.
        operator_format: ``+COPS=3``: 0 is the name, 2 the number.
        charset: ``+CSCS``.
        ussd: ``+CUSD``: 1 presents answers.
    """

    echo: bool = True
    errors: int = 0
    routing: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    service: int = 0
    registration: int = 0
    operator_format: int = 0
    charset: str = "IRA"
    ussd: int = 0
