"""`python -m bench COMMAND`: measure this broker beside others in one run."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from bench.budget import BenchError, BudgetExceededError, raise_descriptor_limit, time_budget
from bench.commands import connections, fanout, latency, memory
from bench.context import Context, Measurement
from bench.machine import choose_cores, describe, machine_facts
from bench.process import pin
from bench.report import RESULTS, progress, save
from bench.selection import select

COMMANDS: dict[str, ModuleType] = {
    "fanout": fanout,
    "memory": memory,
    "connections": connections,
    "latency": latency,
}
_OUT_OF_TIME = 3
_INTERRUPTED = 130


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").split(": ", 1)[-1].strip()


def build_parser() -> argparse.ArgumentParser:
    """Declare the commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = _summary(module)
        command = commands.add_parser(name, help=summary.splitlines()[0], description=summary)
        command.add_argument("--peers", help="brokers to measure, comma-separated (default: all that can run)")
        command.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON (default: %(default)s)")
        command.add_argument("--quick", action="store_true", help="a first impression instead of a measurement")
        command.add_argument("--budget", type=float, help="seconds after which to stop with what there is")
        command.add_argument("--broker-core", type=int, help="core the brokers are pinned to")
        command.add_argument("--load-core", type=int, help="core the load generator is pinned to")
        module.add_arguments(command)
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
    progress(f"{describe(facts)}\n{selection.describe()}")
    if cores.shared:
        progress("broker and load share one core: only processor time can be compared")
    raise_descriptor_limit()
    pin(cores.load)
    measurement = module.prepare(Context(selection, cores, options.quick), options)
    budget = options.budget or (module.QUICK_BUDGET if options.quick else module.BUDGET)
    began = time.monotonic()
    code, cut_short = _measure(measurement, budget)
    header = {"command": options.command, "machine": facts, "versions": selection.versions}
    footer = {"skipped": selection.skipped, "seconds": time.monotonic() - began, "cut_short": cut_short}
    path = save(options.out, options.command, {**header, **footer, **measurement.document()})
    sys.stdout.write(f"\n{describe(facts)}\n{selection.describe()}\n\n{measurement.text()}\n\n{path}\n")
    if cut_short:
        sys.stderr.write(f"{cut_short}\n")
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 for an error, 3 when the time was up, 130 when interrupted."""
    options = build_parser().parse_args(arguments)
    try:
        return _run(COMMANDS[options.command], options)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
