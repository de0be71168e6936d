"""Answers on topics."""

import asyncio
import json
from typing import Any

import pytest

from otp.incoming import Incoming, read
from otp.pi import callbacks
from otp.pi.callbacks import Callbacks
from otp.pi.model import Origin


def asking(topic: str, delay: object = 0) -> Incoming:
    command = {"command": "echo", "callback_topic": topic, "callback_delay": delay, "data": {}}
    return read(json.dumps(command), 1.0)


class Road:
    """Keeps what is published."""

    def __init__(self, error: Exception | None = None) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.error = error
        self.origin = Origin(road="ws", reply=self.publish)

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.published.append((topic, payload))


def ready(answer: dict[str, Any]) -> "asyncio.Future[dict[str, Any]]":
    future = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future


async def settle(answers: Callbacks) -> None:
    await asyncio.gather(*answers._tasks)


async def test_answer_goes_to_the_topic_that_was_asked_for() -> None:
    """An answer is one JSON object on the callback topic of the road the command came over."""
    road, answers = Road(), Callbacks({"sms"})
    command = asking("echo-1")
    assert answers.wanted(command, road.origin)
    answers.publish(command, road.origin, ready({"command": "echo", "response_code": "0000"}))
    await settle(answers)
    assert [(topic, json.loads(payload)) for topic, payload in road.published] == [
        ("echo-1", {"command": "echo", "response_code": "0000"})
    ]


@pytest.mark.parametrize(("topic", "reason"), [("sms", "subscribed_topic"), ("é" * 128, "topic_too_long")])
async def test_answer_where_none_may_go_is_dropped_and_told(
    topic: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Commands' own topics never get an answer: it would be read as a command, or start a loop."""
    dropped: list[str] = []
    answers = Callbacks({"sms", "events"}, dropped.append)
    assert not answers.wanted(asking(topic), Road().origin)
    assert dropped == [reason]
    assert f"reason={reason}" in caplog.text


async def test_nobody_waits_without_a_topic_or_a_road() -> None:
    """No topic, no answer; over REST the answer goes back at once."""
    answers = Callbacks(())
    assert not answers.wanted(asking(""), Road().origin)
    assert not answers.wanted(asking("echo-1"), Origin(road="rest"))


async def test_answers_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for answers faster than a road takes them loses answers, not the service its memory."""
    monkeypatch.setattr(callbacks, "MAX_WAITING", 1)
    dropped: list[str] = []
    road, answers = Road(), Callbacks((), dropped.append)
    never = asyncio.get_running_loop().create_future()
    answers.publish(asking("echo-1"), road.origin, never)
    assert not answers.wanted(asking("echo-2"), road.origin)
    assert dropped == ["too_many_answers"]
    await answers.close()
    assert road.published == []


async def test_lost_road_costs_the_answer_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """A road that cannot publish is a log line without the fault's text."""
    dropped: list[str] = []
    road, answers = Road(OSError("canary")), Callbacks((), dropped.append)
    answers.publish(asking("echo-1"), road.origin, ready({}))
    await settle(answers)
    assert dropped == ["road_lost"]
    assert "answer_lost road=ws" in caplog.text
    assert "canary" not in caplog.text


async def test_answer_waits_for_the_delay_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delay is milliseconds, also as text, and capped."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("otp.pi.callbacks.asyncio.sleep", sleep)
    road, answers = Road(), Callbacks(())
    for delay in (50, "52", 10**8):
        answers.publish(asking("echo-1", delay), road.origin, ready({}))
        await settle(answers)
    assert waited == [0.05, 0.052, 10.0]
