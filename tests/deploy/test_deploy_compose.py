"""compose.yaml without an engine: it parses, and everything it names exists in the image and among the settings."""

from pathlib import Path
from typing import Any

import pytest

from broker.settings import Settings
from tests.deploy.dockerfile import ROOT, read_dockerfile

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (pip install pyyaml)")
FINAL = read_dockerfile()[-1]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as Compose reads it."""
    parsed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert isinstance(parsed, dict)
    return parsed


@pytest.fixture
def broker(compose: dict[str, Any]) -> dict[str, Any]:
    """The broker's service; the documented commands name it."""
    service = compose["services"]["broker"]
    assert isinstance(service, dict)
    return service


def test_compose_builds_the_dockerfile(broker: dict[str, Any]) -> None:
    """The build context holds a Dockerfile."""
    assert (ROOT / Path(broker["build"]) / "Dockerfile").is_file()


def test_compose_publishes_to_this_machine_only(broker: dict[str, Any]) -> None:
    """Both ports of the image are published, on the loopback: without TLS nothing else is safe."""
    published = [port.rsplit(":", 1) for port in broker["ports"]]
    assert [inside for _, inside in published] == FINAL.last("EXPOSE").split()
    assert all(outside.startswith("127.0.0.1:") for outside, _ in published)


def test_compose_environment_names_settings(broker: dict[str, Any]) -> None:
    """Every variable is a setting that accepts its value."""
    names = {name.removeprefix("WSBROKER_").lower(): value for name, value in broker["environment"].items()}
    Settings(**names)


def test_compose_keeps_accounts_in_a_named_volume(compose: dict[str, Any], broker: dict[str, Any]) -> None:
    """The volume that is mounted is declared, and lies where the image keeps the password file."""
    [(name, target)] = [volume.split(":") for volume in broker["volumes"]]
    assert name in compose["volumes"]
    assert target == FINAL.last("WORKDIR")


def test_compose_waits_for_the_drain(broker: dict[str, Any]) -> None:
    """The engine kills the broker only after drain_time and its 3 s are over."""
    assert float(broker["stop_grace_period"].removesuffix("s")) >= Settings().drain_time + 3
