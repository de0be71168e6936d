"""What everybody shares who speaks HTTP to a server: the session, the credentials, the topic, what a refusal means."""

import base64
import ssl
from urllib.parse import quote, unquote_plus

import aiohttp

from otp.roads.errors import ConfigError, RoadError

_UNAUTHORIZED = 401
_FORBIDDEN = 403

_URL_SIGNS = "%/:?@!$&'()*+,;=-._~"
"""What stands in a path or query as it is (RFC 3986, 3.3 and 3.4); ``%`` because settings may be encoded already."""


class Door:
    """The way out for requests, opened when it is first used, since that needs a running event loop.

    Each request has a connection of its own: a pooled one that the server has just closed would cost a message,
    since a POST must not be repeated. No cookies are kept.

    Args:
        context: For servers that speak TLS; ``None`` where none does.
        username: Account; sent with the password unless both are empty.
        password: Its password.
        connect_timeout: Seconds that opening a connection may take.

    Raises:
        ConfigError: The user name cannot be used.
    """

    def __init__(self, context: ssl.SSLContext | None, *, username: str, password: str, connect_timeout: float) -> None:
        self._tls = True if context is None else context
        self._headers = _credentials(username, password)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout)
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


def _credentials(username: str, password: str) -> dict[str, str]:
    """Return the header of HTTP Basic in UTF-8 (RFC 7617)."""
    if not username and not password:
        return {}
    if ":" in username:
        raise ConfigError("username holds a colon, which HTTP Basic cannot carry (RFC 7617).")
    pair = f"{username}:{password}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}


def refused(status: int, server: str) -> RoadError:
    """Return what an HTTP status other than the expected one becomes."""
    if status == _UNAUTHORIZED:
        return RoadError("unauthorized", f"{server} did not accept username and password (HTTP 401).")
    if status == _FORBIDDEN:
        return RoadError("forbidden", f"{server} does not allow this account to do that (HTTP 403).")
    return RoadError("rejected", f"{server} refused with HTTP status {status}.")


def netloc(host: str, port: int) -> str:
    """Return ``host:port``, with the brackets that an IPv6 address needs (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def with_topic(path: str, topic: str) -> str:
    """Return path and query with ``topic`` in it: in its old place where there was one, else at the end."""
    route, _, query = quote(path, safe=_URL_SIGNS).partition("?")
    wanted = f"topic={quote(topic, safe='')}"
    parts = [part for part in query.split("&") if part]
    places = [index for index, part in enumerate(parts) if unquote_plus(part.partition("=")[0]) == "topic"]
    others = [part for index, part in enumerate(parts) if index not in places]
    others.insert(places[0] if places else len(others), wanted)
    return f"{route if route.startswith('/') else '/' + route}?{'&'.join(others)}"
