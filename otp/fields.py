"""Decide what may stand in a field and what odd input becomes.

| field            | accepted                       | refused                                           |
|------------------|--------------------------------|---------------------------------------------------|
| reference        | text, whole number (-> text)   | empty, blank, over 1024 characters, other types   |
| param1 .. param4 | text, whole number, None -> "" | a fifth, over 1024 characters, other types        |
| id               | text, whole number             | empty, over 255 characters, other types           |
| receiver         | text                           | a number (its leading zero is lost), empty,       |
|                  |                                | control characters                                |
| message          | text                           | empty, more than its channel carries              |
| subject          | text                           | line breaks (they would start a new mail header)  |
| lifetime         | whole seconds > 0, also "60"   | fractions, zero, negative, other types            |
| otp              | text, whole number             | other types                                       |

Half a surrogate pair is refused everywhere: it is no character and has no UTF-8. References and parameters
are compared as they are, without trimming or Unicode normalisation: whoever verifies repeats what was given
to create.
"""

import re
from collections.abc import Sequence

from otp.errors import InvalidInput

Scalar = str | int
"""What an id, a reference or a parameter may be."""

MAX_FIELD = 1024
"""Characters of a reference or parameter. They are hashed, not stored; the bound only keeps nonsense out."""

MAX_ID = 255
"""Characters of a message id: what a message queue's or journal's key column holds everywhere."""

MAX_SMS = 1600
"""Characters of an SMS text. Twilio's bound: eleven parts, all of which cost money."""

MAX_EMAIL = 100_000
"""Characters of a mail text: far below what any road carries in one message."""

MAX_RECEIVER = 320
"""Characters of a receiver: the longest mail address RFC 5321 allows (64 + 1 + 255)."""

MAX_DIGITS = 40
"""Digits of a number that stands for a text."""

PARAMETERS = 4
"""``param1`` to ``param4``."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_TYPE_NAMES = {
    type(None): "nothing",
    bool: "true or false",
    int: "a whole number",
    float: "a number with a fraction",
    str: "text",
    bytes: "raw bytes",
}


def name_of_type(value: object) -> str:
    """Name the type of a value for an error, never the value itself."""
    return _TYPE_NAMES.get(type(value), f"a {type(value).__name__}")


def is_whole(value: object) -> bool:
    """Tell whether a value is an ``int`` and not a ``bool``."""
    return isinstance(value, int) and not isinstance(value, bool)


def text(value: object, field: str, *, limit: int, empty: bool = False) -> str:
    """Check a text field and return it unchanged.

    Args:
        value: What the caller gave.
        field: The field's name, for the error.
        limit: The most characters it may have.
        empty: Whether it may be empty.

    Raises:
        InvalidInput: Not a text, empty, too long, or not encodable as UTF-8.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{field} must be text, not {name_of_type(value)}.")
    if not empty and not value.strip():
        raise InvalidInput(f"{field} is empty.")
    if len(value) > limit:
        raise InvalidInput(f"{field} has {len(value)} characters; at most {limit} are allowed.")
    if _SURROGATE.search(value):
        raise InvalidInput(f"{field} holds half a surrogate pair, which is no character.")
    return value


def whole_as_text(value: object, field: str) -> object:
    """Return a whole number as its decimal text, and anything else as it is.

    Raises:
        InvalidInput: A number nobody means: Python refuses to print some of them.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if abs(value) >= 10**MAX_DIGITS:
        raise InvalidInput(f"{field} is a number of more than {MAX_DIGITS} digits.")
    return str(value)


def otp(value: object) -> str | int:
    """Check what somebody typed as a code and return it unchanged: text, or a number, whose leading zeros are lost."""
    if isinstance(value, str):
        return value
    if not is_whole(value):
        raise InvalidInput(f"otp must be text, not {name_of_type(value)}.")
    return value  # type: ignore[return-value]  # is_whole() let only int through


def reference(value: object) -> str:
    """Return the text of a reference: ``1629685778`` and ``"1629685778"`` name the same transaction."""
    return text(whole_as_text(value, "reference"), "reference", limit=MAX_FIELD)


def parameters(values: Sequence[object]) -> tuple[str, str, str, str]:
    """Return the texts of ``param1`` to ``param4``; missing ones and ``None`` are empty.

    Raises:
        InvalidInput: More than four, or one that is neither text nor a whole number.
    """
    filled = [_parameter(value, index) for index, value in enumerate(parameter_list(values), start=1)]
    first, second, third, fourth = filled + [""] * (PARAMETERS - len(filled))
    return first, second, third, fourth


def parameter_list(values: Sequence[object]) -> Sequence[object]:
    """Check that parameters are a list of at most four.

    Raises:
        InvalidInput: A single text, another type, or too many.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise InvalidInput(f"params must be a list of up to four values, not {name_of_type(values)}.")
    if len(values) > PARAMETERS:
        raise InvalidInput(f"params has {len(values)} values; there are only param1 to param4.")
    return values


def _parameter(value: object, index: int) -> str:
    if value is None:
        return ""
    name = f"param{index}"
    return text(whole_as_text(value, name), name, limit=MAX_FIELD, empty=True)


def message_id(value: object) -> str | int:
    """Check a message id and return it with its type: a number stays a number on the wire."""
    text(whole_as_text(value, "id"), "id", limit=MAX_ID)
    return value  # type: ignore[return-value]  # text() let only str and int through


def receiver(value: object) -> str:
    """Check a receiver's form and return it without surrounding blanks.

    Raises: InvalidInput: Not a text, empty, too long, or with control characters (which end up in modem
        dialogues).
    """
    if is_whole(value):
        raise InvalidInput("receiver must be text: as a number it loses its leading zero or plus.")
    found = text(value, "receiver", limit=MAX_RECEIVER).strip()
    if _CONTROL.search(found):
        raise InvalidInput("receiver holds a control character.")
    return found


def subject(value: object) -> str:
    """Check a mail subject; it may be empty but must stay on one line."""
    found = text(value, "subject", limit=MAX_FIELD, empty=True)
    if _CONTROL.search(found):
        raise InvalidInput("subject holds a line break or another control character.")
    return found


def lifetime(value: object) -> int:
    """Return a lifetime in whole seconds; ``"60"`` and ``60.0`` are 60.

    Raises:
        InvalidInput: Not a whole number of seconds above zero.
    """
    number = _whole(value)
    if number is None:
        raise InvalidInput(f"lifetime must be a whole number of seconds, not {name_of_type(value)}.")
    if number <= 0:
        raise InvalidInput("lifetime must be at least one second.")
    return number


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str):
        digits = value.strip()
        return int(digits) if re.fullmatch(r"[+-]?[0-9]{1,12}", digits) else None
    return value if isinstance(value, int) else None
