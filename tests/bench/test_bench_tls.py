"""What a client and a peer agree on over TLS is known afterwards."""

import shutil
from pathlib import Path

import pytest

from bench.connect import clients
from bench.machine import choose_cores
from bench.peers import PEERS
from bench.peers.websockets import Websockets
from bench.process import running
from bench.selection import Selection
from bench.tls import TlsSocket, make_certificate


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_secured_peer_notes_what_is_agreed_on(tmp_path: Path) -> None:
    """Version and cipher of the load's connections are known of the peer afterwards, and of nobody else."""
    peer = Websockets()
    secured = peer.secured(make_certificate(tmp_path))
    with running(secured, choose_cores().broker) as broker, clients(broker, "t", 1) as (client,):
        assert isinstance(client, TlsSocket)
        version, cipher = client.version(), client.cipher()
    assert cipher is not None
    assert Selection((peer, PEERS["floor"]), {}).tls == {"websockets": [f"{version} {cipher[0]}"]}
