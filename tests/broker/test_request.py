"""What a request asks for, judged without a socket."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config import load_settings
from broker.errors import (
    BAD_REQUEST,
    FORBIDDEN_ORIGIN,
    INVALID_TOPIC,
    NOT_FOUND,
    UNAUTHORIZED,
    UNSUPPORTED_PARAMETER,
    Refused,
)
from broker.request import (
    Credentials,
    basic_credentials,
    check_host,
    check_origin,
    check_path,
    client_address,
    decode_component,
    is_own_origin,
    networks,
    split_target,
    topic_of,
)

ALLOWED = re.compile(load_settings().topic_pattern, re.DOTALL).fullmatch


def topic(query: str, max_length: int = 256) -> str:
    return topic_of(query, max_length, ALLOWED)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


# -- target and path


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/ws?topic=sms", "/ws", "topic=sms"),
        ("/ws", "/ws", ""),
        ("/ws?a?b", "/ws", "a?b"),
        ("/ws?topic=a#part", "/ws", "topic=a"),
        ("//double?topic=a", "//double", "topic=a"),
        ("http://broker.example:9000/ws?topic=a", "/ws", "topic=a"),
        ("WSS://broker.example?topic=a", "/", "topic=a"),
    ],
)
def test_split_target_in_both_forms_gives_path_and_query(target: str, path: str, query: str) -> None:
    """Origin-form and absolute-form mean the same (RFC 9112, 3.2)."""
    assert split_target(target) == (path, query)


@pytest.mark.parametrize("target", ["http://[::1/ws", "*", "ws", "ftp://host/ws", "http:///ws", ""])
def test_split_target_of_anything_else_is_a_bad_request(target: str) -> None:
    """What is no target is refused, never raised."""
    with pytest.raises(Refused) as caught:
        split_target(target)
    assert caught.value.refusal is BAD_REQUEST


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/"])
def test_check_path_takes_the_path_with_and_without_slash_and_the_root(path: str) -> None:
    """No client follows a redirect, so all three mean the same."""
    check_path(path, "/ws")
    check_path(path, "/ws/")


@pytest.mark.parametrize("path", ["/wss", "/ws//", "/WS", "//", "/ws/x", ""])
def test_check_path_of_any_other_is_not_found_and_names_the_right_one(path: str) -> None:
    """A wrong path is answered with the right one."""
    with pytest.raises(Refused, match="topics are at /ws") as caught:
        check_path(path, "/ws")
    assert caught.value.refusal is NOT_FOUND


# -- topic


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("topic=sms", "sms"),
        ("a=1&topic=sms&b=2", "sms"),
        ("unknown=%zz&topic=sms", "sms"),
        ("", ""),
        ("topic=", ""),
        ("topic", ""),
        ("a=b", ""),
        ("topic=a+b", "a b"),
        ("topic=a%20b", "a b"),
        ("topic=a%2Bb", "a+b"),
        ("topic=a%2Fb", "a/b"),
        ("topic=a/b", "a/b"),
        ("topic=a%26b%3D", "a&b="),
        ("topic=%E2%82%AC", "€"),
        ("topic=a=b", "a=b"),
        ("t%6Fpic=sms", "sms"),
        ("channel=sms", "sms"),
        ("channel=old&topic=new", "new"),
        ("channel=a&channel=b&topic=new", "new"),
        ("topic=&channel=old", ""),
    ],
)
def test_topic_of_a_query_in_any_spelling_is_the_decoded_topic(query: str, name: str) -> None:
    """Any order, percent and plus decoding, `channel` as an older name, nothing means the empty topic."""
    assert topic(query) == name


@pytest.mark.parametrize(
    "query",
    [
        "topic=%ff",
        "topic=%C3",
        "topic=%c0%af",
        "topic=%",
        "topic=%4",
        "topic=%zz",
        "topic=%+1",
        "topic=%ed%a0%80",
        "topic=é",
        "topic=a&topic=b",
        "topic=a&topic=a",
        "channel=a&channel=b",
        "topic=a%00b",
        "topic=a%0Ab",
        "topic=%7f",
    ],
)
def test_topic_of_a_query_that_is_broken_or_ambiguous_is_refused(query: str) -> None:
    """Broken escapes, invalid UTF-8, control characters and a second topic are 400: two topics never collide."""
    with pytest.raises(Refused) as caught:
        topic(query)
    assert caught.value.refusal is INVALID_TOPIC


def test_topic_of_max_topic_length_counts_bytes_after_decoding() -> None:
    """`€` is three bytes, whatever its spelling."""
    assert topic("topic=%E2%82%ACa", 4) == "€a"
    with pytest.raises(Refused, match=r"longer than 4 bytes \(max_topic_length\)"):
        topic("topic=%E2%82%ACab", 4)


@pytest.mark.parametrize("name", ["group", "ack", "since", "qos"])
def test_topic_of_a_reserved_parameter_is_refused_by_name(name: str) -> None:
    """A newer client never silently gets plain fan-out."""
    with pytest.raises(Refused, match=f"the parameter {name} is reserved") as caught:
        topic(f"topic=a&{name}=1")
    assert caught.value.refusal is UNSUPPORTED_PARAMETER


@given(st.binary(max_size=30))
def test_decode_component_of_two_spellings_of_the_same_bytes_is_equal(raw: bytes) -> None:
    """Percent-encoding every byte or none decodes to the same text, or to the same refusal."""
    encoded = "".join(f"%{byte:02x}" for byte in raw)
    try:
        expected = raw.decode()
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            decode_component(encoded)
    else:
        assert decode_component(encoded) == expected


# -- credentials


@pytest.mark.parametrize(
    ("header", "user", "password"),
    [
        (basic("alice:secret"), "alice", "secret"),
        (basic("alice:se:cr:et"), "alice", "se:cr:et"),
        (basic("alice:"), "alice", ""),
        (basic(":secret"), "", "secret"),
        (basic("älice:gehäim€"), "älice", "gehäim€"),
        (basic("alice:secret").replace("Basic", "bAsIc"), "alice", "secret"),
        ("  " + basic("alice:secret").replace(" ", "   ") + " ", "alice", "secret"),
    ],
)
def test_basic_credentials_split_at_the_first_colon_as_utf8(header: str, user: str, password: str) -> None:
    """RFC 7617: any case of the scheme, UTF-8, the password is everything behind the first colon."""
    found = basic_credentials([header])
    assert (found.user, found.password) == (user, password)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Bearer abc",
        "Basicxyz",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Basic " + base64.b64encode(b"a:\xff").decode(),
        "Basic YWxpY2U6c2VjcmV0====",
        "Basic YWxpY2U6c2Vjcm=0",
        "Basic YWxpY2U6c2VjcmV",
        "Basic YWxpY2U6 c2VjcmV0",
        "Basic YWxpY2U6c2VjcmV0!",
        "Basic YWxpY2U6c2VjcmV0\udcff",
    ],
)
def test_basic_credentials_that_are_malformed_are_401_without_verification(header: str) -> None:
    """Whatever is wrong with the form, the answer is the same and names no part of it."""
    with pytest.raises(Refused) as caught:
        basic_credentials([header])
    assert caught.value.refusal is UNAUTHORIZED
    assert caught.value.reason == "malformed"
    assert "YWxpY2U6" not in str(caught.value)


def test_basic_credentials_missing_and_doubled_are_told_apart() -> None:
    """None at all is `missing`, two are `malformed`: no guess which one was meant."""
    with pytest.raises(Refused) as caught:
        basic_credentials([])
    assert caught.value.reason == "missing"
    with pytest.raises(Refused) as caught:
        basic_credentials([basic("alice:secret"), basic("bob:geheim")])
    assert caught.value.reason == "malformed"


def test_credentials_repr_shows_no_password() -> None:
    """A password does not leave by way of a debugger or a log."""
    assert "hunter2" not in repr(Credentials("alice", "hunter2"))


@given(st.text(max_size=20).filter(lambda user: ":" not in user), st.text(max_size=20))
def test_basic_credentials_of_any_text_come_back_as_sent(user: str, password: str) -> None:
    """What an RFC 7617 client encodes is what is verified."""
    found = basic_credentials([basic(f"{user}:{password}")])
    assert (found.user, found.password) == (user, password)


# -- host and origin


def test_check_host_wants_exactly_one() -> None:
    """RFC 9112, 3.2: none and two are both a bad request."""
    assert check_host([" broker.example:9000 "]) == "broker.example:9000"
    for values in ([], ["a", "b"]):
        with pytest.raises(Refused, match="exactly one Host header"):
            check_host(values)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://broker.example:9000", "broker.example:9000"),
        ("http://broker.example", "broker.example"),
        ("http://broker.example:80", "broker.example"),
        ("https://broker.example", "broker.example:443"),
        ("HTTPS://Broker.Example", "broker.EXAMPLE"),
        ("http://[::1]:9000", "[::1]:9000"),
    ],
)
def test_origin_of_the_same_host_is_our_own(origin: str, host: str) -> None:
    """Scheme gives the port where none is written; case does not matter (RFC 6454)."""
    assert is_own_origin(origin, host)
    assert check_origin([origin], host, ()) is None


@pytest.mark.parametrize(
    "origins",
    [["http://evil.example"], ["null"], ["http://broker.example:9001"], ["broker.example:9000"], [""], ["a", "a"]],
)
def test_check_origin_of_a_foreign_page_is_refused(origins: list[str]) -> None:
    """A web page from elsewhere does not use its visitor's password."""
    with pytest.raises(Refused) as caught:
        check_origin(origins, "broker.example:9000", ["https://app.example"])
    assert caught.value.refusal is FORBIDDEN_ORIGIN


def test_check_origin_of_a_listed_page_is_returned_for_a_later_look() -> None:
    """What came in by the list is remembered, so that a reload can take it away."""
    listed = ["https://app.example/", "http://other.example"]
    assert check_origin(["https://APP.example"], "broker", listed) == "https://APP.example"
    assert check_origin(["http://anything"], "broker", ["*"]) == "http://anything"


def test_check_origin_without_one_is_no_browser() -> None:
    """Clients that are no browsers send none."""
    assert check_origin([], "broker", ()) is None


# -- address


PROXIES = networks(["10.0.0.0/8", "2001:db8::/32", "unix"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:5555"], "198.51.100.1"),
        ("10.0.0.1", ['"[2001:db9::1]:5555"'], "2001:db9::1"),
        ("10.0.0.1", ["2001:db9::1"], "2001:db9::1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8::7", ["198.51.100.1"], "198.51.100.1"),
        ("unix", ["198.51.100.1"], "198.51.100.1"),
        ("not an address", ["198.51.100.1"], "not an address"),
    ],
)
def test_client_address_believes_trusted_proxies_from_the_right(peer: str, forwarded: list[str], client: str) -> None:
    """The rightmost address that is no trusted proxy counts; what stands left of it was written by anybody."""
    assert client_address(peer, forwarded, PROXIES, trust_unix=True) == client


def test_client_address_on_the_unix_socket_is_believed_only_when_listed() -> None:
    """Without the word `unix` in trusted_proxies the header is ignored."""
    assert client_address("unix", ["198.51.100.1"], PROXIES, trust_unix=False) == "unix"
