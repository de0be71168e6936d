"""REST: every command is posted to one URL, and the answer comes back at once."""

import asyncio
from typing import Never
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from otp.publisher.errors import RoadError
from otp.publisher.settings import Rest
from otp.publisher.transports.base import MAX_ANSWER, Receipt
from otp.roads import failures, http, tls

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_OK = 200


def open_road(settings: Rest) -> "RestRoad":
    """Return the road; see ``transports.open_road``."""
    return RestRoad(settings)


class RestRoad:
    """Messages to the REST interface of an OTP-Pi."""

    answers_at_once = True

    def __init__(self, settings: Rest) -> None:
        self._settings = settings
        parts = urlsplit(settings.url)
        self._server = parts.netloc
        self._door = http.Door(
            tls.context(settings) if parts.scheme == "https" else None,
            username=settings.username,
            password=settings.password,
            connect_timeout=settings.connect_timeout,
        )

    async def send(self, payload: bytes, lifetime: int | None) -> Receipt:
        """Post one message and return the answer."""
        try:
            async with self._door.session().post(
                URL(self._settings.url, encoded=True), data=payload, headers=_HEADERS, allow_redirects=False
            ) as response:
                if response.status != _OK:
                    raise http.refused(response.status, self._server)
                return Receipt(answer=await self._body(response))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise failures.not_connected(error, self._server) from error
        except (aiohttp.ClientError, OSError) as error:
            raise failures.broken(error, self._server) from error

    def listen(self, topic: str) -> Never:
        """Refuse: over REST answers come back at once, and nothing is ever subscribed to."""
        raise RoadError("rejected", "REST has no callback topics: the answer comes with the response.")

    async def check(self) -> str:
        """Ask for an echo, which every OTP-Pi answers and which changes nothing."""
        await self.send(b'{"command":"echo","data":{}}', None)
        return f"{self._server} answered"

    async def close(self) -> None:
        """Close what is open."""
        await self._door.close()

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Read an answer whole, but no more than ``MAX_ANSWER`` bytes of it."""
        try:
            await response.content.readexactly(MAX_ANSWER + 1)
        except asyncio.IncompleteReadError as complete:
            return complete.partial
        raise RoadError("bad_answer", f"{self._server} answered with more than {MAX_ANSWER} bytes.")
