"""Keep the name that a server knows us by: what waits there for us waits under that name."""

import os
import re
import secrets
from pathlib import Path

from otp.roads.errors import ConfigError

_KNOWN = re.compile(r"otp-pi-[0-9a-f]{16}")
"""23 characters: what every MQTT server has to accept (MQTT 3.1.1, 3.1.3.1)."""


def identity(data_dir: Path, name: str) -> str:
    """Return the identity of a way in, made when it is asked for the first time.

    Args:
        data_dir: Directory where it is kept, in a file of its own, which is made with mode 0600.
        name: Of the way in.

    Raises:
        ConfigError: The file cannot be read or made, or holds something else.
    """
    file = data_dir / f"{name}.identity"
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _write(file, f"otp-pi-{secrets.token_hex(8)}")
        found = file.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not text"
        raise ConfigError(f"{file}: {why}.") from None
    if not _KNOWN.fullmatch(found):
        raise ConfigError(f"{file} is damaged; remove it to get a new identity. What waits for the old one is lost.")
    return found


def _write(file: Path, text: str) -> None:
    """Write a file whole or not at all: a power cut must not leave half a name."""
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    with new.open("w", encoding="ascii") as out:
        out.write(f"{text}\n")
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)
