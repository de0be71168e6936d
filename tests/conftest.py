"""Fixtures shared by all tests: accounts, brokers on private ports, both event loops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from broker import WSMessageBroker
from examples import ports

ACCOUNTS = {"alice": "secret", "bob": "geheim"}

MakeBroker = Callable[..., Awaitable[WSMessageBroker]]


def stored(password: str, cost: int = 4) -> str:
    """Hash a password as cheaply as bcrypt allows."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


LINES = "".join(f"{user}:{stored(password)}\n" for user, password in ACCOUNTS.items())


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    """A password file with alice:secret and bob:geheim."""
    file = tmp_path / "accounts.htpasswd"
    file.write_text(LINES)
    return file


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody uses."""
    return ports.free_port()


@pytest.fixture
async def make_broker(accounts: Path) -> AsyncIterator[MakeBroker]:
    """Start brokers with the test accounts; each is ended with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**settings: Any) -> WSMessageBroker:
            values: dict[str, Any] = {
                "password_file": str(accounts),
                "port": 0,
                "admin_port": 0,
                "drain_time": 0,
                "settle_time": 0,
                "host": "127.0.0.1",
            }
            return await stack.enter_async_context(WSMessageBroker(**(values | settings)))

        yield make


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            pytest.fail(f"condition did not hold within {seconds} s")
        await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Leave the broker's logger as it was: the command line configures it for the process."""
    import logging

    logger = logging.getLogger("broker")
    before = (logger.handlers[:], logger.propagate, logger.level)
    yield
    for handler in logger.handlers[:]:
        if handler not in before[0]:
            logger.removeHandler(handler)
            handler.close()
    logger.handlers[:], logger.propagate, logger.level = before[0], before[1], before[2]
    logger.setLevel(before[2])
