"""Every setting of the broker, once: name, type, default, unit, what it does and what happens when it is crossed.

The same name is the TOML key, the flag (`--max-message-size`) and the variable (`WSBROKER_MAX_MESSAGE_SIZE`). The
flags, `wsbroker default-config` and `docs/reference/settings.md` are made from or tested against this class.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from broker.units import parse_duration, parse_size

OFF: Final = "0 is no limit"


@dataclass(frozen=True, slots=True)
class About:
    """What a person wants to know of a setting besides its type and default."""

    unit: str = ""
    crossed: str = ""
    """What happens when the limit is crossed."""
    reload: bool = True
    """True when HUP takes over a new value; False when it needs a restart."""


def _split(value: object) -> object:
    parts = [value] if isinstance(value, str) else value
    if isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts):
        return tuple(word.strip() for part in parts for word in part.split(",") if word.strip())
    raise ValueError('must be a list of words, such as ["one", "two"] or one,two')


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        if text != "unix":
            ipaddress.ip_network(text, strict=False)
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return value


def _path(value: str) -> str:
    if not value.startswith("/") or any(sign in value for sign in "?# "):
        raise ValueError("must begin with / and hold no ?, # or blank")
    return value


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
Count = Annotated[int, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]


def _setting(default: Any, text: str, *, unit: str = "", crossed: str = "", reload: bool = True, **limits: Any) -> Any:
    about = About(unit, crossed, reload)
    return Field(default, description=text, json_schema_extra={"about": about}, **limits)  # type: ignore[dict-item]


class Settings(BaseModel):
    """All settings, checked and frozen; a reload makes a new object."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    # Where it listens
    host: Words = _setting(
        ("localhost",),
        "Addresses to listen on; localhost is both 127.0.0.1 and ::1.",
        reload=False,
        min_length=0,
    )
    port: Port = _setting(9000, "TCP port for WebSocket clients; 0 takes a free one.", reload=False)
    path: Annotated[str, AfterValidator(_path)] = _setting(
        "/ws",
        "Path of the WebSocket; the same path with a slash behind it and / mean the same.",
        crossed="404 not_found",
    )
    socket_path: str = _setting("", "Unix socket to listen on as well; empty is none.", reload=False)
    admin_host: str = _setting("127.0.0.1", "Address of the admin listener.", reload=False)
    admin_port: Port = _setting(
        9001,
        "Port of the admin listener (/livez /readyz /metrics /topics /publish); 0 switches it off.",
        reload=False,
    )
    tls_certificate: str = _setting(
        "",
        "PEM file with the certificate chain; with it the port speaks wss:// only. What it holds is read again on HUP.",
        reload=False,
    )
    tls_key: str = _setting(
        "", "PEM file with the private key; empty when it stands in the certificate's file.", reload=False
    )
    trusted_proxies: Annotated[Words, AfterValidator(_networks)] = _setting(
        (), "Networks of proxies whose X-Forwarded-For is believed; the word unix stands for the Unix socket."
    )
    allowed_origins: Words = _setting(
        (),
        "Origins of web pages that may connect besides those of the same host; * allows all.",
        crossed="403 forbidden_origin; 3003 forbidden when a reload takes it away",
    )

    # Who may connect
    password_file: str = _setting(".htpasswd", "Accounts, one user:hash a line; watched for changes.", reload=False)
    allow_plaintext: bool = _setting(False, "Accept lines with the bare password in the password file.")
    auth_failures: Count = _setting(
        20,
        "Wrong passwords a minute for one user from one address; ten times as many for one address. " + OFF + ".",
        unit="per minute",
        crossed="429 rate_limited with Retry-After",
    )
    auth_cache: Duration = _setting(
        300.0, "How long a verified password is remembered; 0 verifies each time.", unit="duration"
    )

    # How much one message, connection or topic may take
    max_message_size: Annotated[Size, Field(ge=1, le=2**30)] = _setting(
        2**20,
        "Payload of one message, all fragments together.",
        unit="size",
        crossed="close 1009 message_too_big",
    )
    max_fragments: Annotated[int, Field(ge=1)] = _setting(
        4096, "Fragments of one message.", unit="frames", crossed="close 1009 message_too_big"
    )
    max_header_size: Annotated[Size, Field(ge=1024, le=2**16)] = _setting(
        8192, "Request line and headers of the handshake.", unit="size", crossed="431 header_too_large"
    )
    max_topic_length: Count = _setting(
        256, "Length of a topic's name after decoding, as UTF-8.", unit="bytes", crossed="400 invalid_topic"
    )
    topic_pattern: Annotated[str, AfterValidator(_pattern)] = _setting(
        r"[^\x00-\x1f\x7f]*",
        "Regular expression that a whole topic name must match.",
        crossed="400 invalid_topic",
    )
    max_topics: Count = _setting(0, "Topics at once; " + OFF + ".", unit="topics", crossed="503 full")
    max_subscribers_per_topic: Count = _setting(
        0, "Connections on one topic; " + OFF + ".", unit="connections", crossed="503 full"
    )
    max_connections: Count = _setting(
        0, "Connections in all; 0 is the descriptor limit less 64.", unit="connections", crossed="503 full"
    )
    max_connections_per_user: Count = _setting(
        0, "Connections of one account; " + OFF + ".", unit="connections", crossed="429 too_many_connections"
    )
    max_connections_per_address: Count = _setting(
        0,
        "Connections from one address (IPv6: one /64); " + OFF + ".",
        unit="connections",
        crossed="429 too_many_connections",
    )
    max_unauthenticated: Count = _setting(
        2000,
        "Connections at once that have not finished their handshake; " + OFF + ".",
        unit="connections",
        crossed="503 full",
    )
    connection_rate: Count = _setting(
        2000,
        "New connections a second from one address, two seconds' worth at once; " + OFF + ".",
        unit="per second",
        crossed="429 rate_limited with Retry-After",
    )
    message_rate: Count = _setting(
        0,
        "Messages a second from one connection, two seconds' worth at once; " + OFF + ".",
        unit="per second",
        crossed="close 1008 rate_limited",
    )
    byte_rate: Size = _setting(
        0,
        "Bytes a second from one connection, two seconds' worth at once; " + OFF + ".",
        unit="size per second",
        crossed="close 1008 rate_limited",
    )

    # Slow and silent clients
    max_queued_bytes: Annotated[Size, Field(ge=1)] = _setting(
        2**24,
        "Bytes that wait for one connection; at least 4 x max_message_size.",
        unit="size",
        crossed="see slow_consumer",
    )
    slow_consumer: Literal["close", "drop"] = _setting(
        "close",
        "What a connection gets that is above max_queued_bytes: close it (1013 slow_consumer), or drop the rest.",
    )
    write_timeout: Duration = _setting(
        60.0,
        "How long a connection may take no byte while bytes wait for it; 0 waits for ever.",
        unit="duration",
        crossed="close 1013 slow_consumer",
    )
    handshake_timeout: Annotated[Duration, Field(gt=0)] = _setting(
        10.0, "Time for the whole request to arrive.", unit="duration", crossed="408 handshake_timeout"
    )
    close_timeout: Annotated[Duration, Field(gt=0)] = _setting(
        5.0,
        "Time for the other side to answer a Close and hang up.",
        unit="duration",
        crossed="the connection is cut",
    )
    ping_interval: Duration = _setting(
        25.0,
        "Time between pings to one connection, the first after 20 s at the earliest; 0 sends none.",
        unit="duration",
    )
    ping_timeout: Duration = _setting(
        300.0,
        "Silence after which a pinged connection is given up; any byte counts as life; 0 never.",
        unit="duration",
        crossed="close 3008 ping_timeout",
    )
    settle_time: Duration = _setting(
        0.1,
        "Time after the 101 in which nothing is sent to a new connection; messages wait in order.",
        unit="duration",
    )

    # What is relayed
    binary_as_text: bool = _setting(False, "Relay a binary message as text when it is UTF-8.")
    drop_empty_messages: bool = _setting(False, "Do not relay empty messages: PHP listeners fail on them.")

    # Being seen, and ending
    admin_users: Words = _setting(
        (), "Accounts that may use /topics and /publish; empty is every account.", crossed="403 forbidden"
    )
    metrics_topics: Words = _setting((), "Topics with a metric of their own; all others are counted as `other`.")
    log_format: Literal["text", "json"] = _setting("text", "One line per event: key=value text, or JSON.", reload=False)
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "The least important events that are logged."
    )
    log_file: str = _setting("", "File to log to, opened again on USR1; empty is standard error.", reload=False)
    drain_time: Duration = _setting(
        5.0, "Time over which connections are closed when the broker stops.", unit="duration"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_queued_bytes < 4 * self.max_message_size:
            raise ValueError(
                f"max_queued_bytes ({self.max_queued_bytes}) must be at least 4 x max_message_size "
                f"({self.max_message_size}): otherwise a healthy reader is cut by a few messages"
            )
        if self.tls_key and not self.tls_certificate:
            raise ValueError("tls_key needs tls_certificate beside it")
        if not self.host and not self.socket_path:
            raise ValueError("host and socket_path are both empty: there is nowhere to listen")
        return self


def about(name: str) -> About:
    """Return unit, consequence and reloadability of a setting."""
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)  # noqa: S101 - `_setting` always gives one
    found: object = extra["about"]
    assert isinstance(found, About)  # noqa: S101
    return found
