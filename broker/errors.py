"""Every way the broker says no, in two tables: before the upgrade (HTTP) and after it (Close).

The token is the stable name: it stands in the JSON body or at the start of the Close reason, in the log line and in
the metric's label. The advice tells the other side what to do next. Both tables are part of the reference
(``docs/reference/close-codes.md``), and a test holds them against it.
"""

from dataclasses import dataclass
from typing import Final

MAX_CLOSE_REASON: Final = 123
"""Bytes of UTF-8 that fit behind the code of a Close frame (RFC 6455, 5.5)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to turn a request away before the upgrade."""

    token: str
    status: int
    advice: str


@dataclass(frozen=True, slots=True)
class Closure:
    """One way to end an open connection."""

    token: str
    code: int
    advice: str


class Refused(Exception):  # noqa: N818 - a verdict, not a fault
    """Raised where a request is turned away.

    Args:
        refusal: the row of the table.
        detail: what was wrong, in words for the client; never a credential and never a payload.
        retry_after: seconds to wait before another try, sent as ``Retry-After``; ``None`` sends none.
        reason: a finer word for the metric where one token has several causes.
    """

    def __init__(
        self, refusal: Refusal, detail: str, *, retry_after: float | None = None, reason: str | None = None
    ) -> None:
        super().__init__(f"{refusal.token}: {detail}")
        self.refusal = refusal
        self.detail = detail
        self.retry_after = retry_after
        self.reason = reason or refusal.token


BAD_REQUEST: Final = Refusal("bad_request", 400, "send what RFC 6455, 4.1, and RFC 9112 ask for")
INVALID_TOPIC: Final = Refusal("invalid_topic", 400, "send one topic, percent-encoded UTF-8, within max_topic_length")
UNSUPPORTED_PARAMETER: Final = Refusal(
    "unsupported_parameter", 400, "leave the parameter out: this version has no such feature"
)
UNAUTHORIZED: Final = Refusal("unauthorized", 401, "send HTTP Basic credentials of an account in the password file")
FORBIDDEN_ORIGIN: Final = Refusal(
    "forbidden_origin", 403, "serve the page from the broker's own host, or add its origin to allowed_origins"
)
FORBIDDEN: Final = Refusal("forbidden", 403, "use an account that is listed in admin_users")
NOT_FOUND: Final = Refusal("not_found", 404, "use a path that is served here")
METHOD_NOT_ALLOWED: Final = Refusal("method_not_allowed", 405, "use the method that the Allow header names")
REQUEST_TIMEOUT: Final = Refusal("handshake_timeout", 408, "send the whole request at once")
MESSAGE_TOO_BIG: Final = Refusal("message_too_big", 413, "send a smaller message, or raise max_message_size")
UPGRADE_REQUIRED: Final = Refusal("upgrade_required", 426, "connect with a WebSocket client, version 13")
RATE_LIMITED: Final = Refusal("rate_limited", 429, "wait as long as Retry-After says")
TOO_MANY_CONNECTIONS: Final = Refusal("too_many_connections", 429, "close some of your connections first")
HEADER_TOO_LARGE: Final = Refusal("header_too_large", 431, "send fewer or shorter headers, or raise max_header_size")
INTERNAL_ERROR: Final = Refusal("internal_error", 500, "try again; the broker's log has the cause")
FULL: Final = Refusal("full", 503, "try again later: the broker is at one of its limits")
DRAINING: Final = Refusal("draining", 503, "reconnect as Retry-After says: the broker is stopping")
HTTP_VERSION: Final = Refusal("http_version", 505, "use HTTP/1.1")

REFUSALS: Final = (
    BAD_REQUEST,
    INVALID_TOPIC,
    UNSUPPORTED_PARAMETER,
    UNAUTHORIZED,
    FORBIDDEN_ORIGIN,
    FORBIDDEN,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    MESSAGE_TOO_BIG,
    UPGRADE_REQUIRED,
    RATE_LIMITED,
    TOO_MANY_CONNECTIONS,
    HEADER_TOO_LARGE,
    INTERNAL_ERROR,
    FULL,
    DRAINING,
    HTTP_VERSION,
)

NORMAL: Final = Closure("normal", 1000, "nothing: you asked for it")
SHUTDOWN: Final = Closure("shutdown", 1001, "reconnect after a random 1 to 10 s: the broker is stopping")
PROTOCOL_ERROR: Final = Closure("protocol_error", 1002, "mend the client: it broke RFC 6455")
INVALID_TEXT: Final = Closure("invalid_text", 1007, "send UTF-8 in text messages, anything else as binary")
CLIENT_RATE_LIMITED: Final = Closure("rate_limited", 1008, "send more slowly: see message_rate and byte_rate")
CLIENT_MESSAGE_TOO_BIG: Final = Closure("message_too_big", 1009, "send smaller messages, or raise max_message_size")
BROKER_ERROR: Final = Closure("internal_error", 1011, "reconnect; the broker's log has the cause")
RESTART: Final = Closure("restart", 1012, "reconnect at once: the next process already listens")
SLOW_CONSUMER: Final = Closure(
    "slow_consumer", 1013, "reconnect and read faster: see max_queued_bytes and write_timeout"
)
CREDENTIALS_REVOKED: Final = Closure("credentials_revoked", 3000, "reconnect with the account's present password")
ORIGIN_REVOKED: Final = Closure("forbidden", 3003, "reconnect from an origin in allowed_origins")
PING_TIMEOUT: Final = Closure("ping_timeout", 3008, "reconnect: nothing was heard from you for ping_timeout")

CLOSURES: Final = (
    NORMAL,
    SHUTDOWN,
    PROTOCOL_ERROR,
    INVALID_TEXT,
    CLIENT_RATE_LIMITED,
    CLIENT_MESSAGE_TOO_BIG,
    BROKER_ERROR,
    RESTART,
    SLOW_CONSUMER,
    CREDENTIALS_REVOKED,
    ORIGIN_REVOKED,
    PING_TIMEOUT,
)

ABNORMAL: Final = 1006
"""What the log and the metrics say of a connection that ended without a Close frame (RFC 6455, 7.1.5)."""


def close_reason(closure: Closure, detail: str = "") -> str:
    """Build the reason of a Close frame: the token, then what happened, cut to what fits."""
    text = f"{closure.token}: {detail}" if detail else closure.token
    return text.encode()[:MAX_CLOSE_REASON].decode(errors="ignore")
