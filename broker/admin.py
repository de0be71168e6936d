"""The second listener: is it alive, is it ready, what does it do, and a way to publish by HTTP.

GET  /livez             200 while the event loop turns
GET  /readyz            200, or 503 with the reason: draining, no accounts
GET  /metrics           Prometheus text
GET  /topics            JSON, Basic credentials
POST /publish?topic=T   the body is the message, Basic credentials
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from aiohttp import web

from broker.core import Core
from broker.errors import (
    BAD_REQUEST,
    DRAINING,
    FORBIDDEN,
    INTERNAL_ERROR,
    MESSAGE_TOO_BIG,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    Refused,
)
from broker.frames import BINARY, TEXT, as_text, is_utf8, server_frame
from broker.limits import address_key
from broker.logs import describe
from broker.metrics import CONTENT_TYPE, Collector, Gauges, render
from broker.request import Credentials, basic_credentials, client_address, topic_of
from broker.responses import extra_headers, refusal_body
from broker.topics import Topic

OTHER: Final = "other"
"""Label of every topic that is not in `metrics_topics`: names of topics may be secrets."""

HTTP_LOGGER: Final = logging.getLogger("broker.aiohttp")
"""aiohttp logs a request that it cannot parse with a traceback which quotes it, credentials included: not with us."""
HTTP_LOGGER.setLevel(logging.CRITICAL)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """Answer the admin requests.

    Args:
        core: what the broker shares.
        accepting: tells whether new connections are accepted now.
        loop_name: event loop, for `build_info`.
    """

    def __init__(self, core: Core, accepting: Callable[[], bool], loop_name: str) -> None:
        self.core = core
        gauges = Gauges(
            {
                "connections": lambda: core.census.open,
                "topics": lambda: len(core.topics.by_name),
                "messages_received_total": lambda: core.topics.received,
                "messages_delivered_total": lambda: core.topics.delivered,
                "sent_bytes_total": lambda: core.topics.sent_bytes,
                "send_queue_bytes": core.queued_bytes,
                "accepting": lambda: float(accepting()),
            },
            self._subscribers,
        )
        self.collector = Collector(core.counters, gauges, loop_name)

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        app = web.Application(middlewares=[self._as_json])
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/topics", self.topics)
        app.router.add_post("/publish", self.publish)
        return app

    async def livez(self, request: web.Request) -> web.Response:
        """Answer as long as the loop turns."""
        return _json({"live": True})

    async def readyz(self, request: web.Request) -> web.Response:
        """Tell whether new clients are welcome."""
        reason = "draining" if self.core.draining else None if self.core.auth.accounts else "no_accounts"
        answer = {"ready": reason is None} | ({"reason": reason} if reason else {})
        return _json(answer, 503 if reason else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Write the metrics."""
        return web.Response(body=render(self.collector), headers={"Content-Type": CONTENT_TYPE})

    async def topics(self, request: web.Request) -> web.Response:
        """List topics with their connections, rates per second and totals, busiest first."""
        await self._authorize(request)
        now = self.core.clock()
        topics = sorted(self.core.topics.by_name.values(), key=lambda each: -len(each.members))
        return _json({"topics": [_row(topic, now) for topic in topics]})

    async def publish(self, request: web.Request) -> web.Response:
        """Publish the body; answer when it is fanned out."""
        core = self.core
        if core.draining:
            raise Refused(DRAINING, "the broker is stopping", retry_after=core.draining_retry)
        topic = topic_of(request.rel_url.raw_query_string, core.settings.max_topic_length, core.topic_allowed)
        credentials = await self._authorize(request)
        payload = await self._body(request)
        opcode = BINARY if _is_binary(request) else TEXT
        if opcode == TEXT and not is_utf8(payload):
            raise Refused(BAD_REQUEST, "the text is not UTF-8; send anything else as application/octet-stream")
        receivers = 0
        if payload or not core.settings.drop_empty_messages:
            frame = server_frame(opcode, payload)
            receivers = core.topics.publish_to(topic, as_text(frame) if core.settings.binary_as_text else frame)
            await self._fanned_out()
        else:
            core.counters.dropped["empty"] += 1
        core.log.debug("published", user=credentials.user, address=request.remote, receivers=receivers)
        return _json({"topic": topic, "receivers": receivers}, 200 if receivers else 202)

    async def _fanned_out(self) -> None:
        done: asyncio.Future[None] = self.core.loop.create_future()
        self.core.topics.answer(lambda _: None if done.done() else done.set_result(None), b"")
        await done

    async def _body(self, request: web.Request) -> bytes:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refused(BAD_REQUEST, "the body is compressed; send it as it is, without Content-Encoding")
        limit = self.core.settings.max_message_size
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise Refused(MESSAGE_TOO_BIG, f"the message is longer than {limit} bytes (max_message_size)")
        except (ConnectionError, web.RequestPayloadError):
            raise Refused(BAD_REQUEST, "the body ended before its end") from None
        return bytes(body)

    async def _authorize(self, request: web.Request) -> Credentials:
        core = self.core
        try:
            credentials = basic_credentials(request.headers.getall("Authorization", []))
        except Refused as refused:
            core.counters.auth_failures[refused.reason] += 1
            raise
        if not core.auth.remembered(credentials):
            address = client_address(
                request.remote or "unknown",  # reset before it was accepted: no proxy whose word counts
                request.headers.getall("X-Forwarded-For", []),
                core.proxies,
                trust_unix=core.trust_unix,
            )
            await core.auth.verify(credentials, address_key(address))
        allowed = core.settings.admin_users
        if allowed and credentials.user not in allowed:
            raise Refused(FORBIDDEN, "this account is not listed in admin_users")
        return credentials

    @web.middleware
    async def _as_json(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every refusal in the form the WebSocket side uses."""
        try:
            return await handler(request)
        except Refused as refused:
            return self._refuse(request, refused)
        except web.HTTPMethodNotAllowed as error:
            allow = ", ".join(sorted(error.allowed_methods))
            return self._refuse(request, Refused(METHOD_NOT_ALLOWED, f"{request.path} takes {allow}"), allow=allow)
        except web.HTTPNotFound:
            return self._refuse(
                request, Refused(NOT_FOUND, "there is no such page; there are /livez /readyz /metrics /topics /publish")
            )
        except Exception as error:  # noqa: BLE001 - one request's fault; no traceback, since it may quote the request
            self.core.log.error("internal_error", phase="admin", error=describe(error))
            return self._refuse(request, Refused(INTERNAL_ERROR, "the broker failed on this request"))

    def _refuse(self, request: web.Request, refused: Refused, allow: str = "GET") -> web.Response:
        self.core.counters.rejected[refused.reason] += 1
        self.core.log.info("admin_refused", reason=refused.reason, address=request.remote, path=request.path[:40])
        return web.Response(
            status=refused.refusal.status,
            body=refusal_body(refused),
            headers={"Content-Type": "application/json", **extra_headers(refused, allow=allow)},
        )

    def _subscribers(self) -> Iterator[tuple[str, int]]:
        named = self.core.settings.metrics_topics
        by_name = self.core.topics.by_name
        total = sum(len(topic.members) for topic in by_name.values())
        for name in named:
            count = len(by_name[name].members) if name in by_name else 0
            total -= count
            yield name, count
        yield OTHER, total


def _is_binary(request: web.Request) -> bool:
    """Tell whether the body is declared as bytes; aiohttp's own `content_type` says so of every body without a type."""
    kind, _, _ = request.headers.get("Content-Type", "").partition(";")
    return kind.strip().lower() == "application/octet-stream"


def _row(topic: Topic, now: float) -> dict[str, Any]:
    inbound, outbound = topic.rates(now)
    return {
        "topic": topic.name,
        "connections": len(topic.members),
        "received_per_second": round(inbound, 1),
        "delivered_per_second": round(outbound, 1),
        "received": topic.received,
        "delivered": topic.delivered,
    }


def _json(answer: dict[str, Any], status: int = 200) -> web.Response:
    """Answer with a line of JSON, fit for a terminal."""
    return web.json_response(text=json.dumps(answer, ensure_ascii=False) + "\n", status=status)
