"""Name every refusal of the OTP path, with the response code it becomes.

| error              | code | reason                | whose move is next                              |
|--------------------|------|-----------------------|-------------------------------------------------|
| InvalidInput       | 1102 | invalid_input         | the caller: the text says which field and why   |
| InvalidMessage     | 1102 | invalid_message       | the sender of a command that cannot be read     |
| DuplicateReference | 1201 | duplicate_reference   | the caller: use another reference, or resend    |
| RateLimited        | 1102 | rate_limited          | wait ``resend_after`` seconds                   |
| UnknownCode        | 1202 | invalid_otp           | create a code first                             |
| ExpiredCode        | 1203 | expired               | create a new code                               |
| StoreError         | 1102 | store_unavailable     | the operator                                    |
| KeyFileError       | 1102 | key_file              | the operator                                    |
| MissingExtra       | 1102 | missing_extra         | the operator: the text has the pip command      |

The text of an error never holds a code, a message body, a key or a whole receiver.
"""

from typing import ClassVar

from otp.codes import ResponseCode


class OtpError(Exception):
    """A refusal.

    Attributes:
        code: The response code it becomes.
        reason: A token for programs and metrics.
        resend_after: Seconds to wait before trying again, where waiting helps.
    """

    code: ClassVar[ResponseCode] = ResponseCode.FAILED
    reason: str = "failed"
    resend_after: int | None = None


class InvalidInput(OtpError, ValueError):  # noqa: N818 - named after what is wrong, as a caller reads it
    """A field has the wrong type, is missing, or is out of range."""

    reason = "invalid_input"


class InvalidMessage(InvalidInput):
    """A received command cannot be carried out as it stands.

    Attributes:
        command: The command's name as received, empty where none could be read; it belongs in the answer.
    """

    reason = "invalid_message"

    def __init__(self, text: str, *, command: str = "", reason: str = "invalid_message") -> None:
        super().__init__(text)
        self.command = command
        self.reason = reason


class DuplicateReference(OtpError):  # noqa: N818 - as above
    """The reference has a code already."""

    code = ResponseCode.DUPLICATED
    reason = "duplicate_reference"


class RateLimited(OtpError):  # noqa: N818 - as above
    """Too many codes for one receiver, or a resend too early."""

    reason = "rate_limited"

    def __init__(self, text: str, *, resend_after: int | None) -> None:
        super().__init__(text)
        self.resend_after = resend_after


class UnknownCode(OtpError):  # noqa: N818 - as above
    """There is no open code for this reference and receiver."""

    code = ResponseCode.INVALID_OTP
    reason = "invalid_otp"


class ExpiredCode(OtpError):  # noqa: N818 - as above
    """The code's time is over."""

    code = ResponseCode.EXPIRED
    reason = "expired"


class StoreError(OtpError):
    """The store cannot be opened, read or written."""

    reason = "store_unavailable"


class KeyFileError(StoreError):
    """The key file cannot be used as it stands."""

    reason = "key_file"


class MissingExtra(OtpError, ImportError):  # noqa: N818 - as above
    """An optional library is not installed."""

    reason = "missing_extra"
