"""The key file: made once, read by its owner alone, never overwritten."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from otp.errors import KeyFileError
from otp.store import load_key

if TYPE_CHECKING:
    from pathlib import Path


def test_key_is_made(tmp_path: Path) -> None:
    """The first start makes 32 random bytes with mode 0600 and leaves nothing else behind."""
    load_key(tmp_path / "key")
    found = (tmp_path / "key").stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (32, 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_key_is_read(tmp_path: Path) -> None:
    """The second start reads what the first made."""
    first = load_key(tmp_path / "key")
    assert load_key(str(tmp_path / "key")).fingerprint == first.fingerprint


def test_keys_differ(tmp_path: Path) -> None:
    """Every key is another one."""
    assert load_key(tmp_path / "a").fingerprint != load_key(tmp_path / "b").fingerprint


def test_key_made_by_many_at_once(tmp_path: Path) -> None:
    """Of many that start at once all have the same key, complete."""
    barrier = threading.Barrier(16)

    def start(_: int) -> str:
        barrier.wait()
        return load_key(tmp_path / "key").fingerprint

    with ThreadPoolExecutor(16) as pool:
        fingerprints = set(pool.map(start, range(16)))
    assert len(fingerprints) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o602])
def test_key_others_can_reach(tmp_path: Path, mode: int) -> None:
    """A key that group or world can read or write is refused, with the command that mends it."""
    file = tmp_path / "key"
    load_key(file)
    file.chmod(mode)
    with pytest.raises(KeyFileError, match=f"has mode {mode:04o}: others can reach it. Run: chmod 600 {file}"):
        load_key(file)
    file.chmod(0o600)
    load_key(file)


def test_key_read_only(tmp_path: Path) -> None:
    """A key its owner may only read is fine."""
    load_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o400)
    load_key(tmp_path / "key")


@pytest.mark.parametrize("size", [0, 31, 33, 5000])
def test_key_of_another_size(tmp_path: Path, size: int) -> None:
    """A file that is no key is refused and kept."""
    file = tmp_path / "key"
    file.write_bytes(b"k" * size)
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"is not a key, which has exactly 32 bytes\. Restore it, or remove it"):
        load_key(file)
    assert file.read_bytes() == b"k" * size


def test_key_in_the_store(tmp_path: Path) -> None:
    """A key inside the store's directory is refused, through links and dots as well."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    for place in ("cache/key", "cache/deep/key", "link/key", "other/../cache/key"):
        with pytest.raises(KeyFileError, match="lies in cache_dir"):
            load_key(tmp_path / place, outside=tmp_path / "cache")


def test_key_beside_the_store(tmp_path: Path) -> None:
    """A directory whose name only begins like the store's is another one."""
    (tmp_path / "cache-2").mkdir()
    load_key(tmp_path / "cache-2" / "key", outside=tmp_path / "cache")


def test_key_in_no_directory(tmp_path: Path) -> None:
    """A key in a directory that does not exist is refused with what to do."""
    with pytest.raises(KeyFileError, match="Make its directory first"):
        load_key(tmp_path / "missing" / "key")


def test_key_that_is_a_directory(tmp_path: Path) -> None:
    """A directory in the place of the key is refused."""
    with pytest.raises(KeyFileError, match="Is a directory"):
        load_key(tmp_path)


def test_key_stays_secret(tmp_path: Path) -> None:
    """Nothing a key is shown as has its bytes in it."""
    key = load_key(tmp_path / "key")
    bytes_of_it = (tmp_path / "key").read_bytes()
    shown = f"{key} {key!r} {key.fingerprint}"
    assert bytes_of_it.hex() not in shown
    assert not shown.endswith(bytes_of_it.hex()[:16])
