"""What one connection may take: bytes that wait, time to take them, rates, and its share of a turn."""

from collections.abc import Callable

import pytest

from broker.connection import TURN
from broker.errors import CREDENTIALS_REVOKED
from broker.frames import PING, PONG, server_frame
from tests.broker.doubles import House
from tests.broker.words import CHUNK, CUT, exchange, goodbye, heard, said, stuck
from tests.wire.raw import client_frame

MakeHouse = Callable[..., House]


# -- slow


def test_slow_reader_is_closed_above_max_queued_bytes(house: MakeHouse) -> None:
    """1013 slow_consumer, counted; the others and the sender notice nothing."""
    here = house(**CUT)
    sender, slow, fast = stuck(here)
    for number in range(6):
        sender.send(said(str(number) * CHUNK))
        here.loop.run()
    assert fast.take() == heard(*(str(number) * CHUNK for number in range(6)))
    assert slow.gone()
    slow.pipe.take(10**9)
    code, reason = goodbye(slow.take())
    assert code == 1013
    assert reason.startswith("slow_consumer: 240016 bytes wait (max_queued_bytes 262144)")
    assert here.core.counters.slow_consumers == 1
    assert here.core.counters.dropped == {"slow_consumer": 1}
    assert here.core.topics.delivered == 6 + 4


def test_slow_reader_with_drop_loses_messages_and_stays(house: MakeHouse) -> None:
    """`slow_consumer = "drop"`: what does not fit is dropped and counted, one log line, and later messages arrive."""
    here = house(slow_consumer="drop", write_timeout=0, **CUT)
    sender, slow, fast = stuck(here)
    for number in range(8):
        sender.send(said(str(number) * CHUNK))
        here.loop.run()
    assert not slow.gone()
    assert here.core.counters.dropped == {"slow_consumer": 4}
    assert here.core.counters.slow_consumers == 1
    slow.pipe.take(10**9)
    slow.pipe.taking = True
    sender.send(said("later"))
    here.loop.run()
    assert slow.take() == heard(*(str(number) * CHUNK for number in range(4)), "later")
    assert fast.take().endswith(heard("later"))


def test_slow_reader_with_drop_is_logged_again_after_it_caught_up(
    house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per time that it fell behind, not one per message."""
    here = house(slow_consumer="drop", **CUT)
    sender, slow, _ = stuck(here)
    for _ in range(2):
        slow.pipe.taking = False
        for _ in range(8):
            sender.send(said("x" * CHUNK))
            here.loop.run()
        slow.pipe.take(10**9)
        slow.pipe.taking = True
    assert caplog.text.count("dropping id=2 user=bob reason=slow_consumer") == 2


def test_stuck_reader_is_closed_after_write_timeout(house: MakeHouse) -> None:
    """Taking no byte for `write_timeout` while bytes wait is 1013, however few they are."""
    here = house(write_timeout="60s", ping_timeout=0)
    sender, slow, _ = stuck(here)
    sender.send(said("x" * 70_000))
    here.loop.run()
    here.pass_time(59)
    assert not slow.gone()
    here.pass_time(2)
    slow.pipe.take(10**9)
    assert goodbye(slow.take()) == (1013, "slow_consumer: no byte taken for 60 s (write_timeout)")


def test_reader_that_takes_a_byte_now_and_then_is_not_stuck(house: MakeHouse) -> None:
    """New messages do not hide that old bytes were taken."""
    here = house(write_timeout="60s", ping_timeout=0)
    sender, slow, _ = stuck(here)
    sender.send(said("x" * 70_000))
    for _ in range(20):
        here.pass_time(30)
        sender.send(said("y" * 100))
        here.loop.run()
        slow.pipe.take(1)
    assert not slow.gone()
    here.pass_time(62)
    assert slow.gone()


def test_reader_whose_kernel_still_sends_is_not_stuck(house: MakeHouse) -> None:
    """Bytes that leave the kernel's buffer are progress too, though the transport's stays the same."""
    here = house(write_timeout="60s", ping_timeout=0)
    sender, slow, _ = stuck(here)
    for _ in range(5):
        slow.pipe.near.send(b"k" * 1000)
    sender.send(said("x" * 70_000))
    here.loop.run()
    for _ in range(4):
        here.pass_time(40)
        slow.pipe.far.recv(1000)
    assert not slow.gone()


def test_write_timeout_off_waits_for_ever(house: MakeHouse) -> None:
    """0 waits as long as `max_queued_bytes` allows."""
    here = house(write_timeout=0, ping_timeout=0)
    sender, slow, _ = stuck(here)
    sender.send(said("x" * 70_000))
    here.loop.run()
    here.pass_time(3600)
    assert not slow.gone()


def test_queued_bytes_are_those_of_connections_that_are_behind(house: MakeHouse) -> None:
    """The gauge shows what waits, and nothing once it was taken."""
    here = house(write_timeout=0)
    sender, slow, _ = stuck(here)
    sender.send(said("x" * 70_000))
    here.loop.run()
    assert here.core.queued_bytes() == slow.pipe.get_write_buffer_size() > 70_000
    slow.pipe.take(10**9)
    assert here.core.queued_bytes() == 0
    assert not here.core.behind


def test_answers_to_pings_are_bounded_like_messages(house: MakeHouse) -> None:
    """A client that pings and never reads is closed before its pongs fill the memory."""
    here = house(**CUT)
    alice, bob = exchange(here)
    alice.pipe.taking = False
    ping = client_frame(PING, b"p" * 125)
    for _ in range(10_000):
        alice.send(ping)
        here.loop.run()
        if alice.gone():
            break
    assert alice.gone()
    assert alice.pipe.get_write_buffer_size() <= 2**18 + 200
    assert here.core.counters.slow_consumers == 1
    assert not bob.gone()


def test_connection_lost_while_it_is_behind_leaves_nothing_behind(house: MakeHouse) -> None:
    """Who hangs up with bytes waiting is counted out everywhere."""
    here = house()
    sender, slow, _ = stuck(here)
    sender.send(said("x" * 70_000))
    here.loop.run()
    slow.pipe.lose(ConnectionResetError())
    assert not here.core.behind
    assert here.core.queued_bytes() == 0
    here.pass_time(120)
    assert here.core.counters.closed == {"1006": 1}


def test_sender_waits_while_every_reader_is_behind_and_goes_on_when_one_catches_up(house: MakeHouse) -> None:
    """TCP slows the sender down to the fastest reader's pace, instead of cutting healthy readers off."""
    here = house(**CUT)
    sender, reader = exchange(here)
    reader.pipe.taking = False
    sender.send(said("a" * CHUNK) + said("b" * CHUNK))
    here.loop.run()
    sender.send(said("c" * CHUNK) + said("d" * CHUNK) + said("e" * CHUNK))
    here.loop.run()
    assert not sender.pipe.is_reading()
    assert reader.pipe.get_write_buffer_size() < 3 * CHUNK
    reader.pipe.take(10**9)
    reader.pipe.taking = True
    here.loop.run()
    assert sender.pipe.is_reading()
    assert reader.take() == heard(*(letter * CHUNK for letter in "abcde"))
    assert not reader.gone()


def test_sender_does_not_wait_for_readers_that_take_nothing(house: MakeHouse) -> None:
    """After a second without any progress the sender goes on, and the bound decides over the stuck reader."""
    here = house(**CUT)
    sender, reader = exchange(here)
    reader.pipe.taking = False
    sender.send(said("a" * CHUNK) + said("b" * CHUNK))
    here.loop.run()
    for letter in "cdefg":
        sender.send(said(letter * CHUNK))
    here.loop.run()
    here.pass_time(1.5, step=0.05)
    assert sender.pipe.is_reading()
    assert reader.gone()
    assert here.core.counters.slow_consumers == 1


# -- rates


def test_message_rate_lets_two_seconds_worth_pass_and_closes_behind_it(house: MakeHouse) -> None:
    """1008 rate_limited: what was within the rate is delivered, the rest is counted as dropped."""
    here = house(message_rate=10)
    alice, bob = exchange(here)
    alice.send(b"".join(said(str(number)) for number in range(25)))
    here.loop.run()
    assert bob.take() == heard(*(str(number) for number in range(20)))
    code, reason = goodbye(alice.take())
    assert code == 1008
    assert reason.startswith("rate_limited: message_rate or byte_rate")
    assert here.core.counters.dropped == {"rate_limited": 5}


def test_message_rate_kept_over_time_cuts_nobody(house: MakeHouse) -> None:
    """Ten a second for ten minutes is within ten a second."""
    here = house(message_rate=10, ping_interval=0)
    alice, bob = exchange(here)
    for _ in range(600):
        alice.send(b"".join(said("x") for _ in range(10)))
        here.loop.run()
        here.pass_time(1.0, step=1.0)
    assert not alice.gone()
    assert bob.take() == heard("x") * 6000


def test_byte_rate_counts_frames_and_closes_behind_the_burst(house: MakeHouse) -> None:
    """Two seconds' worth at once; one lump may go into debt."""
    here = house(byte_rate="1KiB")
    alice, bob = exchange(here)
    for _ in range(3):
        alice.send(said("x" * 1000))
        here.loop.run()
    assert not alice.gone()
    alice.send(said("x" * 1000))
    here.loop.run()
    assert goodbye(alice.take())[0] == 1008
    assert bob.take() == heard("x" * 1000) * 3


def test_rates_off_let_a_million_messages_pass(house: MakeHouse) -> None:
    """By default one connection may send as fast as it can."""
    here = house()
    alice, bob = exchange(here)
    burst = said("x") * 10_000
    for _ in range(100):
        alice.send(burst)
        here.loop.run()
        bob.take()
    assert alice.connection.received == 10**6


# -- turns


def test_flood_of_tiny_frames_gives_way_after_its_share_of_a_turn(house: MakeHouse) -> None:
    """One connection handles at most 64 KiB in a turn; a stranger's message comes in between."""
    here = house()
    alice, bob = exchange(here)
    carol, dave = here.connect("other"), here.connect("other")
    flood = said("x") * 50_000
    alice.send(flood)
    assert not alice.pipe.is_reading()
    carol.send(said("stranger"))
    here.loop.turn()
    assert dave.take() == heard("stranger")
    assert len(bob.take()) <= TURN
    here.loop.run()
    assert alice.connection.received == 50_000
    assert alice.pipe.is_reading()


def test_flood_of_pings_gives_way_after_its_smaller_share(house: MakeHouse) -> None:
    """Frames that go to the judge cost more, so fewer of them make a turn; all are answered in order."""
    here = house()
    alice, _ = exchange(here)
    pings = [client_frame(PING, str(number).encode()) for number in range(5000)]
    alice.send(b"".join(pings))
    assert not alice.pipe.is_reading()
    first = len(alice.take())
    here.loop.run()
    rest = len(alice.take())
    assert 0 < first < rest
    assert first + rest == sum(len(server_frame(PONG, str(number).encode())) for number in range(5000))


def test_bytes_that_come_while_a_connection_rests_wait_in_order(house: MakeHouse) -> None:
    """Even a transport that hands over more than it was asked for mixes nothing up."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("x") * 20_000)
    alice.send(said("last"))
    here.loop.run()
    taken = bob.take()
    assert taken.count(heard("x")) == 20_000
    assert taken.endswith(heard("last"))


def test_fin_behind_a_flood_lets_all_of_it_be_relayed(house: MakeHouse) -> None:
    """What came before the FIN counts, although its turn had not come yet."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("x") * 30_000)
    alice.connection.eof_received()
    alice.pipe.lose()
    here.loop.run()
    assert bob.take() == heard("x") * 30_000
    assert here.core.counters.closed == {"1006": 1}


def test_connection_closed_by_us_while_it_rests_handles_nothing_more(house: MakeHouse) -> None:
    """The rest of a flood is discarded once its sender was sent away."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("x") * 30_000)
    alice.connection.close(CREDENTIALS_REVOKED)
    here.loop.run()
    assert goodbye(alice.take()) == (3000, "credentials_revoked")
    assert len(bob.take()) <= TURN
    assert alice.pipe.is_reading()
