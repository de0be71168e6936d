"""The C library's heap."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from broker import heap

ALLOCATE = """
import resource
from broker.heap import keep_freed_memory
if {kept}:
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * 1_000_000
before = faults()
for _ in range(200):
    b"x" * 1_000_000
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_large_buffers_are_used_again() -> None:
    """A buffer of 1 MB that comes and goes costs no page faults: its memory stays with the process."""
    faults = {}
    for kept in (False, True):
        done = subprocess.run(
            [sys.executable, "-c", ALLOCATE.format(kept=kept)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            env={},
        )
        faults[kept] = int(done.stdout)
    assert faults[True] < 200


@pytest.mark.parametrize("error", [AttributeError, OSError])
def test_other_c_library_is_left_alone(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without mallopt, as in musl, the broker runs all the same."""

    class Library:
        def __init__(self, _name: str | None) -> None:
            if error is OSError:
                raise OSError

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert not heap.keep_freed_memory()
