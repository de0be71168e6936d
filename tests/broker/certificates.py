"""Certificates for the TLS tests, made on the spot."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Pair(NamedTuple):
    """Two PEM files, and what a client sees of them."""

    certificate: Path
    key: Path
    serial: int


def make_pair(directory: Path, name: str, password: bytes | None = None) -> Pair:
    """Make a self-signed certificate for 127.0.0.1, valid for an hour.

    Args:
        directory: where the two files are written.
        name: their name without suffix.
        password: seals the key when given.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Pair(directory / f"{name}.crt", directory / f"{name}.key", certificate.serial_number)
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    seal = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, seal),
    )
    return files
