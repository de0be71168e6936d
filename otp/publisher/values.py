"""Turn the text of a setting into its value, or say what the text should have looked like."""

import re
from urllib.parse import urlsplit

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)?")
_BOOLEANS = {"1": True, "true": True, "on": True, "yes": True}
_BOOLEANS |= {"": False, "0": False, "false": False, "off": False, "no": False, "none": False}
_MAX_PORT = 65_535
_WEB = frozenset({"http", "https"})


def boolean(text: str) -> bool:
    """Read true/on/yes/1 or false/off/no/none/0; a file's values arrive here as ``1`` or empty."""
    found = _BOOLEANS.get(text.strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def whole(text: str) -> int:
    """Read a whole number that is not negative."""
    if not re.fullmatch(r"[0-9]{1,12}", text.strip()):
        raise ValueError("must be a whole number")
    return int(text)


def port(text: str) -> int:
    """Read a port number."""
    number = whole(text)
    if not 0 < number <= _MAX_PORT:
        raise ValueError("must be a port from 1 to 65535")
    return number


def seconds(text: str) -> float:
    """Read a duration above zero: ``10``, ``10s``, ``500ms``, ``2m``; without a unit, seconds."""
    found = _DURATION.fullmatch(text.strip())
    duration = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if duration <= 0:
        raise ValueError("must be a duration such as 10s, 500ms or 2m")
    return duration


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers separated by commas."""
    return tuple(whole(part) for part in text.split(",") if part.strip())


def words(text: str) -> tuple[str, ...]:
    """Read texts separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def plain(text: str) -> str:
    """Take a text as it is."""
    return text


def filled(text: str) -> str:
    """Take a text that must not be empty."""
    if not text:
        raise ValueError("must not be empty")
    return text


def web_url(text: str) -> str:
    """Read an ``http://`` or ``https://`` URL without credentials in it."""
    try:
        parts = urlsplit(text)
        complete = parts.scheme in _WEB and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete:
        raise ValueError("must be a URL such as https://otp.example.com/api/otp")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold credentials; username and password are settings of their own")
    return text


def mqtt_qos(text: str) -> int:
    """Read a quality of service that tells whether the broker has the message."""
    if text.strip() not in ("1", "2"):
        raise ValueError("must be 1 or 2; at 0 nobody could say whether the broker got the message")
    return int(text)
