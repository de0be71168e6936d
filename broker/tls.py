"""The broker's TLS context, and its certificate read again without a restart."""

import ssl


class TlsError(Exception):
    """Say why a certificate or key cannot be used."""


def make_context(certificate: str, key: str) -> ssl.SSLContext:
    """Build a server context: TLS 1.2 or newer, Python's defaults for the rest.

    Args:
        certificate: PEM file with the chain.
        key: PEM file with the private key; empty when it stands in the certificate's file.

    Raises:
        TlsError: a file cannot be read, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load certificate and key; open connections keep the old ones, new handshakes take these.

    A trial context takes them first, so that a bad pair leaves the one in use alone.

    Raises:
        TlsError: as in `make_context`.
    """
    for target in (ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), context):
        try:
            target.load_cert_chain(certificate, key or None, password=_no_password)
        except FileNotFoundError:
            raise TlsError(f"tls_certificate {certificate} or tls_key {key or '(same file)'} does not exist") from None
        except ssl.SSLError as error:
            reason = error.reason or "not a PEM certificate with its private key"
            raise TlsError(f"tls_certificate {certificate} cannot be used: {reason}") from None
        except OSError as error:
            raise TlsError(f"tls_certificate {certificate} cannot be read: {error.strerror}") from None


def _no_password() -> str:
    raise TlsError("tls_key cannot be used: the private key is encrypted; the broker needs one without a password")
