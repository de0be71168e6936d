"""A topic of an MQTT server such as Mosquitto, with a persistent session.

The server keeps what comes while we are away, under a client id that stays the same, and sends again what we have not
acknowledged. MQTT 5 is tried first, since there the session ends some time after we are gone for good.
"""

import asyncio
from pathlib import Path

from paho.mqtt.enums import MQTTProtocolVersion

from otp.pi.inputs.base import Take
from otp.pi.inputs.healing import CONNECT_TIME, LOG, HealingInput
from otp.pi.inputs.identity import identity
from otp.pi.inputs.mqtt_session import Session, VersionRefusedError
from otp.pi.settings import Mqtt
from otp.roads import failures, tls
from otp.roads.closing import quietly
from otp.roads.errors import ConfigError, RoadError

PORT, TLS_PORT = 1883, 8883


def open_input(name: str, settings: Mqtt, take: Take, data_dir: Path) -> "MqttInput":
    """Return the way in; see ``inputs.open_input``."""
    return MqttInput(name, settings, take, data_dir)


class MqttInput(HealingInput):
    """Commands from a topic.

    Attributes:
        _session: The open connection; ``None`` while there is none.
        _versions: Those to try, the best first.
    """

    def __init__(self, name: str, settings: Mqtt, take: Take, data_dir: Path) -> None:
        if "\0" in settings.topic:
            raise ConfigError("topic of [[mqtt]] holds a NUL, which MQTT does not allow.")
        self._port = settings.port or (TLS_PORT if settings.tls else PORT)
        super().__init__(name, settings, f"{settings.host}:{self._port}", take)
        self._settings = settings
        self._client_id = settings.client_id or identity(data_dir, name)
        self._tls = tls.context(settings) if settings.tls else None
        self._session: Session | None = None
        self._versions = [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]

    async def _serve(self) -> None:
        session = await self._connect()
        try:
            async with asyncio.timeout(CONNECT_TIME):
                await session.subscribe(self.topic, self._settings.qos)
            self._session = session
            self._up()
            while True:
                await self._take_next(session)
        except TimeoutError as error:
            raise failures.not_connected(error, self._server) from None
        finally:
            self._session = None
            await quietly(session.close())

    async def _publish(self, topic: str, payload: bytes) -> None:
        """Publish at quality of service 1 and wait for the acknowledgement."""
        if not topic or any(sign in topic for sign in "+#\0"):
            raise RoadError("rejected", "An answer cannot be published on a topic with + or # in it, or without one.")
        if self._session is None:
            raise RoadError("connection_lost", f"The connection to {self._server} broke.")
        await self._session.publish(topic, payload)

    async def _take_next(self, session: Session) -> None:
        """Store one message and acknowledge it.

        A retained message comes again with every subscription, though it may have been carried out long ago: it is
        passed over. Messages that are published with that flag while the subscription stands come without it
        (MQTT 5, 3.3.1.3).
        """
        message = await session.next()
        if message.retain:
            LOG.info("input_retained_message_ignored", road=self.name)
        else:
            await self._hand(bytes(message.payload))
        session.acknowledge(message)

    async def _connect(self) -> Session:
        """Connect with the newest version the server speaks."""
        for version in self._versions:
            session = Session(self._settings, self._client_id, self._server, self._tls, version)
            try:
                async with asyncio.timeout(CONNECT_TIME):
                    await session.connect(self._settings.host, self._port)
            except VersionRefusedError:
                await quietly(session.close())
            except (OSError, ValueError) as error:
                await quietly(session.close())
                raise failures.not_connected(error, self._server) from error
            except BaseException:
                await quietly(session.close())
                raise
            else:
                return session
        raise RoadError("rejected", f"{self._server} ended the connection instead of accepting it.")
