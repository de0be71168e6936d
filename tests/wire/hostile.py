"""Requests that a server must turn away, each with its exact answer, and odd ones that it must not."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.wire.raw import KEY, basic, upgrade_request

GOOD: Final = upgrade_request()
CHALLENGE: Final = {"www-authenticate": 'Basic realm="wsbroker", charset="UTF-8"'}
VERSION_13: Final = {"sec-websocket-version": "13", "upgrade": "websocket", "connection": "Upgrade, close"}
TOKEN: Final = basic("alice:secret").removeprefix("Basic ")


@dataclass(frozen=True, slots=True)
class Turned:
    """A request, and how it is turned away."""

    name: str
    request: bytes
    status: int
    token: str
    headers: dict[str, str] = field(default_factory=dict)
    """Headers that the answer must carry besides those of every refusal."""


def without(line: str) -> bytes:
    """Take one line out of the good request."""
    return instead(line + "\r\n", b"")


def instead(old: str, new: str | bytes) -> bytes:
    """Put something else into the good request."""
    raw = new.encode() if isinstance(new, str) else new
    assert GOOD.count(old.encode()) == 1
    return GOOD.replace(old.encode(), raw)


def plus(*lines: str) -> bytes:
    """Add header lines to the good request."""
    return upgrade_request("/ws?topic=t", "alice:secret", *lines)


def _malformed() -> Iterator[tuple[str, bytes]]:
    """What the HTTP parser of `websockets` answers with a bare EOF: here it is 400."""
    for version in ("HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTPS/1.1", "HTTP/1.1.1"):
        yield version, instead("HTTP/1.1", version)
    yield "no version", instead(" HTTP/1.1", "")
    yield "blank in the target", instead("topic=t", "topic=t t")
    yield "bare LF throughout", GOOD.replace(b"\r\n", b"\n")
    yield "bare LF at one line", instead("Upgrade: websocket\r\n", "Upgrade: websocket\n")
    yield "bare CR in a value", plus("X-Odd: a\rb")
    yield "NUL in a value", plus("X-Odd: a\0b")
    yield "folded header", plus("X-Odd: a", " folded")
    yield "header without a colon", plus("nonsense")
    yield "blank before the colon", instead("Upgrade: ", "Upgrade : ")
    yield "target that is not ASCII", instead("topic=t", "topic=é")
    yield "empty lines first", b"\r\n\r\n" + GOOD
    yield "noise", b"\x00\x01\x02\xff\r\n\r\n"
    yield "body", plus("Content-Length: 5") + b"hello"
    yield "body of unreadable length", plus("Content-Length: five")
    yield "body of negative length", plus("Content-Length: -1")
    yield "two lengths", plus("Content-Length: 0", "Content-Length: 5")
    yield "chunked body", plus("Transfer-Encoding: chunked") + b"0\r\n\r\n"
    yield "length and chunks", plus("Content-Length: 0", "Transfer-Encoding: chunked") + b"0\r\n\r\n"


def _ill_addressed() -> Iterator[tuple[str, bytes]]:
    """Targets and Host headers that are none; `urlsplit` raises on some of them."""
    for target in ("http://[::1/ws", "http://[/ws", "ftp://127.0.0.1/ws", "http:///ws", "ws", "", "*", "?topic=t"):
        yield f"target {target!r}", upgrade_request(target)
    yield "CONNECT", instead("GET /ws?topic=t", "CONNECT 127.0.0.1:80")
    yield "no Host", without("Host: 127.0.0.1")
    yield "two Hosts", plus("Host: 127.0.0.1")


def _ill_upgraded() -> Iterator[tuple[str, bytes]]:
    """WebSocket headers that are wrong in a way which is not about the version."""
    yield "no key", without(f"Sec-WebSocket-Key: {KEY}")
    yield "two keys", plus(f"Sec-WebSocket-Key: {KEY}")
    yield "key that is not base64", instead(KEY, "*" * 24)
    yield "key of 4 bytes", instead(KEY, "dGVzdA==")
    yield "two origins", plus("Origin: http://127.0.0.1", "Origin: http://127.0.0.1")


def _not_upgraded() -> Iterator[tuple[str, bytes]]:
    """Requests that do not ask for WebSocket version 13 (RFC 6455, 4.4)."""
    yield "plain GET", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    yield "no Upgrade", without("Upgrade: websocket")
    yield "two Upgrades", plus("Upgrade: websocket")
    yield "Upgrade: h2c", instead("Upgrade: websocket", "Upgrade: h2c")
    yield "no Connection", without("Connection: Upgrade")
    yield "Connection: close", instead("Connection: Upgrade", "Connection: close")
    yield "no version", without("Sec-WebSocket-Version: 13")
    yield "two versions", plus("Sec-WebSocket-Version: 8")
    for version in ("8", "0", "14", "013", "+13", "13,8", "thirteen", ""):
        yield f"version {version!r}", instead("Version: 13", f"Version: {version}")


def _ill_named() -> Iterator[tuple[str, str]]:
    """Queries whose topic cannot be told without a guess."""
    for value in ("%", "%4", "%zz", "%u0041", "%ff", "%C3", "%c0%af", "%ed%a0%80", "%f4%90%80%80"):
        yield f"topic {value}", f"topic={value}"
    yield "broken name", "%ff=a&topic=t"
    yield "control character", "topic=%0a"
    yield "NUL", "topic=a%00b"
    yield "257 bytes", "topic=" + "a" * 257
    yield "129 characters of two bytes", "topic=" + "%C3%A9" * 129
    yield "two topics", "topic=a&topic=a"
    yield "two topics, one of them escaped", "topic=a&%74opic=b"
    yield "two channels", "channel=a&channel=b"


def _ill_proven() -> Iterator[tuple[str, str]]:
    """Values of Authorization that are no Basic credentials, though some decoders take them."""
    yield "scheme alone", "Basic"
    yield "nothing", ""
    yield "other scheme", f"Bearer {TOKEN}"
    yield "no scheme", TOKEN
    yield "one = too many", f"Basic {TOKEN}="
    yield "four = too many", f"Basic {TOKEN}===="
    yield "= in the middle", f"Basic {TOKEN[:4]}={TOKEN[4:]}"
    yield "missing padding", basic("alice:secret1").rstrip("=")
    yield "blank inside", f"Basic {TOKEN[:4]} {TOKEN[4:]}"
    yield "not the alphabet", f"Basic {TOKEN[:-1]}!"
    yield "the URL alphabet", "Basic YWxpY2U6c2Vj_-__"
    yield "no colon", basic("alice")
    yield "bytes that are not UTF-8", "Basic YWxpY2U6/w=="
    yield "two in one header", f"Basic {TOKEN}, Basic {TOKEN}"


def _too_large() -> Iterator[tuple[str, bytes]]:
    """Heads above `max_header_size` or beyond what `websockets` counts."""
    yield "long target", upgrade_request("/ws?topic=t&pad=" + "p" * 8192)
    yield "long header", plus("X-Long: " + "l" * 8192)
    yield "130 headers", plus(*(f"X-{index}: x" for index in range(130)))
    yield "no end in sight", b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"l" * 8192


def turned() -> Iterator[Turned]:
    """Every hostile or mistaken request."""
    for name, request in (*_malformed(), *_ill_addressed(), *_ill_upgraded()):
        yield Turned(name, request, 400, "bad_request")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        yield Turned(method, instead("GET", method), 405, "method_not_allowed", {"allow": "GET"})
    yield Turned("HTTP/1.0", instead("HTTP/1.1", "HTTP/1.0"), 505, "http_version")
    for name, request in _not_upgraded():
        yield Turned(name, request, 426, "upgrade_required", VERSION_13)
    for path in ("//[/ws", "/wss", "/ws/x", "/WS", "/ws//", "/%77s", "/index.html"):
        yield Turned(f"path {path}", upgrade_request(f"{path}?topic=t"), 404, "not_found")
    for name, query in _ill_named():
        yield Turned(name, upgrade_request(f"/ws?{query}"), 400, "invalid_topic")
    for name in ("group", "ack", "since", "qos", "%67roup"):
        yield Turned(f"parameter {name}", upgrade_request(f"/ws?topic=t&{name}=1"), 400, "unsupported_parameter")
    yield Turned("no credentials", without(f"Authorization: Basic {TOKEN}"), 401, "unauthorized", CHALLENGE)
    yield Turned("credentials twice", plus(f"Authorization: Basic {TOKEN}"), 401, "unauthorized", CHALLENGE)
    for name, value in _ill_proven():
        request = instead(f"Authorization: Basic {TOKEN}", f"Authorization: {value}")
        yield Turned(f"credentials: {name}", request, 401, "unauthorized", CHALLENGE)
    for credentials in ("alice:wrong", "alice:", ":secret", "nobody:secret", "alice:secret\0", "Alice:secret"):
        yield Turned(
            f"credentials {credentials!r}", upgrade_request("/ws", credentials), 401, "unauthorized", CHALLENGE
        )
    yield Turned("foreign page", plus("Origin: https://evil.example"), 403, "forbidden_origin")
    yield Turned("page of a file", plus("Origin: null"), 403, "forbidden_origin")
    for name, request in _too_large():
        yield Turned(name, request, 431, "header_too_large")


def welcome() -> Iterator[tuple[str, bytes]]:
    """Odd requests that are right all the same."""
    yield "as Firefox connects", instead("Connection: Upgrade", "Connection: keep-alive, Upgrade")
    yield "Connection twice", plus("Connection: keep-alive")
    yield (
        "tokens in any case",
        instead("Connection: Upgrade", "connection: UPGRADE").replace(b"websocket", b"WebSocket"),
    )
    yield "no blanks", GOOD.replace(b": ", b":")
    yield "many blanks", GOOD.replace(b": ", b": \t ")
    yield "scheme in any case", instead("Basic", "bAsIc")
    yield "blanks around the credentials", instead(f"Basic {TOKEN}", f"Basic  {TOKEN} ")
    yield "whole URL as target", upgrade_request("http://127.0.0.1:9000/ws?topic=t")
    yield "fragment in the target", upgrade_request("/ws?topic=t#part")
    yield "Content-Length: 0", plus("Content-Length: 0")
    yield (
        "extensions and subprotocols",
        plus(
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Sec-WebSocket-Protocol: chat, mqtt"
        ),
    )
    yield "own page", plus("Origin: http://127.0.0.1")
    yield "header that is not ASCII", plus("X-Odd: é")
