"""The peers: they start, they let clients in, and each speaks its own language."""

import subprocess
from pathlib import Path

import pytest

from bench.machine import choose_cores
from bench.peers import PEERS
from bench.peers.base import Peer
from bench.peers.mosquitto import Mosquitto, MqttDialect, variable_length
from bench.peers.ours import commit
from bench.process import running
from bench.runs import Pace, measure
from bench.shapes import Shape
from bench.tls import Certificate

CORE = choose_cores().broker
TINY = Pace(rounds=1, seconds=0.05, warm_up=0.02)


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_peer_relays(peer: Peer) -> None:
    """Every peer that is installed delivers every message to two subscribers, and none to its sender."""
    if reason := peer.unavailable():
        pytest.skip(reason)
    with running(peer, CORE) as broker:
        result = measure(broker, Shape(2, 4), CORE, TINY)
    assert result.deliveries == 2 * result.messages > 0
    assert peer.version()


@pytest.mark.parametrize(
    ("size", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001"), (2097151, "ffff7f")],
)
def test_mqtt_length_at_its_boundaries(size: int, encoded: str) -> None:
    """The table of MQTT 5.0, section 1.5.5, comes out as it stands there."""
    assert variable_length(size) == bytes.fromhex(encoded)


def test_mqtt_publish_and_subscribe() -> None:
    """Packets carry their topic, no properties, and ask not to be sent their own messages."""
    dialect = MqttDialect("u", "p").on("news")
    assert dialect.published(b"hi") == dialect.delivered(b"hi") == b"\x30\x09\x00\x04news\x00hi"
    assert dialect.hello.endswith(b"\x82\x0a\x00\x01\x00\x00\x04news\x04")


def test_peers_that_cannot_take_part_say_why() -> None:
    """What a peer is not made for is said in words."""
    assert PEERS["floor"].cannot(Shape(1, 1, tls=True)) == "it speaks no TLS"
    assert PEERS["floor"].cannot(Shape(9, 1, slow=1)) == "it waits for the slowest"
    assert PEERS["nchan"].cannot(Shape(1, 1, publishers=2)) == "a publisher is no member of its topic"
    assert PEERS["mosquitto"].cannot(Shape(9000, 1)) == "letting 9,001 clients in takes it minutes"
    assert PEERS["ours"].cannot(Shape(9000, 1)) is None


def test_ours_names_its_commit(tmp_path: Path) -> None:
    """A checkout tells its commit, and whether the broker was changed since; a plain folder tells nothing."""
    assert commit(tmp_path) == ""
    (tmp_path / "broker").mkdir()
    source = tmp_path / "broker" / "a.py"
    source.write_text("1\n")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    named = commit(tmp_path)
    assert named.startswith(" (")
    (tmp_path / "notes").write_text("not the broker")
    assert commit(tmp_path) == named
    source.write_text("2\n")
    assert commit(tmp_path) == named[:-1] + ", changed)"
    assert commit(tmp_path / "broker") == ""


def test_ours_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no git there is no commit to name."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) == ""


def test_secured_peer_is_a_copy() -> None:
    """Serving TLS does not change the peer that others measure without."""
    plain = PEERS["bun"]
    secured = plain.secured(Certificate(Path("c"), Path("k")))
    assert secured.tls_files() == ["c", "k"]
    assert plain.tls_files() == []


def test_mosquitto_without_websockets_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build without the listener is recognised by what it lacks."""
    program = tmp_path / "mosquitto"
    program.write_bytes(b"plain MQTT")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Mosquitto().unavailable() == "this build of mosquitto has no WebSocket listener"
