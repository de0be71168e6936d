"""Measure how many codes the OTP store makes and verifies in a second, on one core.

    python -m bench.otp_store                        SQLite in a directory of its own
    python -m bench.otp_store --backend memory
    python -m bench.otp_store --url redis://127.0.0.1:6379/9

One pair is one ``create`` and one right ``verify``, in one thread, each for a receiver and reference of its
own. The process is kept to one core. Redis runs beside it on whatever core it likes; its work is not in
``cpu``.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from otp.codes import ResponseCode
from otp.store import OtpStore, memory_store, redis_store, sqlite_store

PARAMS = ("123456", "7890")


def main() -> None:
    """Run the rounds and print the middle one."""
    options = _options()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with _store(options) as store:
        run(store, 50, f"{time.time_ns()}")
        rounds = sorted(run(store, options.pairs, f"{time.time_ns()}") for _ in range(options.rounds))
    wall, cpu = rounds[len(rounds) // 2]
    print(
        f"{options.backend}: {options.pairs / wall:,.0f} create/verify pairs a second, "
        f"{cpu / options.pairs * 1e6:,.0f} us of CPU each "
        f"(middle of {options.rounds} rounds of {options.pairs:,} pairs, one core)"
    )


def run(store: OtpStore, pairs: int, label: str) -> tuple[float, float]:
    """Make and verify codes; return the seconds it took, by the clock and of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(pairs):
        receiver, reference = f"+62812{label[-6:]}{number:04}", f"{label}-{number}"
        issued = store.create(receiver=receiver, reference=reference, params=PARAMS, lifetime=60)
        answer = store.verify(receiver=receiver, reference=reference, params=PARAMS, otp=issued.code)
        if answer is not ResponseCode.SUCCESS:
            raise SystemExit(f"a right code was answered {answer}")
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def _store(options: argparse.Namespace) -> Iterator[OtpStore]:
    """Open the store asked for, in a directory that goes away."""
    with tempfile.TemporaryDirectory(prefix="otp-store-", dir=options.directory) as folder:
        key_file = Path(folder, "key")
        if options.backend == "memory":
            store = memory_store()
        elif options.backend == "redis":
            store = redis_store(options.url, key_file, prefix=f"{{bench-{time.time_ns()}}}:")
        else:
            store = sqlite_store(Path(folder, "cache"), key_file)
        with store:
            yield store


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("sqlite", "memory", "redis"), default="sqlite")
    parser.add_argument("--url", help="Redis to use; one small key stays there, the rest expires")
    parser.add_argument("--directory", help="where the SQLite file goes; the system's temporary one by default")
    parser.add_argument("--pairs", type=int, default=1000, help="pairs in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.url:
        options.backend = "redis"
    elif options.backend == "redis":
        parser.error("--backend redis needs --url")
    return options


if __name__ == "__main__":
    main()
