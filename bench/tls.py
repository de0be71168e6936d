"""TLS for the load: a certificate for the brokers, and client sockets that behave like plain ones."""

import select
import socket
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.budget import BenchError

_RECORD_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files that a broker serves with."""

    chain: Path
    key: Path
    agreed: set[str] = field(default_factory=set, compare=False)
    """Protocol version and cipher that clients agreed on with who serves, as they come."""


def make_certificate(folder: Path) -> Certificate:
    """Make a self-signed ECDSA certificate for 127.0.0.1 with the program `openssl`."""
    made = Certificate(folder / "bench.crt", folder / "bench.key")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(made.key), "-out", str(made.chain)]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
    return made


class TlsSocket(ssl.SSLSocket):
    """A client socket over TLS with the manners of a plain one: `BlockingIOError` where nothing can be done now.

    One call takes at most one record off the socket and OpenSSL reads no further ahead, so that a poller's word on
    the descriptor stays true.
    """

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read the next record; a half one is waited for, since brokers write records whole."""
        del flags  # MSG_TRUNC has no meaning here: the bytes are decrypted, so they are there
        while True:
            try:
                return super().recv_into(buffer, nbytes or None)
            except ssl.SSLWantReadError:
                if not select.select([self], [], [], _RECORD_SECONDS)[0]:
                    raise BenchError("a TLS record stayed incomplete") from None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read what there is."""
        try:
            return super().recv(buflen, flags)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None

    def send(self, data: Any, flags: int = 0) -> int:
        """Hand over what the socket takes now."""
        try:
            return super().send(data, flags)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None


def secured(client: socket.socket, certificate: Certificate) -> socket.socket:
    """Shake hands over TLS on a connected, blocking socket that trusts this certificate alone.

    What was agreed on is noted with the certificate.
    """
    context = ssl.create_default_context(cafile=str(certificate.chain))
    context.sslsocket_class = TlsSocket
    wrapped = context.wrap_socket(client, server_hostname="127.0.0.1")
    if cipher := wrapped.cipher():
        certificate.agreed.add(f"{wrapped.version()} {cipher[0]}")
    return wrapped
