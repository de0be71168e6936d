"""Parts that fail are started again."""

import pytest

from otp.pi import supervisor


async def test_part_that_fails_is_started_again_after_longer_and_longer_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault costs a pause and a log line without the fault's text; a part that returns is done."""
    pauses: list[float] = []
    runs = 0

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs < 10:
            raise RuntimeError("code 123456")

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    await supervisor.keep("part", part, sleep=sleep)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert "part_failed part=part" in caplog.text
    assert "123456" not in caplog.text


async def test_part_that_ran_well_for_long_starts_with_the_first_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault a day does not add up."""
    monkeypatch.setattr(supervisor, "STABLE", -1.0)
    pauses: list[float] = []

    async def part() -> None:
        if len(pauses) < 3:
            raise RuntimeError

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    await supervisor.keep("part", part, sleep=sleep)
    assert pauses == [1, 1, 1]
