"""Run the chaos test by hand: ``python -m tests.pi.chaos --seed 7``."""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.pi.chaos.plan import draw
from tests.pi.chaos.run import play


def main() -> int:
    """Play one seed; 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.pi.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--messages", type=int, default=500, help="How many in all, half of them on each road.")
    parser.add_argument("--kills", type=int, default=20, help="How often each part is killed at least.")
    parser.add_argument("--keep", type=Path, help="An empty or missing directory for all logs and data, which stays.")
    given = parser.parse_args()
    directory = given.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        plan = draw(given.seed, messages=given.messages, kills=given.kills)
        report = asyncio.run(play(plan, directory, lambda line: print(line, flush=True)))  # noqa: T201 - a program
    finally:
        if given.keep is None:
            shutil.rmtree(directory)
    print(report)  # noqa: T201
    return 1 if report.verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
