"""The settings profile for the open internet."""

from pathlib import Path

import pytest
from typer.testing import CliRunner
from websockets.asyncio.client import connect

from broker.cli import app
from broker.config import load_settings
from broker.settings import Settings
from tests.conftest import MakeBroker

PROFILE = Path(__file__).parents[2] / "deploy" / "internet.toml"
DEFAULTS = Settings()
LIMITS = [
    name
    for name in load_settings(file=PROFILE).model_fields_set
    if name.startswith("max_") or name.endswith(("_rate", "_timeout")) or name == "auth_failures"
]


def test_profile_passes_check_config() -> None:
    """`wsbroker check-config` calls the file good."""
    ended = CliRunner().invoke(app, ["check-config", str(PROFILE)])
    assert (ended.exit_code, ended.output) == (0, f"{PROFILE}: good\n")


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_profile_limit_is_stricter_than_the_default(name: str) -> None:
    """Every limit that the profile names is lower than the default, of which 0 is none at all."""
    value, default = getattr(load_settings(file=PROFILE), name), getattr(DEFAULTS, name)
    assert 0 < value < (default or float("inf"))


def test_profile_leaves_no_cap_open() -> None:
    """No cap is left at `no limit`."""
    profile = load_settings(file=PROFILE)
    caps = [name for name in Settings.model_fields if name.startswith("max_") or name.endswith("_rate")]
    assert [name for name in caps if getattr(profile, name) == 0] == []


async def test_profile_serves_ordinary_clients(make_broker: MakeBroker) -> None:
    """With these limits an account subscribes and publishes like with the defaults."""
    here = {"host", "tls_certificate", "tls_key", "admin_host", "log_format"}
    values = load_settings(file=PROFILE).model_dump(exclude=here, exclude_unset=True)
    broker = await make_broker(**values)
    url = f"ws://alice:secret@127.0.0.1:{broker.port}/ws?topic=sms"
    async with connect(url, proxy=None) as subscriber, connect(url, proxy=None) as publisher:
        for number in range(50):
            await publisher.send(f"message {number}")
        assert [await subscriber.recv() for _ in range(50)] == [f"message {number}" for number in range(50)]
