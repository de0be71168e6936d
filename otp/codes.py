"""Say what an answer can say: the four-digit response codes of the OTP family."""

from enum import StrEnum


class ResponseCode(StrEnum):
    """A response code, equal to its four-digit text, so that it goes into JSON unchanged."""

    SUCCESS = "0000"
    SERIAL_PORT_NULL = "1000"
    UNAUTHORIZED = "1100"
    NO_DEVICE_CONNECTED = "1101"
    FAILED = "1102"
    HANDED_OVER = "1111"
    DUPLICATED = "1201"
    INVALID_OTP = "1202"
    EXPIRED = "1203"

    @property
    def meaning(self) -> str:
        """The sentence a human reads."""
        return _MEANINGS[self]

    @property
    def ok(self) -> bool:
        """Whether the command did what was asked, as far as can be known (0000 or 1111)."""
        return self in (ResponseCode.SUCCESS, ResponseCode.HANDED_OVER)

    @classmethod
    def read(cls, value: object) -> "ResponseCode | None":
        """Read a code from an answer; ``None`` when it is none of ours.

        ``"000"``, and the numbers 0 and 1202, are read as well: documents and answers of the family have
        them.
        """
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        text = f"{value:04}" if isinstance(value, int) else value.strip()
        text = "0000" if text == "000" else text
        return cls(text) if text in _VALUES else None


_MEANINGS = {
    ResponseCode.SUCCESS: "Done.",
    ResponseCode.SERIAL_PORT_NULL: "No modem is configured.",
    ResponseCode.UNAUTHORIZED: "The credentials were not accepted.",
    ResponseCode.NO_DEVICE_CONNECTED: "No modem can be used at the moment.",
    ResponseCode.FAILED: "The command failed.",
    ResponseCode.HANDED_OVER: "Handed over for delivery; the outcome is not known.",
    ResponseCode.DUPLICATED: "This was seen before; nothing was sent.",
    ResponseCode.INVALID_OTP: "The code is not valid.",
    ResponseCode.EXPIRED: "The time is over.",
}

_VALUES = frozenset(code.value for code in ResponseCode)
