"""What a request asks for, judged before the upgrade. Pure: text in, values or `Refused` out.

The order of the checks is the order in which a client learns of its mistakes: form, path, method, topic, origin.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from broker.errors import (
    BAD_REQUEST,
    FORBIDDEN_ORIGIN,
    INVALID_TOPIC,
    NOT_FOUND,
    UNAUTHORIZED,
    UNSUPPORTED_PARAMETER,
    Refused,
)

RESERVED_PARAMETERS: Final = frozenset({"group", "ack", "since", "qos"})
"""Refused rather than ignored, so that a newer client never silently gets plain fan-out."""

_ESCAPE: Final = re.compile(rb"%([0-9a-fA-F]{2})?")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password as the client sent them; never printed."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


def split_target(target: str) -> tuple[str, str]:
    """Split a request target, origin-form or absolute-form (RFC 9112, 3.2), into path and raw query."""
    try:
        parts = urlsplit(target) if not target.startswith("/") else None
    except ValueError:
        raise Refused(BAD_REQUEST, "the request target is not a URL") from None
    if parts is not None:
        if not parts.netloc or parts.scheme.lower() not in {"http", "https", "ws", "wss"}:
            raise Refused(BAD_REQUEST, "the request target must begin with / or be a whole URL")
        return parts.path or "/", parts.query
    path, _, query = target.partition("?")
    return path, query.partition("#")[0]


def check_path(path: str, configured: str) -> None:
    """Accept `/`, the configured path, and the same with a slash behind it; no client follows a redirect."""
    if path not in {"/", configured, configured.rstrip("/") + "/", configured.rstrip("/")}:
        raise Refused(NOT_FOUND, f"there is nothing at this path; topics are at {configured}?topic=NAME")


def decode_component(text: str) -> str:
    """Decode one name or value of a query: `+` is a blank, `%XX` is a byte, the bytes are UTF-8.

    Raises:
        ValueError: a broken escape or invalid UTF-8; two different queries never decode to the same text.
    """
    raw = text.encode("ascii").replace(b"+", b" ")
    if b"%" not in raw:
        return raw.decode()
    return _ESCAPE.sub(_unescape, raw).decode("utf-8", "strict")


def _unescape(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        raise ValueError("broken escape")
    return bytes((int(match[1], 16),))


def topic_of(query: str, max_length: int, allowed: Callable[[str], object]) -> str:
    """Find the topic in a raw query, whatever the order of its parameters.

    Args:
        query: what stands behind the `?`.
        max_length: bytes of UTF-8.
        allowed: tells whether the characters of a topic are accepted (`re.Pattern.fullmatch`).

    Returns:
        The topic; `""` when none is given. `channel` is an older name for it; `topic` wins.
    """
    found: dict[str, list[str]] = {"topic": [], "channel": []}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        try:
            name = decode_component(name)
            if name in RESERVED_PARAMETERS:
                raise Refused(UNSUPPORTED_PARAMETER, f"the parameter {name} is reserved and has no meaning yet")
            if name in found:
                found[name].append(decode_component(value))
        except (ValueError, UnicodeError):
            raise Refused(INVALID_TOPIC, "the query holds a broken escape or is not UTF-8") from None
    values = found["topic"] or found["channel"]
    if len(values) > 1:
        raise Refused(INVALID_TOPIC, "the query names more than one topic")
    topic = values[0] if values else ""
    if len(topic.encode()) > max_length:
        raise Refused(INVALID_TOPIC, f"the topic is longer than {max_length} bytes (max_topic_length)")
    if not allowed(topic):
        raise Refused(INVALID_TOPIC, "the topic holds characters that topic_pattern does not allow")
    return topic


def basic_credentials(values: Sequence[str]) -> Credentials:
    """Read the Authorization headers of a request (RFC 7617).

    The scheme is case-insensitive; the password is everything behind the first colon; both are UTF-8.

    Raises:
        Refused: 401, with `missing` or `malformed` as its reason.
    """
    if not values:
        raise Refused(UNAUTHORIZED, "the request has no credentials", reason="missing")
    if len(values) > 1:
        raise Refused(UNAUTHORIZED, "there is more than one Authorization header", reason="malformed")
    scheme, _, token = values[0].strip().partition(" ")
    if scheme.lower() != "basic":
        raise Refused(UNAUTHORIZED, "the Authorization scheme must be Basic", reason="malformed")
    token = token.strip()
    try:
        if not _BASE64.fullmatch(token):
            raise ValueError("not base64")
        # Decoding alone lets surplus padding through, and `=` in the middle.
        user, colon, password = base64.b64decode(token, validate=True).decode("utf-8").partition(":")
        if len(token) % 4 or not colon:
            raise ValueError("bad padding or no colon")
    except (ValueError, binascii.Error, UnicodeDecodeError):
        raise Refused(
            UNAUTHORIZED, "the Basic credentials are not base64 of user:password", reason="malformed"
        ) from None
    return Credentials(user, password)


def check_host(values: Sequence[str]) -> str:
    """Return the Host header, which must be there exactly once (RFC 9112, 3.2)."""
    if len(values) != 1:
        raise Refused(BAD_REQUEST, "the request needs exactly one Host header")
    return values[0].strip()


def check_origin(values: Sequence[str], host: str, allowed: Sequence[str]) -> str | None:
    """Keep foreign web pages out: browsers send Origin, other clients do not.

    Args:
        values: the Origin headers.
        host: the Host header.
        allowed: further origins, such as `https://app.example`, or `*`.

    Returns:
        The origin when it came in by the list, which a reload may change; `None` for the own host or without one.
    """
    if not values:
        return None
    origin = values[0].strip()
    if len(values) == 1 and is_own_origin(origin, host):
        return None
    if len(values) > 1 or not is_listed_origin(origin, allowed):
        raise Refused(FORBIDDEN_ORIGIN, "pages of this origin may not connect")
    return origin


def is_listed_origin(origin: str, allowed: Sequence[str]) -> bool:
    """Tell whether `allowed_origins` lets an origin in."""
    wanted = origin.lower().rstrip("/")
    return "*" in allowed or wanted in {entry.lower().rstrip("/") for entry in allowed}


def is_own_origin(origin: str, host: str) -> bool:
    """Tell whether a page was served by the host that it connects to (RFC 6454)."""
    scheme, _, place = origin.lower().partition("://")
    return scheme in {"http", "https"} and _with_port(place, scheme) == _with_port(host.lower(), scheme)


def _with_port(place: str, scheme: str) -> str:
    has_port = re.search(r":\d+$", place) is not None
    return place if has_port else f"{place}:{443 if scheme == 'https' else 80}"


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def networks(names: Sequence[str]) -> Networks:
    """Read the networks of `trusted_proxies`; the word `unix` is not one of them."""
    return tuple(ipaddress.ip_network(name, strict=False) for name in names if name != "unix")


def client_address(peer: str, forwarded: Sequence[str], proxies: Networks, *, trust_unix: bool) -> str:
    """Find the client's address behind trusted proxies.

    Walks `X-Forwarded-For` from the right, over every address that is itself a trusted proxy: what stands further
    left was written by someone we do not trust. A peer that is no proxy is not believed at all.

    Args:
        peer: address of the TCP peer, or `unix`.
        forwarded: the X-Forwarded-For headers in order.
        proxies: networks whose word counts.
        trust_unix: whether a peer on the Unix socket is a proxy.
    """
    if not forwarded or not (trust_unix if peer == "unix" else _inside(peer, proxies)):
        return peer
    client = peer
    for hop in reversed([hop.strip() for value in forwarded for hop in value.split(",")]):
        address = _bare_address(hop)
        if address is None:
            break
        client = address
        if not _inside(address, proxies):
            break
    return client


def _bare_address(hop: str) -> str | None:
    text = hop.strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _inside(address: str, proxies: Networks) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in proxies)
