"""The logrotate example, run by the real logrotate against a running broker."""

import getpass
import grp
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.proxy_kit import replaced

EXAMPLE = Path(__file__).parents[2] / "deploy" / "logrotate.conf"


def until_written(file: Path, text: str, process: subprocess.Popen[bytes]) -> str:
    """Return what the file holds once `text` is in it."""
    deadline = time.monotonic() + 20
    while True:
        written = file.read_text() if file.exists() else ""
        if text in written:
            return written
        assert process.poll() is None, written
        assert time.monotonic() < deadline, f"{text!r} did not appear in {file}: {written}"
        time.sleep(0.02)


def test_logrotate_moves_the_log_and_the_broker_opens_it_again(tmp_path: Path, accounts: Path) -> None:
    """After a rotation the old file holds what was, and the broker, told by USR1, writes to the new one."""
    program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("logrotate is not installed (apt install logrotate)")
    directory = tmp_path / "log"
    directory.mkdir(mode=0o750)
    log = directory / "wsbroker.log"
    options = ["--port=0", "--admin-port=0", f"--log-file={log}", f"--password-file={accounts}"]
    process = subprocess.Popen([sys.executable, "-m", "broker.cli", "serve", *options], cwd=EXAMPLE.parents[1])
    try:
        until_written(log, " listening ", process)
        owner = f"{getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name}"
        rules = tmp_path / "logrotate.conf"
        rules.write_text(
            replaced(
                EXAMPLE.read_text(),
                (r"^/var/log/wsbroker/wsbroker\.log", str(log)),
                (r"\bwsbroker wsbroker$", owner),
                (r"systemctl kill --signal=USR1 wsbroker\.service", f"kill -USR1 {process.pid}"),
            )
        )
        rules.chmod(0o600)
        subprocess.run([program, "--force", "--state", str(tmp_path / "state"), str(rules)], check=True)
        assert " listening " in (directory / "wsbroker.log.1").read_text()
        process.terminate()
        assert process.wait(20) == 0
        assert " listening " not in log.read_text()
        assert " stopped" in log.read_text()
    finally:
        process.kill()
        process.wait()
