"""From an accepted socket to an open WebSocket, or to a refusal that says why.

collect the head -> judge it -> remembered? -> 101, `Connection` takes the transport over
                        |           |
                        |           +-> verify in a thread -> 101 or 401/429
                        +-> refusal, `Linger` takes the transport over
"""

import asyncio
import math
import socket
import sys
from typing import Final, cast

from websockets.exceptions import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidUpgrade,
    RequestLineTooLong,
    TooManyHeaders,
)
from websockets.http11 import Request
from websockets.server import ServerProtocol

from broker.connection import Connection
from broker.core import Core
from broker.errors import (
    BAD_REQUEST,
    DRAINING,
    FULL,
    HEADER_TOO_LARGE,
    HTTP_VERSION,
    INTERNAL_ERROR,
    METHOD_NOT_ALLOWED,
    RATE_LIMITED,
    REQUEST_TIMEOUT,
    UPGRADE_REQUIRED,
    Refused,
)
from broker.judge import LOGGER
from broker.limits import address_key
from broker.linger import Linger
from broker.logs import describe, short_topic
from broker.request import (
    Credentials,
    basic_credentials,
    check_host,
    check_origin,
    check_path,
    client_address,
    split_target,
    topic_of,
)
from broker.responses import refusal_response

REFUSAL_PATIENCE: Final = 2.0
"""Seconds in which a refused client may read its refusal and hang up."""


class Handshake(asyncio.Protocol):
    """One socket before its upgrade.

    Args:
        core: what all connections share.
        address: of the client, `unix` for one on a Unix socket.
        line: the accepted socket; None where bytes must go through the transport.
        counted: whether the gate has counted it, before its TLS handshake.
    """

    __slots__ = ("address", "core", "counted", "due", "head", "line", "rest", "task", "topic", "transport", "verdict")

    def __init__(self, core: Core, address: str, line: socket.socket | None = None, *, counted: bool = False) -> None:
        self.core = core
        self.address = address
        self.line = line
        self.counted = counted
        self.head = bytearray()
        """The request so far."""
        self.rest = b""
        """What came behind the request: a client's first frames may share its segment."""
        self.task: asyncio.Task[None] | None = None
        """The verification that is under way."""
        self.verdict: Refused | None = None
        """Why the connection was one too many when it came; said once its request is there."""
        self.topic = ""
        self.due = math.inf

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the socket and give it its time."""
        self.transport = transport = cast("asyncio.Transport", transport)  # uvloop's has no such base class
        core = self.core
        if not self.counted:
            core.census.arrive()
        core.transients.add(self)
        core.deadlines.set(self, core.clock() + core.settings.handshake_timeout)
        try:
            core.census.check_arrival()
        except Refused as refused:
            self.verdict = refused
        core.on_change()

    def data_received(self, data: bytes) -> None:
        """Collect the head of the request."""
        if self.task is not None:
            self.rest += data
            return
        seen = max(0, len(self.head) - 3)
        self.head += data
        try:
            end = self._end_of_head(seen)
            if end:
                self.rest = bytes(self.head[end:])
                self._decide(bytes(self.head[:end]))
        except Refused as refused:
            self._refuse(refused)
        except Exception as error:  # noqa: BLE001 - whatever a request does, it is one client's answer, not a traceback
            self._fault(error)

    def eof_received(self) -> bool:
        """Keep the line of a client that is being verified: its frames may be in already, and it may read on."""
        return self.task is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the socket; a verification runs on for whoever shares it."""
        if self.task is not None:
            self.task.cancel()
        self._step_aside()
        self.core.census.open -= 1
        self.core.log.debug("gone", address=self.address, phase="handshake")
        self.core.on_change()

    def expired(self, now: float) -> None:
        """Refuse a request that is late, or whose verification waits too long."""
        if self.task is not None:
            self.task.cancel()
            self._refuse(Refused(FULL, "too many passwords wait to be verified", reason="verification"))
        else:
            limit = self.core.settings.handshake_timeout
            self._refuse(Refused(REQUEST_TIMEOUT, f"the request was not complete within {limit:g} s"))

    # -- the head

    def _end_of_head(self, seen: int) -> int:
        """Find the end of the head, 0 while it is not there.

        Args:
            seen: what stands before this index was searched already.
        """
        head, limit = self.head, self.core.settings.max_header_size
        found = head.find(b"\r\n\r\n", seen)
        end = found + 4 if found >= 0 else len(head)
        if end > limit:
            raise Refused(HEADER_TOO_LARGE, f"request line and headers are longer than {limit} bytes (max_header_size)")
        if found < 0 and (head.find(b"\n\n", seen) >= 0 or head.find(b"\n\r\n", seen) >= 0):
            raise Refused(BAD_REQUEST, "lines must end in CR LF")
        return end if found >= 0 else 0

    def _decide(self, head: bytes) -> None:
        core = self.core
        protocol = ServerProtocol(logger=LOGGER)
        request = _parse(protocol, head)
        host = check_host(request.headers.get_all("Host"))
        self.address = client_address(
            self.address, request.headers.get_all("X-Forwarded-For"), core.proxies, trust_unix=core.trust_unix
        )
        self._check_room()
        path, query = split_target(request.path)
        check_path(path, core.settings.path)
        if request.method != "GET":
            raise Refused(METHOD_NOT_ALLOWED, f"{request.method[:16]} is not possible here")
        response = _accept(protocol, request)
        self.topic = topic_of(query, core.settings.max_topic_length, core.topic_allowed)
        origin = check_origin(request.headers.get_all("Origin"), host, core.settings.allowed_origins)
        credentials = self._credentials(request)
        if core.auth.remembered(credentials):
            self._open(credentials.user, response, origin)
        else:
            self.transport.pause_reading()  # nobody unknown fills our memory while a thread is at work
            self.task = core.loop.create_task(self._verify(credentials, response, origin))

    def _check_room(self) -> None:
        core = self.core
        if core.draining:
            raise Refused(DRAINING, "the broker is stopping", retry_after=core.draining_retry)
        if self.verdict is not None:
            raise self.verdict
        if core.arrivals is not None:
            now = core.clock()
            bucket = core.arrivals.of(address_key(self.address), now)
            if not bucket.take(1, now):
                raise Refused(
                    RATE_LIMITED,
                    f"more than {core.settings.connection_rate} new connections a second (connection_rate)",
                    retry_after=bucket.wait(now),
                    reason="connection_rate",
                )

    def _credentials(self, request: Request) -> Credentials:
        try:
            return basic_credentials(request.headers.get_all("Authorization"))
        except Refused as refused:
            self.core.counters.auth_failures[refused.reason] += 1
            raise

    async def _verify(self, credentials: Credentials, response: bytes, origin: str | None) -> None:
        try:
            await self.core.auth.verify(credentials, address_key(self.address))
            self._open(credentials.user, response, origin)
        except Refused as refused:
            self._refuse(refused, user=credentials.user)
        except Exception as error:  # noqa: BLE001 - as in data_received
            self._fault(error)

    # -- the ways out

    def _open(self, user: str, response: bytes, origin: str | None) -> None:
        """Send the 101 in one write, and nothing with it, and hand the transport over."""
        core = self.core
        if core.draining:
            raise Refused(DRAINING, "the broker is stopping", retry_after=core.draining_retry)
        if self.transport.is_closing():
            return
        address, user = sys.intern(address_key(self.address)), sys.intern(user)
        core.census.check_address(address)
        core.census.check_user(user)
        connection = Connection(core, self.transport, user, address, origin, self.line)
        connection.topic = core.topics.join(self.topic, connection)
        self._step_aside()
        self.task = None
        self.transport.write(response)
        self.transport.set_protocol(connection)
        connection.begin(self.rest)
        self.transport.resume_reading()

    def _refuse(self, refused: Refused, user: str | None = None) -> None:
        core = self.core
        core.counters.rejected[refused.reason] += 1
        core.log.info(
            "refused",
            status=refused.refusal.status,
            reason=refused.reason,
            user=user,
            address=self.address,
            topic=short_topic(self.topic) or None,
        )
        self._step_aside()
        self.task = None
        if not self.transport.is_closing():
            self.transport.write(refusal_response(refused, with_body=not self.head.startswith(b"HEAD ")))
            Linger(core, self.transport, REFUSAL_PATIENCE)

    def _fault(self, error: Exception) -> None:
        self.core.log.error("internal_error", address=self.address, phase="handshake", error=describe(error))
        self._refuse(Refused(INTERNAL_ERROR, "the broker failed on this request"))

    def _step_aside(self) -> None:
        """Stop counting as a handshake, once."""
        if self in self.core.transients:
            self.core.transients.discard(self)
            self.core.census.unauthenticated -= 1
            self.core.deadlines.forget(self)


def _parse(protocol: ServerProtocol, head: bytes) -> Request:
    """Let `websockets` parse the head; what it refuses without an answer gets one here."""
    protocol.receive_data(head)
    cause = protocol.handshake_exc
    if isinstance(cause, RequestLineTooLong | HeaderLineTooLong | TooManyHeaders):
        raise Refused(HEADER_TOO_LARGE, "a header line is too long, or there are too many")
    events = protocol.events_received()
    if cause is not None or not events:
        if b" HTTP/1." not in head.partition(b"\r\n")[0]:
            raise Refused(BAD_REQUEST, "this is not an HTTP/1.1 request")
        raise Refused(BAD_REQUEST, "the request has a malformed line, a body, or bytes that HTTP/1.1 does not allow")
    request = events[0]
    assert isinstance(request, Request)  # noqa: S101 - the first event of a server is its request
    return request


def _accept(protocol: ServerProtocol, request: Request) -> bytes:
    """Let `websockets` judge the upgrade headers.

    Returns:
        The 101 response: about 200 bytes, since PHP clients read it with one read of 1024.
    """
    if request.protocol != "HTTP/1.1":
        raise Refused(HTTP_VERSION, "the handshake needs HTTP/1.1")
    response = protocol.accept(request)
    fault = protocol.handshake_exc
    if fault is None:
        return response.serialize()
    if isinstance(fault, InvalidUpgrade):
        raise Refused(UPGRADE_REQUIRED, "this is a WebSocket; the request has no `Upgrade: websocket`")
    if isinstance(fault, InvalidHeader) and fault.name == "Sec-WebSocket-Version":
        raise Refused(UPGRADE_REQUIRED, "the request needs `Sec-WebSocket-Version: 13`")
    if isinstance(fault, InvalidHandshake):
        raise Refused(BAD_REQUEST, f"the WebSocket headers are not valid: {str(fault)[:100]}")
    raise fault
