"""What waits for one client, and how it takes it."""

from broker.backlog import Lag, Settling


def test_settling_keeps_batches_in_order_and_knows_their_bytes() -> None:
    """They are shared with all subscribers, so the very same objects stay."""
    settling = Settling()
    batches = [b"one", b"three"]
    for batch in batches:
        settling.add(batch)
    assert all(kept is given for kept, given in zip(settling.batches, batches, strict=True))
    assert settling.size == 8


def test_lag_grows_while_nothing_is_taken_and_ends_with_a_byte() -> None:
    """Also while more comes behind what waits: only a byte less than there would be is progress."""
    lag = Lag(1000, now=10.0)
    assert lag.look(1000, 13.0) == 3.0
    lag.add(bytes(500))
    assert lag.look(1500, 14.0) == 4.0
    lag.add(bytes(500))
    assert lag.look(1999, 15.0) == 0.0
    assert lag.look(1999, 17.0) == 2.0
