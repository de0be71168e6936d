"""Only the ways in that are configured are imported, and what cannot work is said at the start."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from otp.pi.inputs import open_input
from otp.pi.settings import Amqp, Broker, Mqtt, Redis, WebSocket
from otp.roads.errors import ConfigError
from tests.pi.input_rigs import Taker

ROOT = Path(__file__).parents[2]
LIBRARIES = {"aio_pika", "aiormq", "redis", "paho", "aiohttp"}
NEEDED = {"WebSocket": {"aiohttp"}, "Amqp": {"aio_pika", "aiormq"}, "Redis": {"redis"}, "Mqtt": {"paho"}}


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", NEEDED)
def test_only_the_configured_kind_is_imported(kind: str, tmp_path: Path) -> None:
    """The libraries of the other three stay out of the process."""
    found = run(
        "import sys; from pathlib import Path; from otp.pi import settings; from otp.pi.inputs import open_input;"
        f"open_input('x', settings.{kind}(), None, data_dir=Path({str(tmp_path)!r}));"
        f"print(*sorted(name for name in {LIBRARIES!r} if name in sys.modules))"
    )
    assert (set(found.stdout.split()), found.returncode) == (NEEDED[kind], 0), found.stderr


def test_missing_library_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without its library a way in says what to install."""
    monkeypatch.setitem(sys.modules, "aio_pika", None)
    for name in ("otp.pi.inputs.amqp",):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=r"\[\[amqp\]\] needs aio_pika: pip install 'wsmessagebroker\[pi\]'"):
        open_input("amqp", Amqp(), Taker(), data_dir=tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (WebSocket(username="a:b", password=SecretStr("x")), "colon"),
        (WebSocket(tls=True, tls_ca="/nowhere.pem"), "tls_ca /nowhere.pem"),
        (Amqp(topic="\u00e9" * 128), "more than 255 bytes"),
        (Amqp(tls=True, tls_certificate="/nowhere.pem"), "tls_certificate /nowhere.pem"),
        (Redis(tls=True, tls_ca="/nowhere.pem"), "tls_ca /nowhere.pem"),
        (Mqtt(topic="a\0b"), "NUL"),
        (Mqtt(tls=True, tls_ca="/nowhere.pem"), "tls_ca /nowhere.pem"),
    ],
)
def test_setting_that_cannot_work(settings: Broker, said: str, tmp_path: Path) -> None:
    """A setting that the server could never accept, or a file that is not there, is refused before the start."""
    with pytest.raises(ConfigError, match=said):
        open_input("x", settings, Taker(), data_dir=tmp_path)
