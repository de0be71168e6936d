"""The name that servers know us by stays the same."""

import re
from pathlib import Path

import pytest

from otp.pi.inputs.identity import identity
from otp.roads.errors import ConfigError


def test_identity_stays_the_same(tmp_path: Path) -> None:
    """It is made once for each way in, fits MQTT's 23 characters, and is readable by us alone."""
    directory = tmp_path / "data"
    first = identity(directory, "mqtt")
    assert re.fullmatch("otp-pi-[0-9a-f]{16}", first)
    assert identity(directory, "mqtt") == first
    assert identity(directory, "mqtt-2") != first
    assert (directory / "mqtt.identity").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert sorted(each.name for each in directory.iterdir()) == ["mqtt-2.identity", "mqtt.identity"]


@pytest.mark.parametrize("text", [b"", b"otp-pi-short", b"\xff\xfe"])
def test_damaged_identity_is_refused(tmp_path: Path, text: bytes) -> None:
    """A file that holds something else is not replaced silently: what waits for the old name would be lost."""
    (tmp_path / "mqtt.identity").write_bytes(text)
    with pytest.raises(ConfigError, match=r"mqtt\.identity"):
        identity(tmp_path, "mqtt")


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A data directory that is a file is named in the error."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        identity(tmp_path / "file" / "data", "mqtt")
