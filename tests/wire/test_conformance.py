"""RFC 6455, case by case, over real sockets: we send, the broker relays, a peer on the topic sends everything back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby

import pytest

from broker import WSMessageBroker
from tests.conftest import MakeBroker
from tests.wire import autobahn, autobahn_bulk, autobahn_text
from tests.wire.autobahn import Case
from tests.wire.autobahn_bulk import MIB, Bulk
from tests.wire.conftest import BROKERS_LOOP, Dial
from tests.wire.raw import PATIENCE, Frame, Wire, client_frame, text

END = text("the case is over")
"""Published behind each case: what the peer got before it is all that the case made the broker relay."""


SECTIONS = {
    section: list(cases)
    for section, cases in groupby((*autobahn.CASES, *autobahn_text.CASES), lambda case: case.number.rpartition(".")[0])
}
"""Cases by the number of their subsection, such as 1.1 or 5; they share a broker, and nothing else."""


@asynccontextmanager
async def echo_peer(broker: WSMessageBroker, dial: Dial) -> AsyncIterator[list[Frame]]:
    """Put a peer on the topic that sends every message back; on leaving, wait until it saw `END`."""
    peer, received = await dial(broker), list[Frame]()

    async def run() -> None:
        while (frame := await peer.frame()) != END:
            received.append(frame)
            await peer.send(client_frame(frame.first, frame.payload))

    running = asyncio.create_task(run())
    try:
        yield received
        last = await dial(broker)
        await last.send(client_frame(*END))
        async with asyncio.timeout(PATIENCE):
            await running
    finally:
        running.cancel()


async def play(case: Case, client: Wire) -> list[Frame]:
    """Send what the case says and read what comes back, up to the end of the connection; return the answers."""
    for piece in case.sent:
        await client.send(piece, case.chop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    if case.close:
        *answers, last = await client.frames_to_end()
        assert last.code == case.close
        return answers
    answers = await client.frames(len(case.answers))
    await client.say_goodbye()
    return answers


async def check(case: Case, broker: WSMessageBroker, dial: Dial) -> None:
    """Play one case and compare what came back and what was relayed."""
    async with echo_peer(broker, dial) as received:
        answers = await play(case, await dial(broker))
    assert received == list(case.messages)
    allowed = [list(case.answers)] if case.strict else [[], list(case.answers)]
    assert answers in allowed


@pytest.mark.parametrize("section", list(SECTIONS))
async def test_conformance_of_a_section(section: str, make_broker: MakeBroker, dial: Dial) -> None:
    """Each Autobahn case of the sections 1 to 7 and 10 is answered, relayed and closed as the suite wants it."""
    broker = await make_broker()
    for case in SECTIONS[section]:
        try:
            await check(case, broker, dial)
        except BaseException as error:
            error.add_note(f"in Autobahn case {case.number}")
            raise


@pytest.mark.asyncio(loop_factories=[BROKERS_LOOP])
@pytest.mark.parametrize("case", autobahn_bulk.CASES, ids=lambda case: case.number)
async def test_conformance_in_bulk(case: Bulk, make_broker: MakeBroker, dial: Dial) -> None:
    """Each Autobahn case of section 9 comes back whole, however large, chopped or fragmented it is."""
    broker = await make_broker(max_message_size=16 * MIB, max_queued_bytes=64 * MIB, max_fragments=70_000)
    sent, expected = case.wire(), Frame(case.first, case.payload())
    async with echo_peer(broker, dial) as received:
        client = await dial(broker)
        for _ in range(case.count):
            await client.send(sent, case.chop)
            assert await client.frame() == expected
        await client.say_goodbye()
    assert len(received) == case.count


def test_conformance_table_is_complete() -> None:
    """No case of the suite is missing: 301 without those of compression, which is declined."""
    cases: list[Case | Bulk] = [case for section in SECTIONS.values() for case in section]
    cases += autobahn_bulk.CASES
    assert len({case.number for case in cases}) == len(cases)
    assert Counter(int(case.number.split(".")[0]) for case in cases) == {
        1: 16,
        2: 11,
        3: 7,
        4: 10,
        5: 20,
        6: 145,
        7: 37,
        9: 54,
        10: 1,
    }
