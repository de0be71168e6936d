"""The modems: which one is lent, how they are, and that one's trouble is not another's."""

import asyncio

import pytest

from otp.numbers import Numbers
from otp.pi import settings
from otp.pi.modems.pool import Lease, Pool
from otp.pi.modems.quotas import Quotas, Refusal
from otp.pi.modems.status import ModemState
from tests.pi.outbox_doubles import NUMBER, FakeJournal, FakeModem, table, virtually


def modems(*tables: settings.Modem) -> dict[str, FakeModem]:
    return {each.name: FakeModem(each, []) for each in tables}


def pool_of(found: dict[str, FakeModem], **sms: object) -> Pool:
    return Pool(list(found.values()), settings.Sms(**sms), Numbers(), FakeJournal())  # type: ignore[arg-type]


def lent(pool: Pool, **wishes: object) -> Lease:
    lease = pool.lend(NUMBER, **wishes)  # type: ignore[arg-type]
    assert lease is not None
    return lease


async def test_least_recently_used_is_lent_first() -> None:
    """Equals take turns."""
    pool = pool_of(modems(table("a"), table("b"), table("c")))
    order = []
    for _ in range(6):
        lease = lent(pool)
        order.append(lease.name)
        pool.release(lease)
    assert order[:3] == order[3:]
    assert set(order) == {"a", "b", "c"}


async def test_modem_is_lent_to_one_at_a_time() -> None:
    """Two messages never share a modem; a second is lent another, a third none."""
    pool = pool_of(modems(table("a"), table("b")))
    first, second = lent(pool), lent(pool)
    assert first.name != second.name
    assert pool.lend(NUMBER) is None
    pool.release(first)
    assert lent(pool).name == first.name


async def test_wishes_are_honoured() -> None:
    """Avoided modems are not lent, and a pinned one or none is."""
    found = modems(table("a"), table("b"))
    pool = pool_of(found)
    assert lent(pool, avoid=frozenset({"a"})).name == "b"
    assert pool.lend(NUMBER, pin="b") is None
    assert lent(pool, pin="a").name == "a"
    found["a"].become(ModemState.ABSENT)
    assert not pool.works("a")
    assert pool.works("b")
    assert not pool.usable(NUMBER, frozenset({"b"}))


@pytest.mark.parametrize("state", [state for state in ModemState if state is not ModemState.READY])
async def test_modem_that_is_not_ready_is_not_lent(state: ModemState) -> None:
    """Only a registered modem is."""
    found = modems(table("a"))
    pool = pool_of(found)
    found["a"].become(state)
    assert pool.configured
    assert not pool.usable(NUMBER)
    assert pool.lend(NUMBER) is None


@pytest.mark.parametrize("switch", ["active", "sms"])
async def test_modem_that_is_not_meant_for_messages_is_not_lent(switch: str) -> None:
    """It is listed all the same; without another none is configured."""
    pool = pool_of(modems(table("a", **{switch: False})))
    assert not pool.configured
    assert not pool.usable(NUMBER)
    assert pool.lend(NUMBER) is None
    assert [status.name for status in pool.statuses()] == ["a"]


async def test_modem_is_found_by_name_imei_and_imsi() -> None:
    """And by nothing else: an empty word finds none."""
    found = modems(table("sim-1"), table("sim-2"))
    pool = pool_of(found)
    assert [pool.find(each) for each in ("sim-2", "352", "512", "", "sim-9")] == [found["sim-2"]] * 3 + [None, None]


def test_breaker_makes_a_modem_rest_and_says_so() -> None:
    """After its failures it is resting for a minute, is lent once then, and rests for longer when that fails."""

    async def main() -> None:
        pool = pool_of(modems(table("a")), breaker_failures=2)
        woken = []
        pool.on_change = lambda: woken.append(asyncio.get_running_loop().time())
        for _ in range(2):
            lease = lent(pool)
            pool.failed(lease)
            pool.release(lease)
        (status,) = pool.statuses()
        assert (status.state, status.detail) == (
            ModemState.RESTING,
            "It failed several times in a row; tried again in 60 s.",
        )
        assert not pool.usable(NUMBER)
        await asyncio.sleep(60.5)
        assert woken[-1] == 60.0
        assert pool.statuses()[0].state is ModemState.READY
        lease = lent(pool)
        pool.failed(lease)
        pool.release(lease)
        await asyncio.sleep(61)
        assert not pool.usable(NUMBER)
        await asyncio.sleep(60)
        lease = lent(pool)
        pool.worked(lease)
        pool.release(lease)
        assert pool.usable(NUMBER)

    virtually(main())


def test_resting_is_said_only_of_a_modem_that_would_work() -> None:
    """One that is unplugged is absent, whatever its breaker says."""

    async def main() -> None:
        found = modems(table("a"))
        pool = pool_of(found, breaker_failures=1)
        pool.failed(lent(pool))
        found["a"].become(ModemState.ABSENT)
        assert pool.statuses()[0].state is ModemState.ABSENT

    virtually(main())


async def test_lane_is_the_same_for_those_that_the_same_modems_take() -> None:
    """Receivers share a lane when the same prefixes fit, and every lane is known beforehand."""
    pool = pool_of(modems(table("a", prefixes="+62812"), table("b", prefixes="+62"), table("c", default=True)))
    lanes = {number: pool.lane(number) for number in ("+628121", "+628122", "+62855", "+1555", "123")}
    assert lanes["+628121"] == lanes["+628122"]
    assert lanes["+1555"] == lanes["123"]
    assert len(set(lanes.values())) == 3
    assert set(lanes.values()) <= set(pool.lanes)


def test_pool_runs_active_modems_and_starts_again_those_that_fail() -> None:
    """A fault in one modem's driver ends neither it nor the others."""

    class Faulty(FakeModem):
        runs = 0

        async def run(self) -> None:
            self.runs += 1
            if self.runs < 3:
                raise RuntimeError("fault")
            await super().run()

    class Counted(FakeModem):
        runs = 0

        async def run(self) -> None:
            self.runs += 1
            await super().run()

    async def main() -> None:
        faulty, well, off = Faulty(table("a"), []), Counted(table("b"), []), Counted(table("c", active=False), [])
        pool = Pool([faulty, well, off], settings.Sms(), Numbers(), FakeJournal())
        task = asyncio.create_task(pool.run())
        await asyncio.sleep(30)
        assert (faulty.runs, well.runs, off.runs) == (3, 1, 0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    virtually(main())


async def test_quotas_say_which_is_used_up_and_for_whom() -> None:
    """A message that does not fit is told apart from a quota that nothing fits into any more."""
    journal = FakeJournal()
    quotas = Quotas(journal)
    modem = table("a", per_hour=3, per_day=5, per_month=100, recipients_per_day=1)
    assert await quotas.refusal(modem, NUMBER, 3) is None
    assert await quotas.refusal(modem, NUMBER, 4) == Refusal("per_hour", for_all=False)
    for _ in range(3):
        await quotas.count(modem, NUMBER)
    assert await quotas.refusal(modem, NUMBER, 1) == Refusal("per_hour", for_all=True)
    journal.budgets["modem_parts", "a", "hour"] = 0
    assert await quotas.refusal(modem, NUMBER, 1) is None
    assert await quotas.refusal(modem, "+62855", 1) == Refusal("recipients_per_day", for_all=False)
    assert journal.budgets["modem_receivers", "a", "day"] == 1


async def test_modem_without_quotas_asks_the_journal_nothing() -> None:
    """No quota, no write at the prompt."""
    journal = FakeJournal()
    quotas = Quotas(journal)
    assert await quotas.refusal(table("a"), NUMBER, 200) is None
    await quotas.count(table("a"), NUMBER)
    assert journal.calls == []
