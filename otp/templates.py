"""Put a code into a message text: exactly one place for it, and nothing else is ever formatted.

| in the text        | becomes                                                         |
|--------------------|-----------------------------------------------------------------|
| ``%s`` or {code}   | the code; exactly one of the two, exactly once                  |
| ``%%``             | one percent sign                                                |
| any other ``%``    | itself (``100% %s`` keeps its percent sign and its code)        |

Two additions let a phone read the code by itself; both are for SMS only, and only one fits into a message:

- WebOTP (https://wicg.github.io/sms-one-time-codes/): the last line is ``@example.com #123456``.
- SMS Retriever (https://developers.google.com/identity/sms-retriever/verify): the last line is the app's
  11-character hash, and the whole message has at most 140 bytes.
"""

import re
from dataclasses import dataclass

from otp import fields
from otp.errors import InvalidInput

RETRIEVER_BYTES = 140
"""The longest message the SMS Retriever reads, in UTF-8 bytes."""

_PIECE = re.compile(r"%%|%s|\{code\}")
_LONE_PERCENT = re.compile(r"%%|%s|%")
_PLACES = ("%s", "{code}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_APP_HASH = re.compile(r"[A-Za-z0-9+/]{11}")


@dataclass(frozen=True, slots=True, repr=False)
class Template:
    """A message text with one place for the code.

    Attributes:
        text: The text, with ``%s`` or ``{code}`` once.
        webotp_domain: The web site whose page may read the code, such as ``example.com``; ``None`` for none.
        app_hash: The 11-character hash of the Android app that may read it; ``None`` for none.
    """

    text: str
    webotp_domain: str | None = None
    app_hash: str | None = None

    def __post_init__(self) -> None:
        """Check all three parts.

        Raises:
            InvalidInput: The text has no place for the code or several, or an addition is malformed.
        """
        _check_places(fields.text(self.text, "message", limit=fields.MAX_EMAIL))
        if self.webotp_domain is not None and self.app_hash is not None:
            raise InvalidInput("webotp_domain and app_hash both claim the last line; give one of them.")
        if self.webotp_domain is not None and not _DOMAIN.fullmatch(self.webotp_domain):
            raise InvalidInput("webotp_domain must be a host name such as example.com, without scheme or path.")
        if self.app_hash is not None and not _APP_HASH.fullmatch(self.app_hash):
            raise InvalidInput("app_hash must be the app's 11-character hash (letters, digits, + and /).")

    def __repr__(self) -> str:
        return f"<Template of {len(self.text)} characters>"

    def render(self, code: str, *, sms: bool = True) -> str:
        """Return the message with the code in its place.

        Args:
            code: The code.
            sms: Whether it travels as an SMS: only then it gets a last line, and must not be too long for one.

        Raises:
            InvalidInput: The finished message is longer than its channel or the SMS Retriever allows.
        """
        values = {"%%": "%", "%s": code, "{code}": code}
        body = _PIECE.sub(lambda piece: values[piece.group()], self.text)
        if not sms:
            return body
        return self._checked_sms(body + self._last_line(code))

    def wire_form(self) -> str:
        """Return the text as ``request-otp`` carries it: ``%s`` once, every literal percent sign doubled.

        Receivers of the family format it with ``printf`` rules; a lone percent sign breaks some of them.
        """
        text = self.text.replace("{code}", "%s")
        return _LONE_PERCENT.sub(lambda piece: "%%" if piece.group() == "%" else piece.group(), text)

    def _last_line(self, code: str) -> str:
        if self.webotp_domain is not None:
            return f"\n\n@{self.webotp_domain} #{code}"
        return f"\n{self.app_hash}" if self.app_hash is not None else ""

    def _checked_sms(self, message: str) -> str:
        fields.text(message, "message", limit=fields.MAX_SMS)
        size = len(message.encode())
        if self.app_hash is not None and size > RETRIEVER_BYTES:
            raise InvalidInput(f"message has {size} bytes; the SMS Retriever reads at most {RETRIEVER_BYTES}.")
        return message


def _check_places(text: str) -> None:
    """Refuse a text that has not exactly one place for the code."""
    places = sum(piece in _PLACES for piece in _PIECE.findall(text))
    if places != 1:
        found = "no place" if places == 0 else f"{places} places"
        raise InvalidInput(f"message has {found} for the code; write %s (or {{code}}) exactly once.")
