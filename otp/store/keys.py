"""Read the store's key from its file, or make it at the first start.

The key is what makes a stolen store useless: six digits under a plain hash fall in under a second. It
therefore lives outside the store, is readable by its owner alone, and is never overwritten.
"""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from otp.errors import KeyFileError
from otp.store.digests import KEY_BYTES, SecretKey

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_key(path: str | os.PathLike[str], *, outside: str | os.PathLike[str] | None = None) -> SecretKey:
    """Read the key, making it (32 random bytes, mode 0600) if there is none.

    Several processes may start at once: exactly one key comes to be, and all of them read that one.

    Args:
        path: The key file.
        outside: A directory the key must not lie in: that of the store.

    Raises:
        KeyFileError: It lies there, others can read it, it has another size, or it cannot be read or made.
    """
    file = Path(path)
    _check_place(file, outside)
    try:
        if not file.exists():
            _make(file)
        return SecretKey(_read(file))
    except OSError as error:
        raise KeyFileError(f"key_file {file}: {error.strerror or error}. {_advice(error)}") from error


def _check_place(file: Path, outside: str | os.PathLike[str] | None) -> None:
    if outside is not None and file.resolve().is_relative_to(Path(outside).resolve()):
        raise KeyFileError(
            f"key_file {file} lies in cache_dir: whoever copies the store would have the key as well. "
            "Put it beside the configuration."
        )


def _make(file: Path) -> None:
    """Write a complete key under another name and link it to its own, which fails if somebody was faster."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()


def _read(file: Path) -> bytes:
    descriptor = os.open(file, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as stream:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & _OTHERS:
            raise KeyFileError(f"key_file {file} has mode {mode:04o}: others can reach it. Run: chmod 600 {file}")
        key = stream.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise KeyFileError(
            f"key_file {file} is not a key, which has exactly {KEY_BYTES} bytes. "
            "Restore it, or remove it to start with a new one."
        )
    return key


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "Make its directory first."
    if isinstance(error, PermissionError):
        return "Let this user read it, or make a file in its directory."
    return "Name a file on a local disk with key_file."
