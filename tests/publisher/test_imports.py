"""A road that is not used is not imported, and one whose library is missing says how to install it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LIBRARIES = {"aio_pika", "aiormq", "redis", "paho", "aiohttp"}

NEEDED = {"WS": {"aiohttp"}, "REST": {"aiohttp"}, "AMQP": {"aio_pika", "aiormq"}, "REDIS": {"redis"}, "MQTT": {"paho"}}


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("method", NEEDED)
def test_only_the_chosen_road_is_imported(method: str) -> None:
    """With one road chosen, the libraries of the others stay out of the process."""
    found = run(
        f"import sys; from otp.publisher import Publisher; Publisher(method={method!r});"
        f"print(*sorted(name for name in {LIBRARIES!r} if name in sys.modules))"
    )
    assert (set(found.stdout.split()), found.returncode) == (NEEDED[method], 0), found.stderr


@pytest.mark.parametrize(
    ("method", "library"), [("AMQP", "aio_pika"), ("REDIS", "redis"), ("MQTT", "paho"), ("REST", "aiohttp")]
)
def test_missing_library_names_the_command(method: str, library: str) -> None:
    """Without its library a road says what to install, in one line and not in a traceback."""
    found = run(
        f"import sys; sys.modules[{library!r}] = None\n"
        f"import os; os.environ['OTP_PUBLISHER_METHOD'] = {method!r}\n"
        "sys.argv = ['otp-publisher', 'check']\n"
        "from otp.publisher.cli import main; main()"
    )
    assert found.returncode == 2
    assert "pip install 'wsmessagebroker[publisher]'" in found.stderr
    assert "Traceback" not in found.stderr
