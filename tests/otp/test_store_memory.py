"""What the store in memory promises beyond the contract: that it stays small."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otp.store import OtpStore, SecretKey
from otp.store.memory import MemoryBackend

if TYPE_CHECKING:
    from tests.otp.conftest import Clock


def test_records_go_by_themselves(clock: Clock) -> None:
    """A server that makes codes for days keeps those of the last hours only."""
    backend = MemoryBackend()
    store = OtpStore(backend, SecretKey(b"k" * 32), clock=clock)
    for number in range(2000):
        store.create(receiver=f"+628126{number:06}", reference=number)
        clock.advance(600)
    assert len(backend) < 300
    assert len(backend._stamps) < 500


def test_sweep(clock: Clock) -> None:
    """Sweeping says how many records went; closing forgets all."""
    backend = MemoryBackend()
    store = OtpStore(backend, SecretKey(b"k" * 32), clock=clock)
    store.create(receiver="+628126666666", reference="r")
    assert store.sweep() == 0
    clock.advance(86_401)
    assert (store.sweep(), len(backend), len(backend._stamps)) == (1, 0, 0)
    store.create(receiver="+628126666666", reference="r")
    store.close()
    assert len(backend) == 0
