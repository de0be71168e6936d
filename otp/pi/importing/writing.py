"""Write what an import made, never over anything."""

import os
from pathlib import Path
from typing import Final

from otp.pi.importing.conversion import Converted
from otp.pi.importing.files import ImportFault

CONFIG: Final = "pi.toml"
PASSWORDS: Final = ".htpasswd"
BLOCKED: Final = "blocked.txt"
"""One number a line; only written where there are any. The journal holds the block list that counts."""

_MODE: Final = 0o600


def write(converted: Converted, target: Path) -> list[Path]:
    """Write settings, accounts and block list into a directory, readable by nobody else.

    Args:
        converted: From ``convert``.
        target: The directory; made with mode 0700 where missing.

    Returns:
        The files.

    Raises:
        ImportFault: One of the files is there already, in which case none was written; or they cannot be written.
    """
    texts = {target / CONFIG: converted.config_toml, target / PASSWORDS: converted.password_file}
    if converted.blocked:
        texts[target / BLOCKED] = "".join(f"{number}\n" for number in converted.blocked)
    if there := [str(file) for file in texts if os.path.lexists(file)]:
        raise ImportFault(f"{', '.join(there)} is there already and is not overwritten; choose an empty directory.")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, text in texts.items():
            _create(file, text)
    except OSError as error:
        raise ImportFault(f"{error.filename or target} cannot be written: {error.strerror}.") from None
    return list(texts)


def _create(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _MODE)
    with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - pathlib opens no descriptors
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
