"""Threads and processes that do the same thing at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otp.codes import ResponseCode
from otp.errors import OtpError
from otp.limits import Window
from otp.store import OtpPolicy
from otp.store.base import Gone, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from otp.store import OtpStore
    from tests.otp.conftest import Clock, Opener

RECEIVER = "+628126666666"
ROOT = Path(__file__).parents[2]
THREADS = 16


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Run the work in many threads that start together; return what each returned or raised."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> Any:
        barrier.wait()
        try:
            return work(number)
        except OtpError as error:
            return error.reason

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def in_processes(opener: Opener, count: int, do: str, fields: dict[str, Any], **more: Any) -> Counter[str]:
    """Run the same call in many processes at once; count the outcomes."""
    job = {"count": count, "do": do, "fields": fields, "key_file": str(opener.folder / "otp.key"), **more}
    if opener.redis is not None:
        job |= {"url": opener.redis.url, "prefix": opener.prefix}
    else:
        job |= {"cache_dir": str(opener.folder / "cache")}
    script = Path(__file__).with_name("many_processes.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), json.dumps(job)],
        capture_output=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr.decode()
    return Counter(json.loads(done.stdout))


between_processes = pytest.mark.parametrize("open_store", ["sqlite", "redis"], indirect=True)
"""Memory belongs to one process."""


def test_threads_verify_one_code(store: OtpStore) -> None:
    """Of many threads with the right code exactly one succeeds."""
    code = store.create(receiver=RECEIVER, reference="r").code
    answers = at_once(lambda _: store.verify(receiver=RECEIVER, reference="r", otp=code))
    assert Counter(answers) == {ResponseCode.SUCCESS: 1, ResponseCode.INVALID_OTP: THREADS - 1}


def test_threads_verify_through_openers_of_their_own(open_store: Opener) -> None:
    """The same with a store opened by each thread."""
    code = open_store().create(receiver=RECEIVER, reference="r").code
    stores = [open_store() for _ in range(THREADS)]
    answers = at_once(lambda number: stores[number].verify(receiver=RECEIVER, reference="r", otp=code))
    assert Counter(answers) == {ResponseCode.SUCCESS: 1, ResponseCode.INVALID_OTP: THREADS - 1}


def test_threads_get_no_more_tries(open_store: Opener, clock: Clock) -> None:
    """Guessing in parallel gives the tries a code has and not one more."""
    issued = open_store().create(receiver=RECEIVER, reference="r")
    backend = open_store()._backend
    charged = at_once(lambda _: backend.charge(issued.record.name, clock()))
    records = [outcome for outcome in charged if isinstance(outcome, Record)]
    assert sorted(record.tries for record in records) == [0, 1, 2, 3, 4]
    assert charged.count(Gone.VOID) == THREADS - 5


def test_threads_create_one_reference(store: OtpStore) -> None:
    """Of many threads that make a code for one reference exactly one gets it."""
    outcomes = at_once(lambda _: bool(store.create(receiver=RECEIVER, reference="r")))
    assert Counter(outcomes) == {True: 1, "duplicate_reference": THREADS - 1}


def test_threads_create_for_one_receiver(store: OtpStore) -> None:
    """The limit per receiver holds when all come at once."""
    outcomes = at_once(lambda number: bool(store.create(receiver=RECEIVER, reference=number)))
    assert Counter(outcomes) == {True: 5, "rate_limited": THREADS - 5}


def test_threads_resend_one_code(store: OtpStore, clock: Clock) -> None:
    """A double click sends once."""
    store.create(receiver=RECEIVER, reference="r")
    clock.advance(30)
    outcomes = at_once(lambda _: bool(store.resend(receiver=RECEIVER, reference="r")))
    assert Counter(outcomes) == {True: 1, "rate_limited": THREADS - 1}


def test_threads_create_and_undo(open_store: Opener) -> None:
    """Failing sends at the same moment leave nothing behind."""
    store = open_store(OtpPolicy(windows=(Window(3600, THREADS),)))
    at_once(lambda number: store.undo(store.create(receiver=RECEIVER, reference=number)))
    outcomes = at_once(lambda number: bool(store.create(receiver=RECEIVER, reference=number)))
    assert Counter(outcomes) == {True: THREADS}


@between_processes
def test_processes_verify_one_code(open_store: Opener) -> None:
    """Of fifty processes with the right code exactly one succeeds."""
    code = open_store(clock=time.time).create(receiver=RECEIVER, reference="r").code
    fields = {"receiver": RECEIVER, "reference": "r", "otp": code}
    assert in_processes(open_store, 50, "verify", fields) == {"0000": 1, "1202": 49}


@between_processes
def test_processes_create_one_reference(open_store: Opener) -> None:
    """Of fifty processes that start with an empty store and make one reference exactly one gets it."""
    fields = {"receiver": RECEIVER, "reference": "r"}
    outcomes = in_processes(open_store, 50, "create", fields)
    assert outcomes == {"made": 1, "duplicate_reference": 49}


@between_processes
def test_processes_forked_after_opening(open_store: Opener) -> None:
    """A server may open the store first and fork its workers then; parent and children go on working."""
    code = open_store(clock=time.time).create(receiver=RECEIVER, reference="r").code
    fields = {"receiver": RECEIVER, "reference": "r", "otp": code}
    outcomes = in_processes(open_store, 20, "verify", fields, open_before_fork=True)
    assert outcomes == {"0000": 1, "1202": 20}
