"""Let many processes do one thing to one store at the same moment, and print what each of them got.

    python many_processes.py '{"count": 50, "cache_dir": ..., "key_file": ..., "do": "verify", "fields": {...}}'

Forked from one small process, so that fifty of them cost about as much as one interpreter start.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otp.errors import OtpError
from otp.store import redis_store, sqlite_store

if TYPE_CHECKING:
    from otp.store import OtpStore


def open_store(job: dict[str, Any]) -> OtpStore:
    if "url" in job:
        return redis_store(job["url"], job["key_file"], prefix=job["prefix"])
    return sqlite_store(job["cache_dir"], job["key_file"])


def act(store: OtpStore, job: dict[str, Any]) -> str:
    try:
        answer = getattr(store, job["do"])(**job["fields"])
    except OtpError as error:
        return error.reason
    return str(answer) if job["do"] == "verify" else "made"


def child(job: dict[str, Any], inherited: OtpStore | None, go: int, answers: int) -> None:
    """Open a store (or take the parent's), wait for the start, act, and report."""
    try:
        store = inherited or open_store(job)
        os.write(answers, b"ready\n")
        os.read(go, 1)
        outcome = act(store, job)
        if "cache_dir" in job and store._backend._session._current.process != os.getpid():  # type: ignore[attr-defined]
            outcome = "used its parent's connection"
    except BaseException as error:  # noqa: BLE001 - the parent shows it
        outcome = f"{type(error).__name__}: {error}"
    os.write(answers, f"{outcome}\n".encode())
    os._exit(0)


def main() -> None:
    job = json.loads(sys.argv[1])
    for library in ("phonenumbers", "redis"):
        import_module(library)  # once here, not once in every child
    inherited = open_store(job) if job.get("open_before_fork") else None
    go_read, go_write = os.pipe()
    answers_read, answers_write = os.pipe()
    children = []
    for _ in range(job["count"]):
        process = os.fork()
        if process == 0:
            os.close(go_write)  # reading ends for all of them when the parent closes the only other end
            child(job, inherited, go_read, answers_write)
        children.append(process)
    os.close(answers_write)
    with os.fdopen(answers_read) as lines:
        for _ in children:
            line = next(lines)
            assert line == "ready\n", line
        os.close(go_write)
        outcomes = [next(lines).strip() for _ in children]
    for process in children:
        os.waitpid(process, 0)
    if inherited is not None:
        outcomes.append(act(inherited, job))
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main()
