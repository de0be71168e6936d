"""What the library under the RabbitMQ road says on its own account: nothing."""

import subprocess
import sys
from pathlib import Path

from examples.ports import free_port

_PROGRAM = """
import asyncio, gc, logging, sys
from pathlib import Path
from otp.pi.inputs import open_input
from otp.pi.settings import Amqp

logging.getLogger("otp.pi").addHandler(logging.NullHandler())
sys.unraisablehook = lambda found: print("unraisable:", found.exc_value, file=sys.stderr)


async def take(payload, origin):
    raise AssertionError


async def main():
    way = open_input("amqp", Amqp(port=int(sys.argv[1]), reconnect_longest=0.01), take, data_dir=Path())
    task = asyncio.create_task(way.run())
    while "cannot" not in way.status.detail and "refused" not in way.status.detail:
        await asyncio.sleep(0.01)
    gc.disable()
    await asyncio.to_thread(gc.collect)
    print(way.status.detail)
    task.cancel()
    await asyncio.wait([task])


asyncio.run(main())
"""


def test_server_that_is_away_is_spoken_of_by_the_road_alone() -> None:
    """Neither the library's log nor its destructors reach standard error, whatever thread collects the garbage."""
    port = free_port()
    command = [sys.executable, "-W", "always", "-c", _PROGRAM, str(port)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.stderr == ""
    assert str(port) in done.stdout
