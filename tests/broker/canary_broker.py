"""A broker that logs whatever can be logged: run by the canary test as a process of its own.

The root logger is at DEBUG, the loop in debug mode with every callback reported, and what ends in `!boom` makes our own
code fail with an error that quotes it.
"""

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from typing import Any

from broker import WSMessageBroker
from broker import auth as auth_module
from broker.run import LoopErrors, new_event_loop
from htpasswd import verify

BOOM = "!boom"


def failing(function: Callable[..., Any], quote: Callable[..., str]) -> Callable[..., Any]:
    """Make a function fail on some arguments, with an error that quotes them."""

    def wrapper(*arguments: Any, **named: Any) -> Any:
        quoted = quote(*arguments)
        if quoted.endswith(BOOM):
            raise RuntimeError(quoted)
        return function(*arguments, **named)

    return wrapper


async def serve(password_file: str) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.0
    loop.set_exception_handler(LoopErrors())
    auth_module.verify = failing(verify, lambda password, _stored: password)  # type: ignore[attr-defined] # imported there
    async with WSMessageBroker(
        password_file=password_file,
        host="127.0.0.1",
        port=0,
        admin_port=int(sys.argv[3]),
        drain_time=0,
        settle_time=0,
        max_message_size=4096,
        message_rate=200,
        auth_failures=3,
        log_level="debug",
    ) as broker:
        core = broker.core
        unmask = core.unmask

        def unmask_or_fail(payload: bytes, mask: bytes) -> bytes:
            plain = unmask(payload, mask)
            if plain.endswith(BOOM.encode()):
                raise RuntimeError(plain)
            return plain

        core.unmask = unmask_or_fail
        core.topics.publish_to = failing(  # type: ignore[method-assign] # made to fail on purpose
            core.topics.publish_to, lambda _topic, frame: frame.decode("utf-8", "replace")
        )
        sys.stdout.write(f"{broker.port} {broker.admin_port}\n")
        sys.stdout.flush()
        commands = asyncio.StreamReader()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while await commands.readline():
            await broker.reload()
        pipe.close()
        # Whatever a debugger or an error report would show of them.
        objects = (broker, broker.settings, core, core.auth, core.auth.accounts, *core.everyone())
        sys.stdout.write("\n".join(map(repr, objects)))
    gc.collect()


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    factory = new_event_loop if sys.argv[1] == "uvloop" else asyncio.SelectorEventLoop
    with asyncio.Runner(debug=True, loop_factory=factory) as runner:
        runner.run(serve(sys.argv[2]))
