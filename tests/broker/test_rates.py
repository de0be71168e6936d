"""What one connection may send, with the clock in the test's hand."""

from broker.frames import TEXT, server_frame
from broker.rates import Rates


def messages(count: int, size: int = 8) -> list[bytes]:
    """Messages whose frames are so many bytes long."""
    return [server_frame(TEXT, b"x" * (size - 2))] * count


def test_message_rate_counts_messages_whatever_their_size() -> None:
    """Two seconds' worth at once, then the rate."""
    rates = Rates(message_rate=10, byte_rate=0, now=0)
    assert rates.allow(messages(30), 0) == 20
    assert rates.allow(messages(30), 1) == 10


def test_byte_rate_counts_frames_and_lets_one_lump_into_debt() -> None:
    """The frame that uses up the rate passes, the next one does not until the debt is paid."""
    rates = Rates(message_rate=0, byte_rate=10, now=0)
    assert rates.allow(messages(5, size=8), 0) == 3
    assert rates.allow(messages(1, size=8), 0.3) == 0
    assert rates.allow(messages(1, size=8), 0.5) == 1


def test_both_rates_hold_together() -> None:
    """The stricter one decides, and a message that it stops costs no bytes."""
    rates = Rates(message_rate=1, byte_rate=1000, now=0)
    assert rates.allow(messages(5), 0) == 2
    assert rates.volume is not None
    assert rates.volume.tokens == 2000 - 2 * 8


def test_neither_rate_lets_everything_pass() -> None:
    """0 is no limit."""
    assert Rates(0, 0, 0).allow(messages(100_000), 0) == 100_000
