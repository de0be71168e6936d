"""The OTP-Pi's unit, rules, example settings and Compose service: their syntax, and that what they name exists."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otp.pi.config import load
from otp.pi.config.environment import variables
from otp.pi.settings import Settings
from tests.deploy.dockerfile import ROOT, read_dockerfile
from tests.deploy.test_deploy_systemd import heard, manager, one, read_unit, systemd_analyze

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed (pip install pyyaml)")
DEPLOY = ROOT / "deploy"
NAME = "otp-pi.service"
COMMAND = "/opt/otp-pi/bin/otp-pi"
SERVICE = read_unit(NAME)
RULES = DEPLOY / "99-otp-pi-modems.rules"
BUILD, FINAL = read_dockerfile()


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with a command that exists here: systemd looks for it."""
    file = tmp_path / NAME
    file.write_text((DEPLOY / NAME).read_text().replace(COMMAND, shutil.which("true") or COMMAND))
    return file


@pytest.fixture(scope="module")
def service() -> dict[str, Any]:
    """The Compose service."""
    found = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["otp-pi"]
    assert isinstance(found, dict)
    return found


def test_pi_unit_passes_systemds_own_check(installed: Path) -> None:
    """`systemd-analyze verify` finds nothing to say: no unknown key, no bad value."""
    ended = systemd_analyze("verify", str(installed))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_pi_unit_exposes_little(installed: Path) -> None:
    """Hardening: systemd rates the unit 2 or better on its scale from 0 to 10, serial ports included."""
    ended = systemd_analyze("security", "--no-pager", "--offline=true", "--threshold=20", str(installed))
    assert ended.returncode == 0, ended.stdout


def test_pi_unit_reaches_serial_ports_and_no_other_device() -> None:
    """Devices are closed but for three kinds of serial ports, and their group is the service's."""
    assert one(SERVICE, "Service", "DevicePolicy") == "closed"
    allowed = [f"char-{kind} rw" for kind in ("ttyUSB", "ttyACM", "ttyAMA")]
    assert SERVICE["Service", "DeviceAllow"] == allowed
    assert one(SERVICE, "Service", "SupplementaryGroups") == "dialout"
    assert not {("Service", "PrivateDevices"), ("Service", "PrivateUsers")} & SERVICE.keys()


def test_pi_unit_gives_the_service_the_time_it_needs() -> None:
    """Stopping has drain_time and 10 s for requests under way; the watchdog waits for three reports."""
    assert float(one(SERVICE, "Service", "TimeoutStopSec")) >= Settings.model_validate({}).drain_time + 10 + 5
    assert float(one(SERVICE, "Service", "WatchdogSec")) >= 30
    assert one(SERVICE, "Service", "ExecReload") == "/bin/kill -HUP $MAINPID"


def test_pi_unit_and_example_agree_on_the_data_directory() -> None:
    """What systemd makes writable is where the example keeps its data."""
    assert one(SERVICE, "Service", "StateDirectory") == "otp-pi"
    assert str(load(DEPLOY / "otp-pi.toml").settings.data_dir) == "/var/lib/otp-pi"
    assert one(SERVICE, "Service", "ExecStart").endswith(" run --config /etc/otp-pi/otp-pi.toml")


def test_pi_unit_command_tells_the_manager_how_it_is(tmp_path: Path, accounts: Path) -> None:
    """ExecStart as written says READY, reports life to the watchdog, survives ExecReload's HUP, and ends on TERM."""
    config = tmp_path / "otp-pi.toml"
    config.write_text(
        f'data_dir = "{tmp_path / "data"}"\n[rest]\nport = 0\npassword_file = "{accounts}"\n'
        '[[modem]]\nname = "one"\nport = "emulate"\n'
    )
    words = one(SERVICE, "Service", "ExecStart").replace("/etc/otp-pi/otp-pi.toml", str(config)).split()
    command = [sys.executable, "-c", "from otp.pi.cli import main; main()", *words[1:]]
    with manager(tmp_path / "notify") as inbox:
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, cwd=ROOT)
        try:
            heard(inbox, "READY=1")
            process.send_signal(signal.SIGHUP)
            heard(inbox, "WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            heard(inbox, "STOPPING=1")
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def test_pi_rules_are_udevs_syntax() -> None:
    """Every line is keys with an operator and a quoted value; every GOTO has its LABEL; comments stand alone."""
    lines = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]
    part = r'[A-Z]+(?:\{[A-Za-z_]+\})?(?:==|!=|=)"[^"]*"'
    assert [line for line in lines if not re.fullmatch(rf"{part}(?:, {part})*", line)] == []
    text = "\n".join(lines)
    assert re.findall(r'GOTO="(\w+)"', text) == re.findall(r'LABEL="(\w+)"', text)


def test_pi_rules_keep_modem_manager_away() -> None:
    """Each maker's device, not only its ports, is marked: that is what ModemManager asks about."""
    marked = [line for line in RULES.read_text().splitlines() if "ID_MM_DEVICE_IGNORE" in line]
    assert len(marked) >= 5
    for line in marked:
        assert 'ENV{DEVTYPE}=="usb_device"' in line
        assert re.search(r'ATTR\{idVendor\}=="[0-9a-f]{4}"', line)


def test_pi_example_settings_load_without_a_word(tmp_path: Path) -> None:
    """The example is good as it stands, once nobody else can read it."""
    file = tmp_path / "otp-pi.toml"
    file.write_text((DEPLOY / "otp-pi.toml").read_text())
    file.chmod(0o640)
    loaded = load(file)
    assert loaded.warnings == ()
    assert [len(getattr(loaded.settings, kind)) for kind in ("modem", "mail", "ws")] == [2, 1, 1]


def test_compose_otp_pi_starts_only_when_asked_for(service: dict[str, Any]) -> None:
    """`docker compose up` alone is the broker as before; the OTP-Pi waits until the broker is healthy."""
    assert service["profiles"] == ["otp-pi"]
    assert service["depends_on"] == {"broker": {"condition": "service_healthy"}}
    assert FINAL.command("HEALTHCHECK"), "the broker's own says when"


def test_compose_otp_pi_environment_names_settings(service: dict[str, Any]) -> None:
    """Every variable is a setting, and together they are good."""
    warnings: list[str] = []
    environment = {name: value.replace("${PI_PASSWORD:-}", "secret") for name, value in service["environment"].items()}
    assert len(list(variables(environment, warnings))) == len(environment)
    settings = load(environment=environment).settings
    assert warnings == []
    assert (settings.rest.host, settings.ws[0].host) == ("0.0.0.0", "broker")


def test_compose_otp_pi_keeps_its_data_in_a_volume_of_its_user(service: dict[str, Any]) -> None:
    """The volume is declared, lies at data_dir, and the image has made that directory for the user it runs as."""
    [(name, target)] = [volume.split(":") for volume in service["volumes"]]
    assert name in yaml.safe_load((ROOT / "compose.yaml").read_text())["volumes"]
    assert target == service["environment"]["OTP_PI_DATA_DIR"]
    assert f"-m 0700 {target}" in FINAL.last("RUN")


def test_compose_otp_pi_builds_with_its_libraries(service: dict[str, Any]) -> None:
    """The build argument is one of the Dockerfile, and an extra of the package."""
    assert service["build"]["args"] == {"EXTRAS": "[pi]"}
    assert "EXTRAS=" in BUILD.all("ARG")
    assert '".${EXTRAS}"' in BUILD.last("RUN")
    assert service["entrypoint"] == ["otp-pi"]


def test_compose_otp_pi_publishes_to_this_machine_only(service: dict[str, Any]) -> None:
    """Its port is the one of the settings, on the loopback; the health check asks there."""
    port = Settings.model_validate({}).rest.port
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"'127.0.0.1', {port}" in service["healthcheck"]["test"][-1]
    assert float(service["stop_grace_period"].removesuffix("s")) >= Settings.model_validate({}).drain_time + 10
