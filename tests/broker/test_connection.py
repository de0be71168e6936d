"""One open WebSocket, with clock, loop and transport in the test's hand: relaying, answers, ends and faults."""

import math
from collections.abc import Callable

import pytest

from broker.errors import CREDENTIALS_REVOKED, SHUTDOWN
from broker.frames import BINARY, CLOSE, PING, PONG, TEXT, close_frame, server_frame
from tests.broker.doubles import House
from tests.broker.words import CHUNK, CUT, exchange, goodbye, heard, said, stuck
from tests.wire.raw import client_frame, close_payload

MakeHouse = Callable[..., House]


# -- relaying


def test_message_goes_to_everyone_else_and_never_back(house: MakeHouse) -> None:
    """The sender gets nothing; all others on the topic do; other topics do not."""
    here = house()
    alice, bob = exchange(here)
    carol, other = here.connect(), here.connect("other")
    alice.send(said("hello"))
    here.loop.run()
    assert [guest.take() for guest in (alice, bob, carol, other)] == [b"", heard("hello"), heard("hello"), b""]


def test_messages_of_one_read_leave_at_once_in_one_write(house: MakeHouse) -> None:
    """One write per subscriber, however many messages came together, and no turn of the loop in between."""
    here = house()
    alice, bob = exchange(here)
    alice.send(said("one") + said("two"))
    assert bob.take() == heard("one", "two")
    assert bob.pipe.writes == 1


def test_messages_of_the_rest_of_a_turn_leave_in_one_write(house: MakeHouse) -> None:
    """Who is not the first of a turn of the loop waits for its end: one write per subscriber for all of them."""
    here = house()
    alice, bob = exchange(here)
    carol = here.connect()
    for guest in (carol, alice, alice, carol):
        guest.send(said("a") + said("b"))
    here.loop.run()
    assert bob.take() == heard(*"ab" * 4)
    assert bob.pipe.writes == 2


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


# -- answers keep their place


def test_pong_leaves_behind_what_arrived_before_the_ping(house: MakeHouse) -> None:
    """A pong means: everything before your ping was fanned out."""
    here = house()
    alice, bob = exchange(here)
    bob.send(said("first"))
    assert alice.take() == heard("first")
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


def test_reloaded_limits_hold_for_connections_that_are_open(house: MakeHouse) -> None:
    """Size, rate and kind of what an open connection may send follow the settings."""
    here = house()
    alice, bob = exchange(here)
    carol, dave = here.connect(), here.connect()
    changed = {"max_message_size": 10, "message_rate": 1, "binary_as_text": True}
    here.core.reconfigure(here.core.settings.model_copy(update=changed))
    alice.send(client_frame(BINARY, b"text"))
    here.loop.run()
    assert bob.take() == heard("text")
    carol.send(said("longer than ten"))
    here.loop.run()
    assert goodbye(carol.take())[0] == 1009
    dave.send(said("a") * 3)
    here.loop.run()
    assert bob.take() == heard("a", "a")
    assert goodbye(dave.take())[0] == 1008


def test_what_comes_behind_a_close_is_nobodys(house: MakeHouse) -> None:
    """Also while the answer to the Close waits for somebody else's batch: reading pauses until it is discarded."""
    here = house()
    alice, bob = exchange(here)
    carol = here.connect()
    carol.send(said("alone"))
    carol.send(said("collected"))
    alice.send(said("mine") + client_frame(CLOSE, close_payload(1000)))
    assert alice.gone()
    assert not alice.pipe.is_reading()
    here.loop.run()
    assert alice.pipe.is_reading()
    alice.send(said("late"))
    here.loop.run()
    assert bob.take() == heard("alone", "collected", "mine")


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
    assert (connection.pending, connection.judge, connection.backlog) == (None, None, None)
    assert not hasattr(connection, "__dict__")
