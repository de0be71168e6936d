"""What a connection owes its client while nothing happens: pings, silence, and quiet after the 101."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from broker.connection import PING_FRAME, QUIET_START
from broker.frames import CLOSE, PING, PONG, close_frame, server_frame
from tests.broker.doubles import House
from tests.broker.words import CHUNK, CUT, goodbye, heard, said
from tests.wire.raw import client_frame, close_payload

MakeHouse = Callable[..., House]


# -- pings


def test_ping_never_comes_in_the_first_20_seconds(house: MakeHouse) -> None:
    """A PHP publisher that waits for its answer fails on one; clients that came together are not pinged together."""
    here = house()
    guests = [here.connect(f"topic{number}") for number in range(50)]
    here.pass_time(QUIET_START)
    assert all(guest.take() == b"" for guest in guests)
    here.pass_time(2.5)
    pinged = sum(guest.take() == PING_FRAME for guest in guests)
    assert 0 < pinged < 50
    here.pass_time(2.6)
    assert sum(guest.take() == PING_FRAME for guest in guests) == 50 - pinged


def test_ping_is_never_empty_and_comes_every_ping_interval(house: MakeHouse) -> None:
    """PHP's fread fails on an empty frame; between pings lies `ping_interval`."""
    assert PING_FRAME[0] == PING
    assert PING_FRAME[1] > 0
    here = house(ping_interval="30s", ping_timeout=0)
    guest = here.connect()
    pinged: list[float] = []
    for _ in range(600):
        here.pass_time(0.5)
        pinged += [here.clock()] if guest.take() == PING_FRAME else []
    assert len(pinged) in {9, 10}
    assert all(30 <= after - before <= 31 for before, after in pairwise(pinged))


def test_ping_interval_off_sends_none(house: MakeHouse) -> None:
    """0 is never, and nobody is given up for silence."""
    here = house(ping_interval=0)
    guest = here.connect()
    here.pass_time(3600, step=30)
    assert guest.take() == b""
    assert not guest.gone()


def test_silent_client_is_given_up_after_ping_timeout(house: MakeHouse) -> None:
    """3008 ping_timeout, not before `ping_timeout` of silence, and soon after it."""
    here = house(ping_timeout="2m")
    guest = here.connect()
    here.pass_time(20 + 119)
    assert not guest.gone()
    here.pass_time(60)
    code, reason = goodbye(guest.take())
    assert code == 3008
    assert reason.startswith("ping_timeout: nothing was heard for 1")
    assert here.core.counters.closed == {"3008": 1}


def test_ping_timeout_shorter_than_the_interval_is_kept(house: MakeHouse) -> None:
    """The next look comes when the timeout is over, not with the next ping only."""
    here = house(ping_interval="25s", ping_timeout="5s")
    guest = here.connect()
    here.pass_time(25 + 5.2)
    assert goodbye(guest.take())[0] == 3008


@pytest.mark.parametrize("sign", [client_frame(PONG, b"wsbroker"), said("x"), b"\x81"], ids=["pong", "text", "byte"])
def test_any_byte_counts_as_life(house: MakeHouse, sign: bytes) -> None:
    """A busy receiver that is late with its pong is not dead."""
    here = house(ping_timeout="1m")
    guest = here.connect()
    for _ in range(20):
        here.pass_time(55)
        if sign != b"\x81" or guest.connection.pending is None:
            guest.send(sign)
        else:
            guest.send(b"\xff")  # the header goes on, one byte at a time
            guest.connection.pending = None
    assert not guest.gone()


def test_ping_timeout_off_gives_nobody_up(house: MakeHouse) -> None:
    """0 waits for ever."""
    here = house(ping_timeout=0)
    guest = here.connect()
    here.pass_time(3600)
    assert not guest.gone()
    assert len(guest.take()) > 100 * len(PING_FRAME)


def test_ping_is_not_queued_behind_what_a_client_does_not_read(house: MakeHouse) -> None:
    """A connection that is behind has bytes enough on their way."""
    here = house(write_timeout=0, ping_timeout=0)
    guest = here.connect()
    guest.pipe.taking = False
    guest.pipe.write(b"x" * 70_000)
    here.pass_time(100)
    assert guest.pipe.get_write_buffer_size() == 70_000


# -- settling


def test_settling_client_gets_nothing_then_everything_in_order(house: MakeHouse) -> None:
    """What others publish within `settle_time` waits, and leaves in one write."""
    here = house(settle_time="100ms")
    bob = here.connect(user="bob")
    alice = here.connect()
    (_, _), (delay, settle) = here.loop.later
    assert delay == 0.1
    for number in range(5):
        bob.send(said(f"message {number}"))
        here.loop.run()
    assert alice.take() == b""
    settle()
    assert alice.take() == heard(*(f"message {number}" for number in range(5)))
    assert alice.pipe.writes == 1
    bob.send(said("direct"))
    here.loop.run()
    assert alice.take() == heard("direct")


def test_settling_client_gets_its_own_pong_at_once(house: MakeHouse) -> None:
    """Answers to the client's own ping are exempt."""
    here = house(settle_time="100ms")
    bob, alice = here.connect(user="bob"), here.connect()
    bob.send(said("waits"))
    here.loop.run()
    alice.send(client_frame(PING, b"there?"))
    here.loop.run()
    assert alice.take() == server_frame(PONG, b"there?")


def test_settling_client_that_says_close_gets_its_messages_and_the_answer(house: MakeHouse) -> None:
    """Closing within `settle_time` loses nothing that waited."""
    here = house(settle_time="100ms")
    bob, alice = here.connect(user="bob"), here.connect()
    bob.send(said("waits"))
    here.loop.run()
    alice.send(client_frame(CLOSE, close_payload(1000)))
    here.loop.run()
    assert alice.take() == heard("waits") + close_frame(1000)
    here.loop.later[1][1]()
    assert alice.take() == b""


def test_settling_client_that_hangs_up_takes_its_messages_with_it(house: MakeHouse) -> None:
    """The end of `settle_time` finds nobody, and writes to nobody."""
    here = house(settle_time="100ms")
    bob, alice = here.connect(user="bob"), here.connect()
    bob.send(said("waits"))
    here.loop.run()
    alice.pipe.lose()
    here.loop.later[1][1]()
    assert alice.take() == b""
    assert here.core.census.open == 1


def test_settling_client_is_bounded_like_any_other(house: MakeHouse) -> None:
    """What waits for the end of `settle_time` counts against `max_queued_bytes`."""
    here = house(settle_time="100ms", **CUT)
    bob, alice = here.connect(user="bob"), here.connect()
    for number in range(5):
        bob.send(said(str(number) * CHUNK))
        here.loop.run()
    taken = alice.take()
    assert goodbye(taken)[0] == 1013
    assert taken.startswith(heard(*(str(number) * CHUNK for number in range(4))))


def test_settling_client_that_reads_no_pongs_gets_everything_in_order(house: MakeHouse) -> None:
    """It is behind before it has settled: what waited goes behind the pongs, and nothing is lost."""
    here = house(settle_time="100ms")
    bob, alice = here.connect(user="bob"), here.connect()
    bob.send(said("waits"))
    here.loop.run()
    alice.pipe.taking = False
    pongs = 600
    alice.send(client_frame(PING, bytes(125)) * pongs)
    here.loop.run()
    assert alice.connection in here.core.behind
    bob.send(said("later"))
    here.loop.run()
    here.loop.later[1][1]()
    alice.pipe.take(10**6)
    alice.pipe.taking = True
    here.loop.run()
    got = alice.take()
    assert got.count(server_frame(PONG, bytes(125))) == pongs
    assert got.replace(server_frame(PONG, bytes(125)), b"") == heard("waits", "later")
    assert not here.core.behind


def test_transport_tells_of_the_first_byte_left_over_once_the_client_has_settled(house: MakeHouse) -> None:
    """Not before: a loop that has not written the 101 yet would call the client behind, and end its `settle_time`."""
    here = house(settle_time="100ms")
    alice = here.connect()
    marks: list[int] = []
    alice.pipe.set_write_buffer_limits = marks.append  # type: ignore[method-assign, assignment] # notes the mark
    alice.connection.line = alice.pipe.near
    assert marks == []
    here.loop.later[0][1]()
    assert marks == [0]
