"""One open WebSocket, with clock, loop and transport in the test's hand: manners, bounds, turns, ends."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from broker.connection import PING_FRAME, QUIET_START, TURN
from broker.errors import CREDENTIALS_REVOKED, SHUTDOWN
from broker.frames import BINARY, CLOSE, PING, PONG, TEXT, close_frame, server_frame
from tests.broker.doubles import Guest, House
from tests.wire.raw import client_frame, close_payload

MakeHouse = Callable[..., House]

CUT = {"max_message_size": "64KiB", "max_queued_bytes": "256KiB"}
"""A small bound, so that a test crosses it with few messages."""
CHUNK = 60_000
"""Bytes of a message; five of them are above the bound, two above a transport's high-water mark."""


def said(message: str) -> bytes:
    """A text message as a client sends it."""
    return client_frame(TEXT, message.encode())


def heard(*messages: str) -> bytes:
    """Text messages as a client gets them."""
    return b"".join(server_frame(TEXT, message.encode()) for message in messages)


def goodbye(data: bytes) -> tuple[int, str]:
    """Take code and reason off the Close frame at the end of what was sent."""
    start = data.rindex(bytes((CLOSE,)))
    assert data[start + 1] == len(data) - start - 2
    return int.from_bytes(data[start + 2 : start + 4], "big"), data[start + 4 :].decode()


def exchange(house: House) -> tuple[Guest, Guest]:
    """Two clients on a topic."""
    return house.connect(), house.connect(user="bob")


# -- relaying


def test_message_goes_to_everyone_else_and_never_back(house: MakeHouse) -> None:
    """The sender gets nothing; all others on the topic do; other topics do not."""
    here = house()
    alice, bob = exchange(here)
    carol, other = here.connect(), here.connect("other")
    alice.send(said("hello"))
    here.loop.run()
    assert [guest.take() for guest in (alice, bob, carol, other)] == [b"", heard("hello"), heard("hello"), b""]


def test_messages_of_one_turn_leave_in_one_write(house: MakeHouse) -> None:
    """Batched per turn of the loop: one write per subscriber, however many messages came."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("one") + said("two"))
    alice.send(said("three"))
    here.loop.run()
    assert bob.take() == heard("one", "two", "three")
    assert bob.pipe.writes == 1


def test_messages_of_several_senders_in_one_turn_reach_each_without_its_own(house: MakeHouse) -> None:
    """Order holds per sender, and nobody gets their own back."""
    here = house()
    alice, bob = exchange(here)
    carol = here.connect()
    alice.send(said("a1"))
    bob.send(said("b1"))
    alice.send(said("a2"))
    here.loop.run()
    assert alice.take() == heard("b1")
    assert bob.take() == heard("a1", "a2")
    assert carol.take() == heard("a1", "b1", "a2")


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536])
def test_message_fed_byte_by_byte_is_relayed_once_it_is_whole(house: MakeHouse, size: int) -> None:
    """Whatever TCP does to a frame, it is one message, and nothing is relayed before its end."""
    here = house()
    alice, bob = exchange(here)
    data = client_frame(BINARY, b"x" * size)
    step = 1 if size < 1000 else 997
    for start in range(0, len(data), step):
        assert bob.take() == b""
        alice.send(data[start : start + step])
        here.loop.run()
    assert bob.take() == server_frame(BINARY, b"x" * size)
    alice.send(said("next"))
    here.loop.run()
    assert bob.take() == heard("next")


def test_frames_split_anywhere_in_a_stream_are_relayed_in_order(house: MakeHouse) -> None:
    """A read may end in the middle of a header, a mask or a payload of any frame."""
    here = house()
    alice, bob = exchange(here)
    stream = said("one") + client_frame(PING, b"p") + said("two" * 50) + client_frame(TEXT, b"th", fin=False)
    stream += client_frame(0x80, b"ree") + said("four")
    for split in range(1, len(stream)):
        alice.send(stream[:split])
        alice.send(stream[split:])
        here.loop.run()
        assert bob.take() == heard("one", "two" * 50, "three", "four")
        assert alice.take() == server_frame(PONG, b"p")


def test_early_data_behind_the_request_is_relayed(house: MakeHouse) -> None:
    """A client's first frame may share the segment of its request."""
    here = house()
    bob = here.connect(user="bob")
    here.connect(early=said("early"))
    here.loop.run()
    assert bob.take() == heard("early")


def test_binary_as_text_turns_utf8_into_text_and_leaves_the_rest(house: MakeHouse) -> None:
    """For receivers that know text only; what is not UTF-8 stays binary, fragments too."""
    here = house(binary_as_text=True)
    alice, bob = exchange(here)
    alice.send(client_frame(BINARY, "{€}".encode()) + client_frame(BINARY, b"\xff") + said("text"))
    alice.send(client_frame(BINARY, b"frag", fin=False) + client_frame(0x80, b"mented"))
    here.loop.run()
    assert bob.take() == heard("{€}") + server_frame(BINARY, b"\xff") + heard("text", "fragmented")


def test_binary_stays_binary_by_default(house: MakeHouse) -> None:
    """What a client called binary is relayed as binary."""
    here = house()
    alice, bob = exchange(here)
    alice.send(client_frame(BINARY, b"{}"))
    here.loop.run()
    assert bob.take() == server_frame(BINARY, b"{}")


def test_empty_messages_are_relayed_unless_they_are_to_be_dropped(house: MakeHouse) -> None:
    """An empty message is a message; `drop_empty_messages` drops it, counted."""
    for drop, expected in ((False, heard("", "x")), (True, heard("x"))):
        here = house(drop_empty_messages=drop)
        alice, bob = exchange(here)
        alice.send(said("") + said("x"))
        here.loop.run()
        assert bob.take() == expected
        assert here.core.counters.dropped["empty"] == drop


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


# -- slow


def stuck(house: House, **_: object) -> tuple[Guest, Guest, Guest]:
    """A sender, a reader that takes nothing, and one that keeps up."""
    sender, slow, fast = house.connect(), house.connect(user="bob"), house.connect(user="bob")
    slow.pipe.taking = False
    return sender, slow, fast


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


# -- answers keep their place


def test_pong_leaves_behind_what_arrived_before_the_ping(house: MakeHouse) -> None:
    """A pong means: everything before your ping was fanned out."""
    here = house()
    alice, bob = exchange(here)
    bob.send(said("before") + said("it"))
    alice.send(said("mine") + client_frame(PING, b"p"))
    assert alice.take() == b""
    here.loop.run()
    assert alice.take() == heard("before") + heard("it") + server_frame(PONG, b"p")
    assert bob.take() == heard("mine")


def test_message_that_comes_alone_goes_out_at_once(house: MakeHouse) -> None:
    """Nothing else is in its turn to wait for; the next one of the same moment waits for the turn's end."""
    here = house()
    alice, bob = exchange(here)
    bob.send(said("alone"))
    assert alice.take() == heard("alone")
    bob.send(said("second"))
    assert alice.take() == b""
    here.loop.run()
    assert alice.take() == heard("second")


def test_pongs_of_one_turn_leave_in_one_write(house: MakeHouse) -> None:
    """Many pings at once cost one write, in their order, and the Close behind them another."""
    here = house()
    alice, _ = exchange(here)
    pings = [str(number).encode() for number in range(20)]
    alice.send(b"".join(client_frame(PING, ping) for ping in pings))
    here.loop.run()
    assert alice.take() == b"".join(server_frame(PONG, ping) for ping in pings)
    assert alice.pipe.writes == 1
    alice.send(client_frame(PING, b"last") + client_frame(CLOSE, close_payload(1000)))
    here.loop.run()
    assert alice.take() == server_frame(PONG, b"last") + close_frame(1000)


def test_close_reply_leaves_behind_the_messages_before_it(house: MakeHouse) -> None:
    """What a client sent before its Close is relayed, and answered with its own code."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("last words") + client_frame(CLOSE, close_payload(3999, b"bye")) + said("too late"))
    here.loop.run()
    assert bob.take() == heard("last words")
    assert alice.take() == close_frame(3999)
    assert here.core.counters.closed.total() == 1


def test_empty_close_is_answered_with_a_code(house: MakeHouse) -> None:
    """PHP's fread fails on an empty frame, so every Close carries a code."""
    here = house()
    alice, _ = exchange(here)
    alice.send(client_frame(CLOSE))
    here.loop.run()
    assert alice.take() == close_frame(1000)


# -- the end


def test_closed_client_is_half_closed_then_cut_after_close_timeout(house: MakeHouse) -> None:
    """Our last word stays readable; who does not hang up is cut, and its descriptor with it."""
    here = house(close_timeout="5s")
    alice, _ = exchange(here)
    alice.send(client_frame(CLOSE, close_payload(1000)))
    here.loop.run()
    assert alice.pipe.ended
    assert here.core.census.by_user["alice"] == 0
    alice.send(b"discarded")
    assert alice.pipe.protocol.eof_received() is None
    here.pass_time(4.5)
    assert not alice.pipe.was_aborted()
    here.pass_time(1)
    assert alice.pipe.was_aborted()
    alice.pipe.lose()
    assert here.core.census.open == 1
    assert not here.core.transients


def test_client_that_hangs_up_after_the_close_is_not_cut(house: MakeHouse) -> None:
    """The end of TCP is the end of the story."""
    here = house(close_timeout="5s")
    alice, _ = exchange(here)
    alice.send(client_frame(CLOSE, close_payload(1000)))
    here.loop.run()
    alice.pipe.lose()
    here.pass_time(10)
    assert not alice.pipe.was_aborted()
    assert here.core.census.open == 1


def test_lost_connection_is_read_to_its_end(house: MakeHouse) -> None:
    """Messages that the kernel holds when a connection is reset are relayed: 3 to 4 % would be lost without."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("whole") + said("split")[:5])
    alice.pipe.far.send(said("split")[5:] + said("unread") * 3000)
    alice.pipe.lose(ConnectionResetError())
    here.loop.run()
    assert bob.take() == heard("whole", "split") + heard("unread") * 3000
    assert here.core.counters.closed == {"1006": 1}
    assert here.core.census.open == 1


def test_lost_connection_over_tls_is_not_read_behind_the_transports_back(house: MakeHouse) -> None:
    """What the kernel holds is sealed there."""
    here = house()
    alice, bob = exchange(here)
    alice.pipe.extra["sslcontext"] = object()
    alice.pipe.far.send(said("sealed"))
    alice.pipe.lose()
    here.loop.run()
    assert bob.take() == b""


def test_lost_connection_with_half_a_frame_relays_nothing_of_it(house: MakeHouse) -> None:
    """A message without its end was never sent."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("never finished")[:-1])
    alice.pipe.lose()
    here.loop.run()
    assert bob.take() == b""


def test_leaving_client_may_finish_what_it_says(house: MakeHouse) -> None:
    """While the broker drains, a publisher's messages count until it answers the Close; it gets none itself."""
    here = house()
    alice, bob = exchange(here)
    alice.connection.leave(SHUTDOWN)
    alice.connection.leave(SHUTDOWN)
    assert alice.take() == close_frame(1001, "shutdown")
    bob.send(said("for nobody"))
    alice.send(said("still counts"))
    here.loop.run()
    assert bob.take() == heard("still counts")
    assert not alice.gone()
    alice.send(client_frame(CLOSE, close_payload(1001)))
    here.loop.run()
    assert alice.gone()
    assert alice.take() == b""
    assert alice.pipe.ended
    assert here.core.counters.closed == {"1001": 1}


def test_leaving_client_gets_what_arrived_before_its_close(house: MakeHouse) -> None:
    """Messages of the same turn are flushed first: a Close never overtakes them."""
    here = house()
    alice, bob = exchange(here)
    bob.send(said("just in time"))
    alice.connection.leave(SHUTDOWN)
    here.loop.run()
    assert alice.take() == heard("just in time") + close_frame(1001, "shutdown")


def test_client_asked_to_leave_twice_in_one_turn_gets_one_close(house: MakeHouse) -> None:
    """The second word is not needed, and a Close of its own in the same turn wins."""
    here = house()
    alice, bob = exchange(here)
    here.connect()
    for text in ("a", "b"):
        bob.send(said(text))
    alice.connection.leave(SHUTDOWN)
    alice.connection.leave(SHUTDOWN)
    here.loop.run()
    assert alice.take() == heard("a", "b") + close_frame(1001, "shutdown")


def test_client_lost_in_the_turn_of_its_close_is_written_to_no_more(house: MakeHouse) -> None:
    """Between the verdict and the last word the line may break."""
    here = house()
    alice, bob = exchange(here)
    for text in ("a", "b"):
        bob.send(said(text))
    alice.take()
    alice.send(client_frame(TEXT, b"x", mask=None))
    alice.pipe.lose()
    here.loop.run()
    assert alice.take() == b""
    assert alice.gone()
    assert here.core.counters.closed == {"1002": 1}
    assert here.core.census.open == 1


def test_client_closed_twice_is_told_the_first_reason(house: MakeHouse) -> None:
    """One Close, one count."""
    here = house()
    alice, _ = exchange(here)
    alice.connection.close(CREDENTIALS_REVOKED)
    alice.connection.close(SHUTDOWN)
    here.loop.run()
    assert goodbye(alice.take()) == (3000, "credentials_revoked")
    assert here.core.counters.closed == {"3000": 1}


def test_ping_interval_switched_off_by_a_reload_ends_the_pings(house: MakeHouse) -> None:
    """New settings count for who is connected already."""
    here = house(ping_interval="25s")
    alice, _ = exchange(here)
    here.core.reconfigure(here.core.settings.model_copy(update={"ping_interval": 0.0}))
    here.pass_time(600, step=5)
    assert alice.take() == b""


def test_leaving_client_that_settles_gets_what_waited_first(house: MakeHouse) -> None:
    """Draining loses nothing that waited for the end of `settle_time`."""
    here = house(settle_time="1s")
    bob, alice = here.connect(user="bob"), here.connect()
    bob.send(said("waits"))
    here.loop.run()
    alice.connection.leave(SHUTDOWN)
    here.loop.run()
    assert alice.take() == heard("waits") + close_frame(1001, "shutdown")


def test_leaving_client_that_never_answers_is_cut_after_close_timeout(house: MakeHouse) -> None:
    """Nobody holds up the end of the broker."""
    here = house(close_timeout="5s")
    alice, _ = exchange(here)
    alice.connection.leave(SHUTDOWN)
    here.pass_time(4.5)
    assert not alice.pipe.was_aborted()
    here.pass_time(1)
    assert alice.pipe.was_aborted()
    alice.pipe.lose()
    assert alice.gone()


def test_leaving_client_without_room_for_its_close_is_gone_at_once(house: MakeHouse) -> None:
    """A reader whose queue is full is slow first of all, and nobody waits for its answer."""
    here = house(write_timeout=0, **CUT)
    sender, slow, _ = stuck(here)
    for _ in range(4):
        sender.send(said("x" * CHUNK))
        here.loop.run()
    room = 2**18 - slow.pipe.get_write_buffer_size()
    sender.send(said("x" * (room - 4 - 2)))
    here.loop.run()
    assert not slow.gone()
    slow.connection.leave(SHUTDOWN)
    here.loop.run()
    assert slow.gone()
    assert slow.connection.due == math.inf


# -- faults


def test_fault_of_ours_ends_one_connection_and_no_other(house: MakeHouse, caplog: pytest.LogCaptureFixture) -> None:
    """1011 internal_error, a log line without the exception's text, and the others go on."""

    def broken(payload: bytes, mask: bytes) -> bytes:
        raise RuntimeError("payload: hunter2")

    here = house()
    alice, bob = exchange(here)
    here.core.unmask, unmask = broken, here.core.unmask
    alice.send(said("hunter2"))
    here.core.unmask = unmask
    here.loop.run()
    assert goodbye(alice.take()) == (1011, "internal_error")
    assert "internal_error id=1 user=alice" in caplog.text
    assert "RuntimeError at broken:" in caplog.text
    assert "hunter2" not in caplog.text
    assert not bob.gone()


def test_fault_in_the_fan_out_costs_only_the_member_it_happened_to(house: MakeHouse) -> None:
    """A transport that raises ends its own connection; the others get their message."""
    here = house()
    alice, bob = exchange(here)
    carol = here.connect()

    def broken(data: bytes) -> None:
        bob.pipe.write = write  # type: ignore[method-assign] # once only: the Close goes out
        raise RuntimeError

    write = bob.pipe.write
    bob.pipe.write = broken  # type: ignore[method-assign, assignment] # a transport that fails
    alice.send(said("hello"))
    here.loop.run()
    assert carol.take() == heard("hello")
    assert goodbye(bob.take()) == (1011, "internal_error")


def test_progress_of_a_connection_that_was_just_lost_is_no_fault(house: MakeHouse) -> None:
    """Between the loss of a flooding slow reader and its turn to be forgotten, its socket is closed already."""
    here = house(write_timeout="1s")
    sender, slow, _ = stuck(here)
    sender.send(said("x" * 70_000))
    here.loop.run()
    slow.send(said("y") * 30_000)
    slow.pipe.lose()
    slow.pipe.near.close()
    here.core.check_behind(here.clock.turn(5))
    here.loop.run()
    assert slow.gone()


def test_idle_connection_holds_no_buffer_and_no_judge(house: MakeHouse) -> None:
    """After any exchange, what is left of it is nothing: memory per idle client stays small."""
    here = house()
    alice, _ = exchange(here)
    alice.send(said("x" * 1000)[:500])
    alice.send(said("x" * 1000)[500:] + client_frame(TEXT, b"a", fin=False) + client_frame(0x80, b"b"))
    alice.send(client_frame(PING, b"p"))
    here.loop.run()
    connection = alice.connection
    assert (connection.pending, connection.judge, connection.held) == (None, None, None)
    assert not hasattr(connection, "__dict__")
