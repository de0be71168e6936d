"""One shape for every answer: of the publisher's methods, of its REST face and of the receiving end."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from otp.codes import ResponseCode
from otp.errors import OtpError


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """What became of a command.

    Attributes:
        command: The command's name as it was asked for.
        response_code: What the answer says.
        data: What belongs to it, such as ``date_time``, ``receiver`` and ``reference``.
        message: One sentence for a human; never a code, never a message body.
        reason: A token for programs (``rate_limited``, ``invalid_input`` ...); ``None`` after success.
        expires_at: When the code expires, Unix seconds; ``None`` where there is no code.
        resend_after: Seconds to wait before asking again; ``None`` when waiting does not help.
    """

    command: str
    response_code: ResponseCode
    data: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    reason: str | None = None
    expires_at: int | None = None
    resend_after: int | None = None

    def __post_init__(self) -> None:
        """Fill in the sentence where none was given."""
        if not self.message:
            object.__setattr__(self, "message", self.response_code.meaning)

    @property
    def ok(self) -> bool:
        """Whether the code is 0000 or 1111."""
        return self.response_code.ok

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        """Show names and codes only: ``data`` may hold what a modem or a mail answered."""
        shown = {name: getattr(self, name) for name in ("reason", "expires_at", "resend_after")}
        extra = "".join(f", {name}={value!r}" for name, value in shown.items() if value is not None)
        return f"Result({self.command!r}, {self.response_code.value}, data keys {sorted(self.data)}{extra})"

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as JSON types, leaving out what is ``None``."""
        answer: dict[str, Any] = {
            "command": self.command,
            "response_code": self.response_code.value,
            "data": dict(self.data),
            "message": self.message,
        }
        optional = {name: getattr(self, name) for name in ("reason", "expires_at", "resend_after")}
        return answer | {name: value for name, value in optional.items() if value is not None}

    def to_json(self) -> str:
        """Return the answer as one line of ASCII JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def refused(cls, command: str, error: OtpError, data: Mapping[str, Any] | None = None) -> "Result":
        """Return the answer a refusal becomes."""
        return cls(
            command=command,
            response_code=error.code,
            data=dict(data or {}),
            message=str(error),
            reason=error.reason,
            resend_after=error.resend_after,
        )

    @classmethod
    def from_answer(cls, command: str, answer: Mapping[str, Any]) -> "Result":
        """Read the answer of a receiving end, this one's or an older one's.

        Older ones say ``000`` for success, write ``response-code`` with a hyphen, put their text into
        ``error`` or ``error_message``, and leave the code out when they dropped a message: that is a failure
        here.
        """
        found = _first(answer, "response_code", "response-code")
        code = ResponseCode.read(found)
        data = answer.get("data")
        return cls(
            command=_text(answer.get("command")) or command,
            response_code=code or ResponseCode.FAILED,
            data=dict(data) if isinstance(data, Mapping) else {},
            message=_text(_first(answer, "error", "error_message", "message")) or _without_code(code, found),
            reason=_text(answer.get("reason")) or _reason(code),
            expires_at=_number(answer.get("expires_at")),
            resend_after=_number(answer.get("resend_after")),
        )


def _first(answer: Mapping[str, Any], *names: str) -> Any:
    return next((answer[name] for name in names if answer.get(name) is not None), None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _without_code(code: ResponseCode | None, found: object) -> str:
    if code is not None:
        return ""
    return "The answer has no response code." if found is None else "The answer's response code is not known."


def _reason(code: ResponseCode | None) -> str | None:
    if code is None:
        return "unreadable_answer"
    return None if code.ok else code.name.lower()
