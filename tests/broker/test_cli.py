"""The command `wsbroker`, as a process of its own."""

import os
import resource
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from broker import __version__
from broker.cli import app
from broker.settings import Settings
from tests.broker.certificates import make_pair
from tests.broker.process import Process, command, environment
from tests.conftest import stored
from tests.wire.raw import client_frame, upgrade_request

Serve = Callable[..., Process]


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Children that end with the test."""
    started: list[Process] = []
    yield started
    for process in started:
        process.dispose()


@pytest.fixture
def serve(processes: list[Process], accounts: Path) -> Serve:
    """Start `wsbroker serve` on a free port and wait until it listens."""

    def start(*arguments: str) -> Process:
        places = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--password-file", str(accounts))
        process = Process("serve", *places, "--settle-time", "0", *arguments)
        processes.append(process)
        process.port()
        return process

    return start


def url_of(process: Process, topic: str = "sms", user: str = "alice:secret") -> str:
    return f"ws://{user}@127.0.0.1:{process.port()}/ws?topic={topic}"


class Done(NamedTuple):
    """What a command that came to its end left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, stdin: bytes = b"", **variables: str) -> Done:
    """Run a command in this process: starting one of its own takes half a second."""
    result = CliRunner().invoke(app, arguments, input=stdin, env=variables)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def faults(*arguments: str, code: int = 2, stdin: bytes = b"", **variables: str) -> list[str]:
    """Run a command that must fail; return what it said on standard error, without its name."""
    done = run(*arguments, stdin=stdin, **variables)
    assert (done.returncode, done.stdout) == (code, ""), done
    lines = done.stderr.splitlines()
    assert all(line.startswith("wsbroker: ") for line in lines), lines
    return [line.removeprefix("wsbroker: ") for line in lines]


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the settings of whoever runs the tests out, and what a server sets for its process here."""
    for name in os.environ:
        if name.startswith("WSBROKER_"):
            monkeypatch.delenv(name)
    limit, interval = resource.getrlimit(resource.RLIMIT_NOFILE), sys.getswitchinterval()
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    sys.setswitchinterval(interval)


# -- serving


def test_serve_relays_between_pub_and_sub_and_ends_with_0(serve: Serve, processes: list[Process]) -> None:
    """The way every newcomer tries it: serve, sub, pub, TERM."""
    broker = serve("--drain-time", "0")
    sub = Process("sub", "--url", url_of(broker), "--count", "6")
    processes.append(sub)
    broker.wait_for(r"open id=1 user=alice address=127.0.0.1 topic=sms")
    assert run("pub", "--url", url_of(broker), "hello").returncode == 0
    assert run("pub", "--url", url_of(broker), "-", stdin="über\nzwei\r\n\nlast".encode()).returncode == 0
    assert run("pub", "--url", url_of(broker), "-", "--whole", stdin=b"one\nmessage").returncode == 0
    assert sub.end() == 0
    assert sub.stdout == "hello\nüber\nzwei\n\nlast\none\nmessage\n"
    broker.signal(signal.SIGTERM)
    assert broker.end() == 0
    assert broker.stdout == ""
    assert "draining connections=" in broker.stderr
    assert broker.stderr.rstrip().endswith("stopped")


def test_serve_on_int_ends_with_0_and_tells_its_clients(serve: Serve, processes: list[Process]) -> None:
    """Ctrl-C is a stop like any other; `sub` says why it ended and exits 1."""
    broker = serve("--drain-time", "1s")
    sub = Process("sub", variables={"WSBROKER_URL": url_of(broker)})
    processes.append(sub)
    broker.wait_for("open id=1")
    broker.signal(signal.SIGINT)
    assert broker.end() == 0
    assert sub.end() == 1
    assert sub.stderr == "wsbroker: the broker closed the connection: 1001 shutdown\n"


def test_second_signal_ends_at_once_with_1(serve: Serve) -> None:
    """Whoever is impatient is obeyed: a client that never answers does not hold it up."""
    broker = serve("--drain-time", "1h")
    with socket.create_connection(("127.0.0.1", broker.port())) as stubborn:
        stubborn.sendall(upgrade_request() + client_frame(0x81, b"x"))
        broker.wait_for("open id=1")
        broker.signal(signal.SIGTERM)
        broker.wait_for("draining connections=1")
        broker.signal(signal.SIGTERM)
        assert broker.end() == 1
    assert "stopped" in broker.stderr


def test_hup_takes_new_settings_and_accounts_and_keeps_what_is_no_good(
    serve: Serve, accounts: Path, tmp_path: Path
) -> None:
    """HUP reads the file again; a broken one changes nothing and says where it is broken."""
    file = tmp_path / "wsbroker.toml"
    file.write_text("max_topics = 5\n")
    broker = serve("--config", str(file), "--drain-time", "0")
    file.write_text("log_level = 'debug'\nport = 1\n")
    accounts.write_text(accounts.read_text() + f"carol:{stored('x')}\n")
    broker.signal(signal.SIGHUP)
    broker.wait_for("accounts_loaded file=.* accounts=3")
    broker.wait_for("settings_loaded")
    file.write_text("max_topcis = 5\n")
    broker.signal(signal.SIGHUP)
    broker.wait_for(
        r"settings_not_taken problem=.*wsbroker.toml:1: unknown setting max_topcis; did you mean max_topics"
    )
    assert run("pub", "--url", url_of(broker, user="carol:x"), "still there").returncode == 0
    broker.signal(signal.SIGTERM)
    assert broker.end() == 0


def test_usr1_opens_the_log_file_again(serve: Serve, processes: list[Process], tmp_path: Path, accounts: Path) -> None:
    """After logrotate has moved the file away, the next line is in a new one."""
    log, moved = tmp_path / "broker.log", tmp_path / "broker.log.1"
    arguments = ("--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--password-file", str(accounts))
    broker = Process("serve", *arguments, "--log-file", str(log), "--drain-time", "0")
    processes.append(broker)
    while not (log.exists() and "listening" in log.read_text()):
        assert broker.child.poll() is None, broker.stderr
    log.rename(moved)
    broker.signal(signal.SIGUSR1)
    while not log.exists():
        assert broker.child.poll() is None, broker.stderr
    broker.signal(signal.SIGTERM)
    assert broker.end() == 0
    assert "listening" in moved.read_text()
    assert "stopped" not in moved.read_text()
    assert "stopped" in log.read_text()
    assert broker.stderr == ""


def test_serve_on_an_inherited_socket_takes_it_and_restarts_its_clients(
    processes: list[Process], accounts: Path, tmp_path: Path
) -> None:
    """Socket activation and sd_notify, as systemd does them: the port stays open across the restart."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        port = listening.getsockname()[1]
        broker = Process(
            *("serve", "--admin-port", "0", "--password-file", str(accounts), "--drain-time", "1s"),
            listening=listening,
            variables={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"},
        )
        processes.append(broker)
        assert manager.recv(1000).startswith(b"READY=1")
        assert broker.port() == port
        sub = Process("sub", "--url", f"ws://alice:secret@127.0.0.1:{port}/ws")
        processes.append(sub)
        broker.wait_for("open id=1")
        broker.signal(signal.SIGTERM)
        while not (state := manager.recv(1000)).startswith(b"STOPPING=1"):
            assert state == b"WATCHDOG=1"
        assert sub.end() == 1
        assert sub.stderr.endswith("1012 restart\n")
        assert broker.end() == 0
        with socket.create_connection(("127.0.0.1", port)):
            pass  # the kernel keeps it for the next process


def test_running_out_of_descriptors_is_survived(processes: list[Process], accounts: Path) -> None:
    """150 clients of a process that may have 100 descriptors: those that are in are served, later ones wait."""
    serve = command(
        "serve", "--host", "127.0.0.1", "--port", "0", "--admin-port", "0", "--password-file", str(accounts)
    )
    broker = Process("sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *serve, "--drain-time", "0", whole=True)
    processes.append(broker)
    port = broker.port()
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(150)]
    broker.wait_for("accepting_paused open=")
    for each in crowd:
        each.close()
    assert run("pub", "--url", url_of(broker), "after the storm").returncode == 0
    broker.signal(signal.SIGTERM)
    assert broker.end() == 0
    assert len(broker.stderr) < 100_000
    assert "Traceback" not in broker.stderr


# -- start errors


def test_serve_where_somebody_listens_is_one_line_and_2(accounts: Path) -> None:
    """The port is named, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        base = ("serve", "--host", "127.0.0.1", "--password-file", str(accounts))
        (line,) = faults(*base, "--port", str(port), "--admin-port", "0")
        assert f"127.0.0.1 port {port}: " in line
        assert "--port" in line


def test_start_error_of_a_process_is_one_line_and_no_traceback(accounts: Path, free_port: int) -> None:
    """What a service manager shows: exit code 2 and one line on standard error."""
    with socket.create_server(("127.0.0.1", free_port)):
        arguments = ("serve", "--port", str(free_port), "--admin-port", "0", "--password-file", str(accounts))
        done = subprocess.run(
            command(*arguments), env=environment(), capture_output=True, timeout=30, check=False, text=True
        )
    assert done.returncode == 2
    *logged, line = done.stderr.splitlines()
    assert line.startswith(f"wsbroker: cannot listen on 127.0.0.1 port {free_port}: ")
    assert "Traceback" not in done.stderr
    assert not any(" error " in each for each in logged)


def test_serve_with_a_bad_certificate_is_one_line_and_2(accounts: Path, tmp_path: Path) -> None:
    """The file is named, and what is wrong with it."""
    pair = make_pair(tmp_path, "broker")
    pair.key.write_text("no key")
    base = ("serve", "--port", "0", "--admin-port", "0", "--password-file", str(accounts))
    (line,) = faults(*base, "--tls-certificate", str(pair.certificate), "--tls-key", str(pair.key))
    assert line.startswith(f"tls_certificate {pair.certificate} cannot be used")
    (line,) = faults(*base, "--tls-certificate", str(tmp_path / "missing.crt"))
    assert "does not exist" in line


def test_serve_with_a_missing_settings_file_is_one_line_and_2(tmp_path: Path) -> None:
    """The file is named."""
    (line,) = faults("serve", "--config", str(tmp_path / "missing.toml"))
    assert line == f"{tmp_path / 'missing.toml'}: cannot be read: No such file or directory"


def test_serve_with_bad_settings_is_one_line_each_and_2(tmp_path: Path) -> None:
    """Flags, variables and file: each fault names its place."""
    file = tmp_path / "wsbroker.toml"
    file.write_text("prot = 1\n")
    lines = faults("serve", "--config", str(file), "--ping-interval", "fast", WSBROKER_MAX_TOPICS="-1")
    assert len(lines) == 3
    assert lines[0].startswith(f"{file}:1: unknown setting prot; did you mean port?")
    assert any(line.startswith("option --ping-interval: ping_interval = 'fast'") for line in lines)
    assert any(line.startswith("variable WSBROKER_MAX_TOPICS: max_topics = '-1'") for line in lines)


def test_serve_with_a_log_file_that_cannot_be_opened_is_one_line_and_2(tmp_path: Path) -> None:
    """The file is named."""
    (line,) = faults("serve", "--log-file", str(tmp_path / "missing" / "broker.log"))
    assert line == f"cannot open {tmp_path / 'missing' / 'broker.log'}: No such file or directory"


def test_serve_without_accounts_starts_and_says_so(processes: list[Process], tmp_path: Path) -> None:
    """A missing password file refuses everyone; the broker waits for it."""
    broker = Process(
        "serve", "--port", "0", "--admin-port", "0", "--drain-time", "0", "--password-file", str(tmp_path / "missing")
    )
    processes.append(broker)
    broker.port()
    assert "accounts_missing" in broker.stderr
    broker.signal(signal.SIGTERM)
    assert broker.end() == 0


def test_unknown_option_is_a_usage_error() -> None:
    """Exit code 2 and the nearest option, as every command line does."""
    done = run("serve", "--prot", "1")
    assert done.returncode == 2
    assert "No such option: --prot" in done.stderr
    assert "Traceback" not in done.stderr


def test_switches_can_be_set_and_unset_over_the_file(tmp_path: Path) -> None:
    """`--no-...` wins over a file that says true; words may be given several times."""
    file = tmp_path / "wsbroker.toml"
    file.write_text("binary_as_text = true\nport = 99999\n")
    (line,) = faults(
        "serve", "--config", str(file), "--no-binary-as-text", "--admin-users", "a", "--admin-users", "b,c"
    )
    assert line.startswith(f"{file}:2: port = 99999")


# -- settings


def test_check_config_of_a_good_file_is_0(tmp_path: Path) -> None:
    """One line, so that a script's log shows what was checked."""
    file = tmp_path / "wsbroker.toml"
    file.write_text("port = 1234\n")
    done = run("check-config", str(file), WSBROKER_PORT="nonsense")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: good\n", "")


def test_check_config_of_a_bad_file_is_1_with_each_fault_and_its_line(tmp_path: Path) -> None:
    """File, line, what is wrong, nearest name; cross checks too."""
    file = tmp_path / "wsbroker.toml"
    file.write_text("max_mesage_size = 1\nlog_level = 'loud'\n")
    first, second = faults("check-config", str(file), code=1)
    assert first == f"{file}:1: unknown setting max_mesage_size; did you mean max_message_size?"
    assert second.startswith(f"{file}:2: log_level = 'loud': input should be 'debug', 'info', 'warning' or 'error'")
    file.write_text("max_queued_bytes = '3MiB'\n")
    (line,) = faults("check-config", str(file), code=1)
    assert line.startswith(f"{file}:1: max_queued_bytes (3145728) must be at least 4 x max_message_size (1048576)")


def test_default_config_is_a_good_file_with_every_setting(tmp_path: Path) -> None:
    """What is printed can be checked, and holds each key."""
    done = run("default-config")
    assert list(tomllib.loads(done.stdout)) == list(Settings.model_fields)
    file = tmp_path / "wsbroker.toml"
    file.write_text(done.stdout)
    assert run("check-config", str(file)).returncode == 0


def test_help_names_every_setting_as_a_flag() -> None:
    """From one definition: flag, text and default."""
    done = run("serve", "--help", COLUMNS="200")
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in done.stdout
        assert (field.description or "").split()[0] in done.stdout


def test_python_m_broker_is_the_same_command() -> None:
    """Where scripts are not on the path."""
    line = [sys.executable, "-m", "broker", "--version"]
    done = subprocess.run(line, env=environment(), capture_output=True, timeout=30, check=True, text=True)
    assert done.stdout == f"wsbroker {__version__}\n"


def test_version_is_told() -> None:
    """The version of the package."""
    assert run("--version").stdout == f"wsbroker {__version__}\n"


# -- accounts


def test_passwd_adds_verifies_lists_and_removes(tmp_path: Path) -> None:
    """The same as `python -m htpasswd`; the file is private."""
    file = tmp_path / "accounts"
    target = ("--file", str(file))
    assert run("passwd", "add", *target, "--stdin", "--cost", "4", "carol", stdin=b"pass phrase\n").returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert run("passwd", "verify", *target, "--stdin", "carol", stdin=b"pass phrase\n").returncode == 0
    assert run("passwd", "verify", *target, "--stdin", "carol", stdin=b"wrong\n").returncode == 1
    assert run("passwd", "list", *target).stdout == "carol\tbcrypt\n"
    assert run("passwd", "remove", *target, "carol").returncode == 0
    assert "carol" not in file.read_text()


# -- the little clients


def test_pub_that_is_refused_is_one_line_and_1(serve: Serve) -> None:
    """What the broker said, without the password."""
    broker = serve()
    (line,) = faults("pub", "--url", url_of(broker, user="alice:hunter2"), "x", code=1)
    assert line.startswith("refused with 401: user or password is wrong. What to do: ")
    assert "hunter2" not in line
    assert "hunter2" not in broker.stderr


def test_pub_where_nobody_listens_is_one_line_and_1(free_port: int) -> None:
    """The most frequent mistake of all."""
    (line,) = faults("pub", "--url", f"ws://alice:secret@127.0.0.1:{free_port}/ws", "x", code=1)
    assert line.startswith("nothing listens there")


def test_pub_of_what_is_no_text_is_one_line_and_1(serve: Serve) -> None:
    """Bytes that are not UTF-8 are refused without a traceback that quotes them; what came before is published."""
    broker = serve()
    url = ("--url", url_of(broker))
    for arguments in ((*url, "-"), (*url, "-", "--whole"), (*url, "hunter2\udcff")):
        (line,) = faults("pub", *arguments, stdin=b"fine\nhunter2\xff\n", code=1)
        assert line == "a message is not UTF-8 text; only the ones before it were published"
    broker.signal(signal.SIGTERM)
    broker.end()
    assert [broker.stderr.count(f"received={count}") for count in (1, 0)] == [1, 2]


def test_sub_into_a_pipe_that_closes_ends_quietly(serve: Serve, processes: list[Process]) -> None:
    """`wsbroker sub | head -1` leaves no complaint."""
    broker = serve()
    line = " ".join(f"'{part}'" for part in command("sub", "--url", url_of(broker)))
    piped = Process("sh", "-c", f"{line} | head -1", whole=True)
    processes.append(piped)
    broker.wait_for("open id=1")
    while piped.child.poll() is None:
        assert run("pub", "--url", url_of(broker), "line").returncode == 0
    assert piped.end() == 0
    assert piped.stdout == "line\n"
    assert piped.stderr == ""


def test_pub_needs_an_url() -> None:
    """A usage error names the option and the variable."""
    done = run("pub", "x")
    assert done.returncode == 2
    assert "--url" in done.stderr
