"""The main job end to end, over real sockets, from an application to a telephone, in three scenes.

    relay     a message through the broker
    codes     a one-time password that the publisher makes and verifies
    gateway   every road through the OTP-Pi to a modem in software; RabbitMQ, Redis and Mosquitto where installed

Nothing has to be there and nothing stays: accounts are generated, ports are free ones, servers of our own run in a
directory that goes away. Exit code 0 says that what arrived is what was sent, and that the right code, and only that,
is accepted.
"""

import asyncio
import secrets
import signal
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from examples import codes, gateway, relay
from examples.gateway import Road
from examples.ports import free_port
from examples.rabbit import RabbitServer
from examples.servers import MosquittoServer, RedisServer, Server, ServerError
from examples.stage import broker_process, make_accounts, paint, say

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it."""

SERVERS: Final[tuple[tuple[type[Server], tuple[str, str, str, str]], ...]] = (
    (RabbitServer, ("AMQP", "amqp", "RabbitMQ", "the queue has it")),
    (RedisServer, ("REDIS", "redis", "Redis", "it is published")),
    (MosquittoServer, ("MQTT", "mqtt", "Mosquitto", "the server acknowledged it")),
)


@dataclass(frozen=True, slots=True)
class Starting:
    """A server that is being started while the first scenes are played."""

    server: Server
    names: tuple[str, str, str, str]
    started: "Future[None]"

    def road(self) -> Road:
        """Return the road, once the server runs."""
        self.started.result()
        return Road(*self.names, self.server.port, "app", self.server.password)


def start_servers(folder: Path, stack: ExitStack) -> list[Starting]:
    """Start every server that is installed, and say which are not; all end with the stack."""
    found = []
    workers = stack.enter_context(ThreadPoolExecutor(len(SERVERS)))
    for kind, names in SERVERS:
        if kind.missing():
            say(names[2], f"is not installed, its road is left out: sudo apt install {kind.package}")
            continue
        directory = folder / names[1]
        directory.mkdir()
        server = kind(directory, secrets.token_urlsafe(9))
        started = workers.submit(server.start)
        stack.callback(_end, server, started)
        found.append(Starting(server, names, started))
    return found


def _end(server: Server, started: "Future[None]") -> None:
    """End a server, also one that was just being started."""
    started.cancel()
    started.exception() if not started.cancelled() else None
    server.close()


def play(folder: Path, stack: ExitStack) -> bool:
    """Set the stage and play all scenes; tell whether all went well."""
    port, admin_port = free_port(), free_port()
    file = folder / ".htpasswd"
    passwords = make_accounts(file, ["app", "gateway", "monitor"])
    say("you", f"made a password file with {len(passwords)} accounts (bcrypt)")
    starting = start_servers(folder, stack)
    options = ["--host", "127.0.0.1", "--port", str(port), "--password-file", str(file), "--log-level", "error"]
    with broker_process(*options, admin_port=admin_port):
        say("broker", f"listens on ws://127.0.0.1:{port}/ws")
        own = Road("WS", "ws", "the broker", "the broker has handed it on", port, "app", passwords["app"])
        good = (
            asyncio.run(relay.relay(port, passwords))
            and asyncio.run(codes.one_time_password(port, passwords, folder))
            and asyncio.run(gateway.play([own, *(each.road() for each in starting)], passwords, folder))
        )
    say("broker", "said goodbye to everyone (Close 1001) and stopped")
    return good


def main() -> int:
    """Play, end whatever was started, and say how it went."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            good = play(Path(folder), stack)
    except KeyboardInterrupt:
        say("you", "stopped it; everything that was started has ended")
        return INTERRUPTED
    except ServerError as error:
        say("server", paint("bad", str(error)))
        good = False
    say("result", paint("good", "all as promised") if good else paint("bad", "something is wrong, see above"))
    return 0 if good else 1


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main())
