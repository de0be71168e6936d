"""Alarms, sweeps, and what was logged last."""

import asyncio
import logging
from typing import Any, Literal

import pytest

from broker.logs import Log
from otp.pi import settings
from otp.pi.guards import Alarms
from otp.pi.housekeeping import Watch, every
from otp.pi.model import Origin
from otp.pi.recent import Recent

LIMITS = settings.Guards(total_hour=10, total_day=100, per_user_hour=5)


class Budgets:
    """What was counted, by scope."""

    def __init__(self, **used: int) -> None:
        self.used_up = used

    async def used(self, scope: str, name: str, span: Literal["hour", "day", "month"]) -> int:
        assert name == "all"
        assert scope.endswith(span)
        return self.used_up.get(scope, 0)

    async def sweep(self, keep: float) -> int:
        raise AssertionError


def watching(budgets: Budgets) -> tuple[Watch, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    return Watch(Alarms(LIMITS), budgets, told.append, lambda: 1_000.0), told


async def test_total_that_is_nearly_used_up_raises_an_alarm_once(caplog: pytest.LogCaptureFixture) -> None:
    """At 80 percent, in the log and to whoever is told; once an hour."""
    budgets = Budgets(total_hour=7, total_day=7)
    watch, told = watching(budgets)
    await watch.look()
    assert told == []
    budgets.used_up["total_hour"] = 8
    await watch.look()
    await watch.look()
    assert told == [
        {
            "event": "alarm",
            "alarm": "budget_near",
            "at": 1_000.0,
            "scope": "total_hour",
            "user": None,
            "used": 8,
            "limit": 10,
        }
    ]
    assert caplog.text.count("budget_near scope=total_hour used=8 limit=10") == 1


def test_budget_that_is_used_up_raises_an_alarm_once() -> None:
    """The first refusal of a user's budget tells, with the user; a blocked receiver is no alarm."""
    watch, told = watching(Budgets())
    for reason in ("blocked", "budget:user_hour", "budget:user_hour"):
        watch.refused(reason, Origin(road="rest", user="app"))
    watch.refused("budget:user_hour", Origin(road="amqp"))
    assert [(each["alarm"], each["user"]) for each in told] == [("budget_used_up", "app"), ("budget_used_up", "amqp")]


async def test_work_is_done_now_and_then_until_it_fails() -> None:
    """What it raises ends it, so that whoever keeps it running knows."""
    slept: list[float] = []
    done: list[int] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def work() -> None:
        done.append(1)
        if len(done) == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await every(10.0, work, sleep=sleep)
    assert (slept, len(done)) == ([10.0] * 3, 3)


def test_last_events_are_remembered_with_their_fields() -> None:
    """The newest ones, without debug, without fields that say nothing; lines of libraries by their text."""
    logger = logging.getLogger("otp.pi.test_recent")
    recent = Recent(kept=3)
    logger.addHandler(recent)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    log = Log("otp.pi.test_recent")
    for number in range(3):
        log.info("sms_sent", journal=number, modem=None)
    log.debug("nothing")
    logger.warning("a library says %s", "hello")
    events = [{key: value for key, value in each.items() if key != "at"} for each in recent.events()]
    assert events == [
        {"level": "info", "event": "sms_sent", "journal": 1},
        {"level": "info", "event": "sms_sent", "journal": 2},
        {"level": "warning", "event": "a library says hello"},
    ]
    logger.removeHandler(recent)


async def test_every_waits_by_itself() -> None:
    """Without a clock of the test it sleeps on the loop's."""
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    task = asyncio.create_task(every(0.0, work))
    await asyncio.wait_for(done.wait(), 10)
    task.cancel()
