"""`python -m bench [COMMAND]`: measure this broker beside others in one run."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import plots
from bench.budget import BenchError, BudgetExceededError, raise_descriptor_limit, time_budget
from bench.commands import auth, connections, fanout, full, latency, memory, path, restart, standard
from bench.context import Context, Measurement
from bench.machine import choose_cores, describe, machine_facts
from bench.page import blocks, merged, refreshed
from bench.peers.base import REPOSITORY
from bench.process import pin
from bench.report import RESULTS, progress, save
from bench.selection import select

COMMANDS: dict[str, ModuleType] = {
    "standard": standard,
    "full": full,
    "fanout": fanout,
    "latency": latency,
    "connections": connections,
    "auth": auth,
    "restart": restart,
    "memory": memory,
    "path": path,
}
_USUAL = "standard"
PAGE = REPOSITORY / "docs" / "explanation" / "performance.md"
IMAGES = REPOSITORY / "docs" / "images" / "bench"
_OUT_OF_TIME = 3
_INTERRUPTED = 130


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").split(": ", 1)[-1].strip()


def _add_command(commands: Any, name: str, module: ModuleType) -> None:
    summary = _summary(module)
    command = commands.add_parser(name, help=summary.splitlines()[0], description=summary)
    command.add_argument("--peers", help="brokers to measure, comma-separated (default: all that can run)")
    command.add_argument("--out", type=Path, default=RESULTS, help="folder for JSON and plots (default: %(default)s)")
    command.add_argument("--quick", action="store_true", help="a first impression instead of a measurement")
    command.add_argument("--budget", type=float, help="seconds after which to stop with what there is")
    command.add_argument("--broker-core", type=int, help="core the brokers are pinned to")
    command.add_argument("--load-core", type=int, help="core the load generator is pinned to")
    module.add_arguments(command)


def build_parser() -> argparse.ArgumentParser:
    """Declare the commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        _add_command(commands, name, module)
    report = commands.add_parser("report", help="refresh the page on performance and its plots from a full run")
    report.add_argument("result", type=Path, help="the JSON of `python -m bench full`")
    report.add_argument("more", type=Path, nargs="*", help="JSON of `python -m bench fanout` with shapes it lacks")
    report.add_argument("--page", type=Path, default=PAGE, help="page to refresh (default: %(default)s)")
    report.add_argument("--images", type=Path, default=IMAGES, help="folder for the plots (default: %(default)s)")
    return parser


def _measure(measurement: Measurement, budget: float) -> tuple[int, str]:
    """Measure within the budget; return the exit code and what cut it short, if anything."""
    try:
        with time_budget(budget):
            measurement.measure_all()
    except BudgetExceededError:
        return _OUT_OF_TIME, f"stopped after {budget:.0f} s: --budget allows more"
    except KeyboardInterrupt:
        return _INTERRUPTED, "interrupted"
    except BenchError as error:
        return 1, str(error)
    return 0, ""


def _run(module: ModuleType, options: argparse.Namespace) -> int:
    names = options.peers.split(",") if options.peers else None
    selection = select(names, module.unfit)
    cores = choose_cores(options.broker_core, options.load_core)
    facts = machine_facts(cores)
    raise_descriptor_limit()
    measurement: Measurement = module.prepare(Context(selection, cores, options.quick), options)
    progress(f"{describe(facts)}\n{selection.describe()}")
    if cores.shared:
        progress("broker and load share one core: only processor time can be compared")
    pin(cores.load)
    budget = options.budget or (module.QUICK_BUDGET if options.quick else module.BUDGET)
    began = time.monotonic()
    code, cut_short = _measure(measurement, budget)
    tables = measurement.tables()
    document = {
        "command": options.command,
        "machine": facts,
        "versions": selection.versions,
        "skipped": selection.skipped,
        "tls": selection.tls,
        "seconds": time.monotonic() - began,
        "cut_short": cut_short,
        **measurement.document(),
        "tables": [asdict(table) for table in tables],
    }
    saved = save(options.out, options.command, document)
    text = "\n\n".join(table.text() for table in tables)
    sys.stdout.write(f"\n{describe(facts)}\n{selection.describe()}\n\n{text}\n\n{saved}\n")
    _draw(document, saved.with_suffix(""))
    if cut_short:
        sys.stderr.write(f"{cut_short}\n")
    return code


def _draw(document: dict[str, Any], folder: Path) -> None:
    """Draw the plots that a result has figures for, where matplotlib is installed."""
    if reason := plots.unavailable():
        progress(f"no plots: {reason}")
        return
    for file in plots.draw(plots.rows_of(document), folder):
        sys.stdout.write(f"{file}\n")


def _read(file: Path, key: str, command: str) -> dict[str, Any]:
    """Read the result of a command, which has something under this key."""
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{file} cannot be read as a result: {error}") from None
    if not isinstance(document, dict) or key not in document:
        raise BenchError(f"{file} is not the result of `python -m bench {command}`")
    return document


def _report(options: argparse.Namespace) -> int:
    if reason := plots.unavailable():
        raise BenchError(reason)
    result = _read(options.result, "parts", "full")
    document = merged(result, [_read(file, "rows", "fanout") for file in options.more])
    plots.draw(plots.rows_of(document), options.images)
    options.page.write_text(refreshed(options.page.read_text(), blocks(document)))
    sys.stdout.write(f"{options.page}\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, the usual one when none is named.

    Returns:
        0; 1 for an error, 3 when the time was up, 130 when interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, _USUAL)
    options = build_parser().parse_args(given)
    try:
        return _report(options) if options.command == "report" else _run(COMMANDS[options.command], options)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
