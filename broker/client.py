"""The two little clients everyone needs to try a broker: publish, and subscribe. Any RFC 6455 client does as well."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException


class ClientError(Exception):
    """Say why the broker could not be used, in one line."""


Messages = Iterable[str | bytes] | AsyncIterable[str | bytes]


async def publish(url: str, messages: Messages, timeout: float = 10.0) -> int:
    """Publish messages, and return once the broker has fanned them out.

    The ping behind the last message is answered only after everything before it was fanned out.

    Args:
        url: `ws://user:password@host:port/ws?topic=NAME`.
        messages: text, or bytes for binary messages; from an asynchronous source, pings are answered meanwhile.
        timeout: seconds for connecting and for each answer.

    Returns:
        How many were published.

    Raises:
        ClientError: it was refused, cut off or not answered.
    """
    count = 0
    try:
        async with connect(url, open_timeout=timeout, ping_interval=None, max_queue=None, proxy=None) as socket:
            async for message in _each(messages):
                await socket.send(message)
                count += 1
            async with asyncio.timeout(timeout):
                await (await socket.ping())
    except (WebSocketException, OSError, TimeoutError) as error:
        raise ClientError(explain(error)) from None
    return count


async def _each(messages: Messages) -> AsyncGenerator[str | bytes, None]:
    if isinstance(messages, Iterable):
        for message in messages:
            yield message
    else:
        async for message in messages:
            yield message


async def subscribe(url: str, timeout: float = 10.0) -> AsyncGenerator[str | bytes, None]:
    """Yield every message of a topic until the broker says goodbye.

    Args:
        url: as for `publish`.
        timeout: seconds for connecting.

    Raises:
        ClientError: it was refused or cut off.
    """
    try:
        socket = await connect(url, open_timeout=timeout, ping_interval=None, max_size=None, proxy=None)
        try:
            while True:
                yield await socket.recv()
        finally:
            await socket.close()
    except (WebSocketException, OSError, TimeoutError) as error:
        raise ClientError(explain(error)) from None


def explain(error: Exception) -> str:
    """Turn what a client library raises into what was wrong and what to do."""
    if isinstance(error, InvalidStatus):
        return _refusal(error.response.status_code, bytes(error.response.body or b""))
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        return f"the broker closed the connection: {error.rcvd.code} {error.rcvd.reason}".rstrip()
    for kind, text in _EXPLAINED.items():
        if isinstance(error, kind):
            return text
    return getattr(error, "strerror", None) or f"{type(error).__name__}: this is no WebSocket broker, or it hung up"


_EXPLAINED: Final[dict[type[Exception], str]] = {
    InvalidURI: "the URL must look like ws://user:password@host:port/ws?topic=NAME",
    ConnectionClosed: "the connection was lost",
    TimeoutError: "the broker did not answer in time",
    ConnectionRefusedError: "nothing listens there; is the broker running, and are host and port right?",
}


def _refusal(status: int, body: bytes) -> str:
    try:
        return f"refused with {status}: {json.loads(body)['message']}"
    except (ValueError, KeyError, TypeError):
        return f"refused with {status}"
