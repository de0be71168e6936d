"""HTTP answers before the upgrade. Pure: a verdict in, bytes out."""

import json
import math
from http import HTTPStatus
from typing import Final

from broker.errors import FULL, METHOD_NOT_ALLOWED, TOO_MANY_CONNECTIONS, UNAUTHORIZED, UPGRADE_REQUIRED, Refused

CHALLENGE: Final = 'Basic realm="wsbroker", charset="UTF-8"'
"""RFC 7617, 2.1: the client shall encode user and password as UTF-8."""

USUAL_WAIT: Final = {FULL: 5.0, TOO_MANY_CONNECTIONS: 5.0}
"""Seconds for Retry-After where nobody can know when room will be."""


def extra_headers(refused: Refused, *, allow: str = "GET") -> dict[str, str]:
    """Return the headers that a refusal owes the client besides its body."""
    headers: dict[str, str] = {}
    if refused.refusal is UNAUTHORIZED:
        headers["WWW-Authenticate"] = CHALLENGE
    if refused.refusal is METHOD_NOT_ALLOWED:
        headers["Allow"] = allow
    if refused.refusal is UPGRADE_REQUIRED:
        headers |= {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    wait = refused.retry_after if refused.retry_after is not None else USUAL_WAIT.get(refused.refusal)
    if wait is not None:
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return headers


def refusal_body(refused: Refused) -> bytes:
    """Return the JSON body: the token, and in words what was wrong and what to do."""
    refusal = refused.refusal
    message = f"{refused.detail}. What to do: {refusal.advice}."
    return json.dumps({"error": refusal.token, "message": message}, ensure_ascii=False).encode() + b"\n"


def refusal_response(refused: Refused, *, with_body: bool = True) -> bytes:
    """Build the whole response to a refused request.

    Args:
        refused: the verdict.
        with_body: False for HEAD, whose answer has headers only (RFC 9110, 9.3.2).
    """
    status = HTTPStatus(refused.refusal.status)
    body = refusal_body(refused)
    connection = "Upgrade, close" if refused.refusal is UPGRADE_REQUIRED else "close"
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": connection,
        **extra_headers(refused),
    }
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")
