"""POST events to a URL, signed, so that the receiver knows who speaks.

The receiver checks ``X-OTP-Pi-Signature: sha256=HEX`` against HMAC-SHA-256 of the raw body under the shared secret, in
constant time, before it reads the body:

    expected = "sha256=" + hmac.new(secret, body, "sha256").hexdigest()
    hmac.compare_digest(expected, request.headers["X-OTP-Pi-Signature"])
"""

import hmac
import ssl
from http import HTTPStatus
from typing import Final

import aiohttp

from otp.pi.events import UndeliveredError

SIGNATURE: Final = "X-OTP-Pi-Signature"
"""Header that carries the signature; absent without a secret."""

TIMEOUT: Final = 10.0
"""Seconds from the beginning of a request to the status of its answer, connecting included."""

_WORTH_ANOTHER_TRY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def sign(secret: str, body: bytes) -> str:
    """Return the value of the signature header."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


class Webhook:
    """One URL that events are posted to.

    Args:
        url: Where to; ``https://`` has its certificate verified.
        secret: Key of the signature; empty does not sign.
        ca: PEM file of the authority that signed its certificate; empty is the system's.
        timeout: Seconds for one request.

    Raises:
        OSError: ``ca`` cannot be read as certificates.
    """

    def __init__(self, url: str, *, secret: str = "", ca: str = "", timeout: float = TIMEOUT) -> None:
        self._url = url
        self._secret = secret
        self._tls = ssl.create_default_context(cafile=ca or None)
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def deliver(self, body: bytes) -> None:
        """Post one event.

        A redirect is not followed: the body and its signature are meant for this URL.

        Raises:
            UndeliveredError: It was not taken; for good when the answer is 3xx or 4xx other than 408, 425 and 429.
        """
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, body)
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False, ssl=self._tls
            ) as response:
                status = response.status
        except aiohttp.InvalidURL:
            raise UndeliveredError("invalid_url", permanent=True) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UndeliveredError(type(error).__name__) from None
        _judge(status)

    async def close(self) -> None:
        """Close connections that are kept open between requests."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """Return the session, which can only be made where a loop runs."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session


def _judge(status: int) -> None:
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    permanent = status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _WORTH_ANOTHER_TRY
    raise UndeliveredError(f"http_{status}", permanent=permanent)
