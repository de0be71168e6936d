"""The admin listener: is it alive, is it ready, what does it do, and publishing by HTTP."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from broker import WSMessageBroker
from broker import auth as auth_module
from broker.errors import UNAUTHORIZED
from tests.broker.conftest import Dial, answer, http
from tests.conftest import MakeBroker, until
from tests.wire.raw import Response, Wire, binary, closing, parse_response, text

pytestmark = pytest.mark.both_loops


@pytest.fixture
async def broker(make_broker: MakeBroker, free_port: int) -> WSMessageBroker:
    """A broker with its admin listener on."""
    return await make_broker(admin_port=free_port)


async def post(
    broker: WSMessageBroker, body: bytes, *headers: str, topic: str = "t", user: str = "alice:secret"
) -> Response:
    """Publish by HTTP."""
    return await http(broker, f"/publish?topic={topic}", *headers, method="POST", user=user, body=body)


async def send_raw(broker: WSMessageBroker, data: bytes) -> bytes:
    """Send bytes to the admin listener and read until it hangs up."""
    wire = await Wire.connect(broker.admin_port)
    with closing([wire]):
        await wire.send(data)
        return await wire.to_end()


def assert_refused(response: Response, status: int, token: str) -> None:
    """Check status, token and the form of a refusal: that of the WebSocket side."""
    assert (response.status, response.token) == (status, token)
    assert response.json()["message"].endswith(".")


# -- health


async def test_livez_answers_as_long_as_the_loop_turns(broker: WSMessageBroker) -> None:
    """200 for anybody."""
    response = await http(broker, "/livez", user="")
    assert (response.status, answer(response)) == (200, {"live": True})


async def test_readyz_with_accounts_is_ready(broker: WSMessageBroker) -> None:
    """200 for anybody."""
    response = await http(broker, "/readyz", user="")
    assert (response.status, answer(response)) == (200, {"ready": True})


async def test_readyz_without_accounts_is_not(make_broker: MakeBroker, free_port: int, tmp_path: Path) -> None:
    """503 says why: a balancer sends nobody to a broker that lets nobody in."""
    broker = await make_broker(admin_port=free_port, password_file=str(tmp_path / "missing"))
    response = await http(broker, "/readyz", user="")
    assert (response.status, answer(response)) == (503, {"ready": False, "reason": "no_accounts"})


async def test_readyz_while_draining_is_not(broker: WSMessageBroker) -> None:
    """503 from the first moment of the drain, while /livez is fine."""
    broker.core.draining = True
    response = await http(broker, "/readyz", user="")
    assert (response.status, answer(response)) == (503, {"ready": False, "reason": "draining"})
    assert (await http(broker, "/livez", user="")).status == 200


# -- topics


async def test_topics_lists_connections_and_totals_the_busiest_first(broker: WSMessageBroker, dial: Dial) -> None:
    """Each topic with its connections, rates per second and totals."""
    sender = await dial(broker, "small")
    readers = [await dial(broker, "big%2Ftopic") for _ in range(3)]
    await dial(broker, "small", "bob:geheim")
    await sender.send_text("x")
    await readers[0].send_text("y")
    await sender.settled()
    await readers[0].settled()
    rows = answer(await http(broker, "/topics"))["topics"]
    assert [row["topic"] for row in rows] == ["big/topic", "small"]
    assert [(row["connections"], row["received"], row["delivered"]) for row in rows] == [(3, 1, 2), (2, 1, 1)]
    assert all(row["received_per_second"] >= 0 and row["delivered_per_second"] >= 0 for row in rows)


async def test_topics_without_any_is_an_empty_list(broker: WSMessageBroker) -> None:
    """A broker without clients has no topics."""
    assert answer(await http(broker, "/topics")) == {"topics": []}


# -- publishing


async def test_publish_reaches_every_subscriber_as_text(broker: WSMessageBroker, dial: Dial) -> None:
    """200 with the number of receivers, once it is fanned out."""
    readers = [await dial(broker), await dial(broker, "t", "bob:geheim")]
    response = await post(broker, "grüße".encode())
    assert (response.status, answer(response)) == (200, {"topic": "t", "receivers": 2})
    assert broker.core.topics.delivered == 2
    for reader in readers:
        assert await reader.frame() == text("grüße")


async def test_publish_to_nobody_is_accepted_and_says_so(broker: WSMessageBroker) -> None:
    """202: nobody was listening."""
    response = await post(broker, b"x")
    assert (response.status, answer(response)) == (202, {"topic": "t", "receivers": 0})
    assert broker.core.topics.received == 1


async def test_publish_of_an_octet_stream_is_binary(broker: WSMessageBroker, dial: Dial) -> None:
    """`application/octet-stream`, with or without parameters, is a binary message."""
    reader = await dial(broker)
    for kind in ("application/octet-stream", "Application/Octet-Stream; x=y"):
        assert (await post(broker, b"\xff\x00", f"Content-Type: {kind}")).status == 200
        assert await reader.frame() == binary(b"\xff\x00")
    assert (await post(broker, b"{}", "Content-Type: application/json")).status == 200
    assert await reader.frame() == text("{}")


async def test_publish_in_chunks_is_one_message(broker: WSMessageBroker, dial: Dial) -> None:
    """A body without a length is read to its end."""
    reader = await dial(broker)
    raw = await send_raw(
        broker,
        b"POST /publish?topic=t HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\none\r\n4\r\n two\r\n0\r\n\r\n",
    )
    assert parse_response(raw).status == 200
    assert await reader.frame() == text("one two")


async def test_publish_of_a_compressed_body_is_refused(broker: WSMessageBroker, dial: Dial) -> None:
    """A stranger's few bytes do not become many; `identity` is no encoding."""
    reader = await dial(broker)
    response = await post(broker, b"\x1f\x8b", "Content-Encoding: gzip", "Content-Type: application/octet-stream")
    assert_refused(response, 400, "bad_request")
    assert "compressed" in response.json()["message"]
    assert (await post(broker, b"plain", "Content-Encoding: Identity")).status == 200
    assert await reader.frame() == text("plain")


async def test_publish_with_binary_as_text_is_text_where_it_can_be(
    make_broker: MakeBroker, free_port: int, dial: Dial
) -> None:
    """The same setting counts on both sides."""
    broker = await make_broker(admin_port=free_port, binary_as_text=True)
    reader = await dial(broker)
    await post(broker, b"{}", "Content-Type: application/octet-stream")
    await post(broker, b"\xff", "Content-Type: application/octet-stream")
    assert await reader.frames(2) == [text("{}"), binary(b"\xff")]


async def test_publish_of_nothing_is_an_empty_message_unless_those_are_dropped(
    make_broker: MakeBroker, free_port: int, dial: Dial
) -> None:
    """`drop_empty_messages` drops it, counted, and says that nobody got it."""
    broker = await make_broker(admin_port=free_port)
    reader = await dial(broker)
    assert (await post(broker, b"")).status == 200
    assert await reader.frame() == text("")
    broker.core.reconfigure(broker.settings.model_copy(update={"drop_empty_messages": True}))
    assert (await post(broker, b"")).status == 202
    assert broker.core.counters.dropped["empty"] == 1
    await reader.settled()


@pytest.mark.parametrize(
    ("spelt", "topic"),
    [
        ("a%20b", "a b"),
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%2Fb", "a/b"),
        ("%E2%82%AC", "€"),
        ("a%26b", "a&b"),
        ("", ""),
    ],
)
async def test_publish_reads_the_topic_as_the_websocket_side_does(
    broker: WSMessageBroker, dial: Dial, spelt: str, topic: str
) -> None:
    """One spelling is one topic, whichever way it comes in."""
    reader = await dial(broker, spelt)
    assert answer(await post(broker, b"x", topic=spelt)) == {"topic": topic, "receivers": 1}
    assert await reader.frame() == text("x")


@pytest.mark.parametrize("spelt", ["%ff", "%zz", "%", "a&topic=b", "a%00", "x" * 257])
async def test_publish_to_a_broken_topic_is_refused(broker: WSMessageBroker, spelt: str) -> None:
    """What the WebSocket side refuses is refused here."""
    assert_refused(await post(broker, b"x", topic=spelt), 400, "invalid_topic")


async def test_publish_with_a_reserved_parameter_is_refused(broker: WSMessageBroker) -> None:
    """A newer client is not served half."""
    assert_refused(await post(broker, b"x", topic="t&ack=1"), 400, "unsupported_parameter")


async def test_publish_of_bad_utf8_is_refused_with_the_way_out(broker: WSMessageBroker, dial: Dial) -> None:
    """Text is UTF-8; anything else is an octet stream."""
    reader = await dial(broker)
    response = await post(broker, b"\xff\xfe")
    assert_refused(response, 400, "bad_request")
    assert "application/octet-stream" in response.json()["message"]
    await reader.settled()


@pytest.mark.parametrize("chunked", [False, True])
async def test_publish_of_too_much_is_refused_as_soon_as_it_is_known(
    make_broker: MakeBroker, free_port: int, dial: Dial, *, chunked: bool
) -> None:
    """413 names the bound; nobody gets any of it. Exactly the bound passes."""
    broker = await make_broker(admin_port=free_port, max_message_size=1000)
    reader = await dial(broker)
    if chunked:
        raw = await send_raw(
            broker,
            b"POST /publish?topic=t HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"1f4\r\n" + b"x" * 500 + b"\r\n"
            b"1f5\r\n" + b"x" * 501 + b"\r\n0\r\n\r\n",
        )
        response = parse_response(raw)
    else:
        response = await post(broker, b"x" * 1001)
    assert_refused(response, 413, "message_too_big")
    assert "1000 bytes (max_message_size)" in response.json()["message"]
    assert (await post(broker, b"x" * 1000)).status == 200
    assert await reader.frame() == text("x" * 1000)


# -- who may


@pytest.mark.parametrize("target", ["/topics", "/publish?topic=t"])
async def test_protected_page_wants_credentials(broker: WSMessageBroker, target: str) -> None:
    """Missing, malformed, doubled and wrong credentials are 401 with the challenge."""
    method = "POST" if "publish" in target else "GET"
    tries: list[tuple[str, tuple[str, ...]]] = [
        ("", ()),
        ("alice:wrong", ()),
        ("carol:secret", ()),
        ("", ("Authorization: Basic !",)),
        ("", ("Authorization: Bearer x",)),
        ("alice:secret", ("Authorization: Basic YWxpY2U6c2VjcmV0",)),
    ]
    for user, headers in tries:
        response = await http(broker, target, *headers, method=method, user=user, body=b"x")
        assert_refused(response, 401, UNAUTHORIZED.token)
        assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert broker.core.counters.auth_failures == {"missing": 1, "malformed": 3, "wrong": 2}


async def test_admin_users_keeps_other_accounts_out(make_broker: MakeBroker, free_port: int) -> None:
    """403 for an account that is not listed; /livez and /metrics stay open to all."""
    broker = await make_broker(admin_port=free_port, admin_users="bob")
    assert_refused(await http(broker, "/topics"), 403, "forbidden")
    assert_refused(await post(broker, b"x"), 403, "forbidden")
    assert (await http(broker, "/topics", user="bob:geheim")).status == 200
    assert (await post(broker, b"x", user="bob:geheim")).status == 202
    assert (await http(broker, "/metrics", user="")).status == 200


async def test_wrong_passwords_here_count_in_the_same_throttle(make_broker: MakeBroker, free_port: int) -> None:
    """429 with Retry-After after too many, and the remembered account still comes in."""
    broker = await make_broker(admin_port=free_port, auth_failures=3)
    assert (await http(broker, "/topics")).status == 200
    for number in range(3):
        assert (await http(broker, "/topics", user=f"alice:guess{number}")).status == 401
    response = await http(broker, "/topics", user="alice:guess")
    assert_refused(response, 429, "rate_limited")
    assert int(response.headers["retry-after"]) >= 1
    assert (await http(broker, "/topics")).status == 200


async def test_throttle_behind_a_trusted_proxy_counts_the_client(make_broker: MakeBroker, free_port: int) -> None:
    """One client's guesses do not lock the other clients of a proxy out."""
    broker = await make_broker(admin_port=free_port, auth_failures=1, trusted_proxies="127.0.0.1")
    first, other = "X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 198.51.100.2"
    assert (await http(broker, "/topics", first, user="alice:guess1")).status == 401
    assert (await http(broker, "/topics", first, user="alice:guess2")).status == 429
    assert (await http(broker, "/topics", other, user="alice:guess2")).status == 401


async def test_credentials_remembered_on_one_side_are_remembered_on_the_other(
    broker: WSMessageBroker, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher by HTTP pays for its password once."""
    await dial(broker)

    def never(*_: object, **__: object) -> bool:
        raise AssertionError("verified again")

    monkeypatch.setattr(auth_module, "verify", never)
    assert (await post(broker, b"x")).status == 200


# -- mistakes


@pytest.mark.parametrize("target", ["/", "/ws", "/metrics/", "/publish/t", "/favicon.ico", "/%00", "/%ff"])
async def test_unknown_page_is_not_found(broker: WSMessageBroker, target: str) -> None:
    """404 in the usual form."""
    assert_refused(await http(broker, target), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [("GET", "/publish", "POST"), ("POST", "/livez", "GET, HEAD"), ("DELETE", "/topics", "GET, HEAD")],
)
async def test_wrong_method_is_told_the_right_one(
    broker: WSMessageBroker, method: str, target: str, allow: str
) -> None:
    """405 with Allow (RFC 9110, 15.5.6)."""
    response = await http(broker, target, method=method)
    assert_refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


async def test_draining_broker_publishes_nothing_more(broker: WSMessageBroker) -> None:
    """503 with Retry-After."""
    broker.core.draining = True
    response = await post(broker, b"x")
    assert_refused(response, 503, "draining")
    assert "retry-after" in response.headers


async def test_fault_of_ours_is_500_without_a_traceback(
    broker: WSMessageBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One log line that names the place and quotes nothing; the next request is served."""

    def broken(*_: object) -> int:
        raise RuntimeError("the body was hunter2")

    with monkeypatch.context() as patch:
        patch.setattr(broker.core.topics, "publish_to", broken)
        assert_refused(await post(broker, b"hunter2"), 500, "internal_error")
    assert "RuntimeError at broken:" in caplog.text
    assert "hunter2" not in caplog.text
    assert (await post(broker, b"x")).status == 202


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what was logged as an error."""
    caplog.set_level("DEBUG")
    return lambda: [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def test_client_that_hangs_up_in_the_middle_of_its_body_is_no_fault_of_ours(
    broker: WSMessageBroker, errors: Callable[[], list[str]]
) -> None:
    """Half a message is not published, and no operator is called for it."""
    wire = await Wire.connect(broker.admin_port)
    await wire.send(
        b"POST /publish?topic=t HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n"
        b"Content-Length: 100\r\n\r\nhalf"
    )
    await until(lambda: broker.core.auth._remembered)
    wire.close()
    await until(lambda: broker.core.counters.rejected["bad_request"])
    assert errors() == []
    assert broker.core.topics.received == 0


async def test_body_with_broken_chunks_is_a_bad_request(
    broker: WSMessageBroker, errors: Callable[[], list[str]]
) -> None:
    """400, since it is the client's fault."""
    raw = await send_raw(
        broker,
        b"POST /publish?topic=t HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2U6c2VjcmV0\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\none\r\nzz\r\nhunter2\r\n",
    )
    assert raw.split(b" ")[1] == b"400"
    assert broker.core.topics.received == 0
    assert errors() == []


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /liv\xff\xfeez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /topics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic \xff\xfe\r\n\r\n",
        b"GET http://[::1/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_request_that_is_no_http_harms_nobody(
    broker: WSMessageBroker, raw: bytes, errors: Callable[[], list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    """It is answered with 4xx or not at all; nothing is printed, and the next request is served."""
    try:
        answered = await send_raw(broker, raw)
    except ConnectionResetError:
        answered = b""
    assert not answered or answered.split(b" ")[1][:1] == b"4"
    assert (await http(broker, "/livez", user="")).status == 200
    assert errors() == []
    assert capfd.readouterr().err == ""


async def test_answers_are_one_line_of_json(broker: WSMessageBroker) -> None:
    """Fit for a terminal and for `jq`."""
    for target in ("/livez", "/readyz", "/topics", "/nowhere"):
        response = await http(broker, target)
        assert response.headers["content-type"].startswith("application/json")
        assert response.body.endswith(b"\n")
        json.loads(response.body)
