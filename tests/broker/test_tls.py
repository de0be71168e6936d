"""TLS: real handshakes with certificates made on the spot, and their reload."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from websockets.asyncio.client import ClientConnection, connect

from broker import WSMessageBroker
from broker.tls import TlsError, load_certificate, make_context
from tests.broker.certificates import Pair, make_pair
from tests.conftest import MakeBroker, until
from tests.wire.raw import Wire, closing, upgrade_request


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path, "first")


def settings_of(pair: Pair) -> dict[str, Any]:
    return {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}


def trust(*pairs: Pair) -> ssl.SSLContext:
    """A client that knows these certificates and no other."""
    context = ssl.create_default_context()
    for each in pairs:
        context.load_verify_locations(each.certificate)
    return context


def join(broker: WSMessageBroker, context: ssl.SSLContext, user: str = "alice:secret") -> connect:
    """Connect with a client library, over TLS."""
    url = f"wss://{user}@127.0.0.1:{broker.port}/ws?topic=t"
    return connect(url, ssl=context, proxy=None)


def serial_of(client: ClientConnection) -> int:
    """Return the serial number of the certificate that a client was shown."""
    raw = client.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(raw).serial_number


# -- files


def test_make_context_speaks_tls_1_2_and_newer_only(pair: Pair) -> None:
    """Older versions are broken (RFC 8996)."""
    assert make_context(str(pair.certificate), str(pair.key)).minimum_version is ssl.TLSVersion.TLSv1_2


def test_make_context_takes_certificate_and_key_in_one_file(pair: Pair) -> None:
    """`tls_key` may stay empty when the key stands in the certificate's file."""
    pair.certificate.write_bytes(pair.certificate.read_bytes() + pair.key.read_bytes())
    assert make_context(str(pair.certificate), "").cert_store_stats()["x509"] == 0  # it trusts no client certificate


def test_make_context_with_a_missing_file_names_both(pair: Pair) -> None:
    """OpenSSL does not say which one it missed."""
    with pytest.raises(TlsError, match=r"first.crt or tls_key .*/nowhere.key does not exist"):
        make_context(str(pair.certificate), str(pair.key.with_name("nowhere.key")))


def test_make_context_with_a_file_that_is_no_certificate_says_so(pair: Pair) -> None:
    """A wrong file is one clear line."""
    pair.certificate.write_text("no certificate")
    with pytest.raises(TlsError, match=r"tls_certificate .*first.crt cannot be used: "):
        make_context(str(pair.certificate), str(pair.key))


def test_make_context_with_a_key_of_another_certificate_says_so(pair: Pair, tmp_path: Path) -> None:
    """Certificate and key have to belong together."""
    other = make_pair(tmp_path, "other")
    with pytest.raises(TlsError, match=r"cannot be used: KEY_VALUES_MISMATCH"):
        make_context(str(pair.certificate), str(other.key))


def test_make_context_with_a_sealed_key_asks_nobody_and_says_so(tmp_path: Path) -> None:
    """A daemon has no terminal: a key with a password is refused, not asked for."""
    sealed = make_pair(tmp_path, "sealed", password=b"open sesame")
    with pytest.raises(TlsError, match="the private key is encrypted"):
        make_context(str(sealed.certificate), str(sealed.key))


def test_make_context_with_a_directory_says_what_the_system_says(pair: Pair, tmp_path: Path) -> None:
    """What the operating system refuses is told in its words."""
    with pytest.raises(TlsError, match=r"cannot be (used|read): "):
        make_context(str(tmp_path), "")


def test_load_certificate_that_is_no_good_leaves_the_context_as_it_was(pair: Pair, tmp_path: Path) -> None:
    """A trial context takes the new pair first."""
    context = make_context(str(pair.certificate), str(pair.key))
    other = make_pair(tmp_path, "other")
    with pytest.raises(TlsError):
        load_certificate(context, str(other.certificate), str(pair.key))
    load_certificate(context, str(other.certificate), str(other.key))


# -- a broker


@pytest.mark.both_loops
async def test_broker_over_tls_relays(make_broker: MakeBroker, pair: Pair) -> None:
    """wss:// clients talk through it as ws:// clients do."""
    broker = await make_broker(**settings_of(pair))
    assert broker.url.startswith("wss://127.0.0.1:")
    async with join(broker, trust(pair)) as alice, join(broker, trust(pair), "bob:geheim") as bob:
        await alice.send("over tls")
        assert await bob.recv() == "over tls"
        await bob.send(b"\x00" * 100_000)
        assert await alice.recv() == b"\x00" * 100_000


@pytest.mark.both_loops
async def test_broker_over_tls_refuses_readably_and_closes_with_a_code(make_broker: MakeBroker, pair: Pair) -> None:
    """Refusal and Close come through although TLS knows no half-close."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    broker = await make_broker(max_message_size=100, **settings_of(pair))
    with pytest.raises(InvalidStatus) as refused:
        await join(broker, trust(pair), "alice:wrong")
    assert refused.value.response.status_code == 401
    assert b"unauthorized" in refused.value.response.body
    async with join(broker, trust(pair)) as alice:
        await alice.send("x" * 101)
        with pytest.raises(ConnectionClosed) as closed:
            await alice.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    await until(lambda: broker.core.census.open == 0)


@pytest.mark.both_loops
async def test_broker_over_tls_drops_a_client_that_speaks_plain(make_broker: MakeBroker, pair: Pair) -> None:
    """The port speaks TLS only; who does not is let go, the others go on."""
    broker = await make_broker(**settings_of(pair))
    wire = await Wire.connect(broker.port)
    with closing([wire]):
        await wire.send(upgrade_request())
        assert b"HTTP" not in await wire.to_end()
    async with join(broker, trust(pair)) as alice:
        assert serial_of(alice) == pair.serial


@pytest.mark.both_loops
async def test_reload_shows_the_new_certificate_to_who_comes_next(make_broker: MakeBroker, pair: Pair) -> None:
    """A renewed certificate needs no restart, and cuts nobody."""
    broker = await make_broker(**settings_of(pair))
    async with join(broker, trust(pair)) as before:
        fresh = make_pair(pair.certificate.parent, "first")
        assert await broker.reload()
        async with join(broker, trust(fresh), "bob:geheim") as after:
            assert serial_of(before) == pair.serial
            assert serial_of(after) == fresh.serial
            await before.send("still there")
            assert await after.recv() == "still there"


async def test_reload_of_a_bad_certificate_keeps_the_old_one(
    make_broker: MakeBroker, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """The fault is logged and counted, and clients notice nothing."""
    broker = await make_broker(**settings_of(pair))
    old = trust(pair)
    pair.certificate.write_text("half a certific")
    assert not await broker.reload()
    assert "certificate_not_taken" in caplog.text
    assert "first.crt cannot be used" in caplog.text
    assert broker.core.counters.reloads["error"] == 1
    async with join(broker, old) as alice:
        assert serial_of(alice) == pair.serial


async def test_start_with_a_bad_certificate_fails_before_it_listens(accounts: Path, free_port: int, pair: Pair) -> None:
    """A start error leaves no port open."""
    pair.key.write_text("no key")
    broker = WSMessageBroker(password_file=str(accounts), port=free_port, admin_port=0, **settings_of(pair))
    with pytest.raises(TlsError):
        await broker.start()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", free_port))
    await broker.stop()
