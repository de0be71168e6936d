"""Where a peer's program came from stands beside its version."""

from pathlib import Path

import pytest

from bench.peers.base import debian_package

DPKG = """#!/bin/sh
case "$1" in
-S) [ "${2##*/}" = served ] && echo "serve-tools: $2" ;;
-W) echo 1.2-3 ;;
esac
"""


def program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def test_debian_package_of_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that a package brought names it with its version; any other one, or no dpkg, names nothing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "served")
    program(tmp_path, "built")
    assert debian_package("served") == ""
    program(tmp_path, "dpkg-query", DPKG)
    assert debian_package("served") == " (package serve-tools 1.2-3)"
    assert debian_package("built") == ""
    assert debian_package("absent") == ""
