"""The commands from end to end, as small as they can be."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cli
from bench.budget import BenchError, BudgetExceededError, time_budget
from bench.connect import source_address
from bench.machine import Cores, choose_cores, describe, machine_facts
from bench.peers import PEERS
from bench.peers.base import REPOSITORY, Peer
from bench.process import running
from bench.runs import Pace, measure
from bench.selection import select
from bench.shapes import Shape

CORES = choose_cores()
TINY = Pace(rounds=1, seconds=0.05, warm_up=0.02)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


class Broken(Peer):
    """A peer whose program ends at once with a message."""

    name = "broken"

    def unavailable(self) -> str | None:
        return None

    def version(self) -> str:
        return "broken 1"

    def command(self, port: int, workdir: Path) -> list[str]:
        del port, workdir
        return [sys.executable, "-c", "raise SystemExit('no licence found')"]


@pytest.mark.parametrize("window", [1, 4])
def test_fanout_against_websockets(window: int) -> None:
    """One subscriber of the `websockets` peer gets every message, and the peer is gone afterwards."""
    with running(PEERS["websockets"], CORES.broker) as broker:
        result = measure(broker, Shape(subscribers=1, window=window), CORES.broker, TINY)
        pid = broker.pid
    assert result.deliveries == result.messages > 0
    assert result.broker_cpu > 0
    assert not alive(pid)


def test_peer_that_does_not_start_is_quoted() -> None:
    """What a peer said before it died stands in the error."""
    with (
        pytest.raises(BenchError, match=r"broken does not accept connections(?s:.*)no licence found"),
        running(Broken(), CORES.broker),
    ):
        pass


def test_command_writes_json_and_a_table(tmp_path: Path) -> None:
    """`python -m bench memory` prints its table and writes JSON, both with machine and version."""
    command = [sys.executable, "-m", "bench", "memory", "--quick", "--peers", "websockets", "--connections", "20"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    document = json.loads(path.read_text())
    assert document["command"] == "memory"
    assert document["machine"]["pinned"] == {"broker": CORES.broker, "load": CORES.load}
    assert "websockets" in document["versions"]
    assert document["runs"][0]["connections"] == 20
    assert "KiB each" in done.stdout
    assert "round 1/1" in done.stderr


def test_fanout_script_runs_from_another_folder(tmp_path: Path) -> None:
    """`python bench/fanout.py` is the fan-out command from anywhere."""
    script = REPOSITORY / "bench" / "fanout.py"
    done = subprocess.run(
        [sys.executable, str(script), "--peers", "nobody"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "unknown peer 'nobody': choose from ours, websockets" in done.stderr


def test_command_out_of_time_keeps_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the budget is used up the command says so, writes what it has, and its children are gone."""
    monkeypatch.setattr(cli, "pin", lambda _core: None)
    code = cli.main(["fanout", "--quick", "--peers", "websockets", "--out", str(tmp_path), "--budget", "1"])
    assert code == 3
    assert "stopped after 1 s: --budget allows more" in capsys.readouterr().err
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["cut_short"].startswith("stopped after")


def test_child_ends_when_the_benchmark_is_killed() -> None:
    """Even a killed benchmark leaves no broker behind."""
    code = (
        "import time\nfrom bench.peers import PEERS\nfrom bench.process import running\n"
        f"with running(PEERS['websockets'], {CORES.broker}) as broker:\n"
        "    print(broker.pid, flush=True)\n    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while alive(pid) and "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]:
        assert time.monotonic() < deadline, "the broker outlived the benchmark"
        time.sleep(0.02)


def test_time_budget_interrupts_a_wait() -> None:
    """A block that would take a minute ends when its time is up, and the handlers are put back."""
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(BudgetExceededError), time_budget(0.05):
        time.sleep(60)
    assert signal.getsignal(signal.SIGALRM) is before


def test_time_budget_leaves_the_outer_one_running() -> None:
    """A budget inside another one neither ends nor extends it."""
    with time_budget(60):
        with pytest.raises(BudgetExceededError), time_budget(0.05):
            time.sleep(60)
        assert 50 < signal.getitimer(signal.ITIMER_REAL)[0] < 60


def test_select_skips_with_a_reason() -> None:
    """A peer that is unfit is named with its reason; when nobody is left that is an error."""
    selection = select(["websockets", "floor"], lambda peer: None if peer.accounts else "it asks nobody")
    assert [peer.name for peer in selection.peers] == ["websockets"]
    assert "floor: skipped, it asks nobody" in selection.describe()
    with pytest.raises(BenchError, match="no peer can be measured: floor: it asks nobody"):
        select(["floor"], lambda _peer: "it asks nobody")


def test_choose_cores_differ_where_they_can() -> None:
    """Broker and load get two cores of those allowed, unless the caller says otherwise."""
    assert choose_cores(3, 5) == Cores(broker=3, load=5)
    assert choose_cores(3, 3).shared


def test_describe_warns_of_a_busy_machine() -> None:
    """Figures from a busy machine carry a warning, figures from an idle one do not."""
    facts = {**machine_facts(CORES), "cores": 4}
    assert "busy with other work" in describe({**facts, "load_average": 3.0})
    assert "busy" not in describe({**facts, "load_average": 0.5})


def test_source_addresses_are_loopback() -> None:
    """Clients come from many addresses, all of this machine."""
    addresses = {source_address(number) for number in range(100)}
    assert len(addresses) == 32
    assert all(address.startswith("127.0.0.") for address in addresses)
