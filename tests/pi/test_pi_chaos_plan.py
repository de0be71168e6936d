"""What the chaos test is drawn from."""

import pytest

from otp.numbers import Numbers
from tests.pi.chaos.plan import PARTS, ROADS, draw


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_plan_has_all_messages_and_all_kills(seed: int) -> None:
    """Every message is published on the road of its half, and each part is killed at least once a round."""
    plan = draw(seed, messages=500, kills=20)
    assert [text.roads[0] for text in plan.texts] == [*ROADS] * 250
    assert len({text.text for text in plan.texts}) == len({text.receiver for text in plan.texts}) == 500
    assert len(plan.rounds) == 20
    assert all(set(each.blows) == set(PARTS) and all(each.blows.values()) for each in plan.rounds)


def test_plan_of_a_seed_is_always_the_same() -> None:
    """A seed that found something finds the same kills at the same moments again."""
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_plan_has_some_of_every_kind() -> None:
    """There are hasty, long and foreign texts, repetitions, and messages that come over both roads."""
    texts = draw(3).texts
    assert any(text.hasty for text in texts)
    assert any(len(text.text) > 160 for text in texts)
    assert any("🔑" in text.text for text in texts)
    assert any(len(text.roads) > len(set(text.roads)) for text in texts)
    assert any(len(set(text.roads)) == 2 for text in texts)


def test_plan_has_receivers_as_the_journal_has_them() -> None:
    """What is counted by receiver must not be spelt in two ways."""
    numbers = Numbers()
    assert all(numbers.wire(text.receiver) == text.receiver for text in draw(1).texts)
