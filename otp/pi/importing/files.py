"""Find and read the files of a Java OTP-Pi as it reads them itself: one of up to seven bytes holds nothing."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from otp.pi.importing.notes import Notes

FILES: Final = (
    "api/services.json",
    "api/urses.json",
    "api/blocking.json",
    "general/general-config.json",
    "gsm/devices.json",
    "gsm/sms.json",
    "email/sender-account.json",
    "email/smtp.json",
    "subscriber/subscriber-ws.json",
    "subscriber/subscriber-amqp.json",
    "subscriber/subscriber-redis.json",
    "subscriber/subscriber-mqtt.json",
    "subscriber/subscriber-stomp.json",
    "subscriber/subscriber-activemq.json",
    "otp/otp.json",
)
"""What is looked for, under the names the original gives them ("urses" included)."""

_NOTHING: Final = 7
_LARGEST: Final = 16 * 2**20
_PROPERTY: Final = re.compile(r"\s*([^\s=:#!][^\s=:]*)\s*[=:]?\s*(.*)")


class ImportFault(Exception):  # noqa: N818 - named after what it is, as its reader sees it
    """An import cannot go on; the text says what was wrong and what to do next."""


def find(directory: Path) -> Path:
    """Return the directory that the files are in: the given one, or its ``data`` or ``resource/data``.

    Raises:
        ImportFault: None of them has any of the files.
    """
    for candidate in (directory, directory / "data", directory / "resource" / "data"):
        if any((candidate / name).is_file() for name in FILES):
            return candidate
    raise ImportFault(
        f"{directory} has none of the files of a Java OTP-Pi, such as {FILES[0]}; point to its resource/data directory."
    )


def read_json(directory: Path, name: str, kind: type, notes: Notes) -> Any:
    """Return what a file holds; an empty value of that kind where it is missing or cannot be used, which is noted."""
    text = _text(directory / name, name, notes)
    if text is None:
        return kind()
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        notes.add(name, f"not taken: it is not JSON (line {error.lineno}, column {error.colno}: {error.msg})")
        return kind()
    except (RecursionError, ValueError):
        notes.add(name, "not taken: it is nested too deeply, or holds a number that is too long")
        return kind()
    if not isinstance(found, kind):
        wanted = "an object" if kind is dict else "a list"
        notes.add(name, f"not taken: it is JSON but not {wanted}")
        return kind()
    return found


def read_properties(data: Path, notes: Notes) -> Mapping[str, str]:
    """Return the keys of ``config.ini``, which lies beside the program or beside the data."""
    for place in (data, data.parent, data.parent.parent, data.parent / "config"):
        if (place / "config.ini").is_file():
            text = _text(place / "config.ini", "config.ini", notes) or ""
            lines = (_PROPERTY.fullmatch(line) for line in text.splitlines())
            return {match[1]: match[2].strip() for match in lines if match}
    return {}


def _text(file: Path, name: str, notes: Notes) -> str | None:
    try:
        with file.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.add(name, f"not taken: it cannot be read: {error.strerror}")
        return None
    if len(data) > _LARGEST:
        notes.add(name, "not taken: it is larger than 16 MiB")
        return None
    if len(data) <= _NOTHING:
        notes.add(name, "holds nothing")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        notes.add(name, f"not taken: it is not UTF-8 (byte {error.start})")
        return None
