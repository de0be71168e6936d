"""What the two roads over HTTP share: the session, the credentials, what a refusal means."""

import base64

import aiohttp

from otp.publisher.errors import ConfigError, RoadError
from otp.publisher.settings import Road
from otp.publisher.transports import tls

_UNAUTHORIZED = 401
_FORBIDDEN = 403


class Door:
    """The way out for requests, opened when it is first used, since that needs a running event loop.

    Each request has a connection of its own: a pooled one that the server has just closed would cost a message,
    since a POST must not be repeated. No cookies are kept.

    Raises:
        ConfigError: A TLS file or the user name cannot be used.
    """

    def __init__(self, settings: Road, *, encrypted: bool) -> None:
        self._tls = tls.context(settings) if encrypted else True
        self._headers = _credentials(settings)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout)
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """Return the open session."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls, limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                headers=self._headers,
            )
        return self._session

    async def close(self) -> None:
        """Close the session and all its connections; closing twice is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _credentials(settings: Road) -> dict[str, str]:
    """Return the header of HTTP Basic in UTF-8 (RFC 7617)."""
    if not settings.username and not settings.password:
        return {}
    if ":" in settings.username:
        raise ConfigError("username holds a colon, which HTTP Basic cannot carry (RFC 7617).")
    pair = f"{settings.username}:{settings.password}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}


def refused(status: int, server: str) -> RoadError:
    """Return what an HTTP status other than the expected one becomes."""
    if status == _UNAUTHORIZED:
        return RoadError("unauthorized", f"{server} did not accept username and password (HTTP 401).")
    if status == _FORBIDDEN:
        return RoadError("forbidden", f"{server} does not allow this account to do that (HTTP 403).")
    return RoadError("rejected", f"{server} refused with HTTP status {status}.")
