"""Reach the service that runs on a data directory; where none runs, be it for a moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from broker.logs import configure
from otp.errors import InvalidInput
from otp.numbers import NumberPolicy, Numbers
from otp.pi.cli import output
from otp.pi.control import ControlClient, NotRunningError
from otp.pi.modems.status import ModemState, ModemStatus
from otp.pi.service import Service
from otp.pi.settings import Settings
from otp.roads.errors import ConfigError

PATIENCE = 20.0
"""Seconds that modems have to be found, opened and registered."""

_LOOK_EVERY = 0.05
_UNDER_WAY = frozenset({ModemState.OPENING, ModemState.NOT_REGISTERED})


@asynccontextmanager
async def reach(
    settings: Settings, *, modems: bool = True, wait: float = PATIENCE, show_arrived: bool = True
) -> AsyncIterator[tuple[ControlClient, bool]]:
    """Yield a client of the service, and whether it was running before.

    One that was not running takes nothing from the roads and serves no HTTP; it stops at the end of the block.

    Args:
        settings: Whose service is meant.
        modems: Start its modems, and wait until they work or have said why not.
        wait: Seconds to wait for them at most.
        show_arrived: Print what emulated modems send.

    Raises:
        ConfigError, StorageError, OtpError: It cannot be started.
    """
    async with ControlClient(settings.data_dir) as client:
        if await is_running(client):
            yield client, True
            return
        configure(settings.log.format, "warning", root="otp.pi")
        arriving = output.arrived if show_arrived else None
        async with Service(alone(settings, modems=modems), arriving=arriving) as service:
            await _settle(service, wait)
            yield client, False


async def is_running(client: ControlClient) -> bool:
    """Tell whether a service answers."""
    try:
        await client.get("/livez")
    except NotRunningError:
        return False
    return True


async def runs(directory: Path) -> bool:
    """Tell whether a service answers on a data directory."""
    async with ControlClient(directory) as client:
        return await is_running(client)


def alone(settings: Settings, *, modems: bool) -> Settings:
    """Return settings without ways in, and without modems if so wished.

    Messages that wait in the journal for what is left out go on waiting.
    """
    return settings.model_copy(
        update={
            **dict.fromkeys(("ws", "amqp", "redis", "mqtt"), ()),
            "rest": settings.rest.model_copy(update={"enabled": False}),
            "events": settings.events.model_copy(update={"topic": "", "road": ""}),
            "modem": settings.modem if modems else (),
        }
    )


async def _settle(service: Service, wait: float) -> None:
    """Wait until each modem works, or has said why not."""
    try:
        async with asyncio.timeout(wait):
            while any(map(_is_under_way, (await service.status.snapshot()).modems)):  # noqa: ASYNC110 - they tell the pool only
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        pass


def _is_under_way(modem: ModemStatus) -> bool:
    if modem.state is ModemState.ABSENT:
        return modem.active and not modem.detail
    return modem.state in _UNDER_WAY


def numbers(settings: Settings) -> Numbers:
    """Return how numbers are read.

    Raises:
        ConfigError: ``[numbers]`` cannot be used as it stands.
    """
    try:
        return Numbers(NumberPolicy(settings.numbers.policy), settings.numbers.region or None)
    except InvalidInput as error:
        raise ConfigError(f"numbers: {error}") from None
