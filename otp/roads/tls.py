"""Make the TLS context of a road from its settings. The server's certificate is verified, always."""

import ssl
from pathlib import Path
from typing import Protocol

from otp.roads.errors import ConfigError


class Files(Protocol):
    """Settings that name PEM files."""

    @property
    def tls_ca(self) -> str:
        """Authorities that sign servers' certificates; empty is the system's."""
        ...

    @property
    def tls_certificate(self) -> str:
        """A certificate to show; empty is none."""
        ...

    @property
    def tls_key(self) -> str:
        """Its key, where it stands in a file of its own."""
        ...


def context(settings: Files) -> ssl.SSLContext:
    """Return a client context: system's certificates or ``tls_ca``, host names checked, TLS 1.2 or later.

    Raises:
        ConfigError: A file cannot be read or is not what it should be.
    """
    try:
        made = ssl.create_default_context(cafile=settings.tls_ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"tls_ca {settings.tls_ca}: {_why(error)}.") from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.tls_certificate:
        show(made, settings.tls_certificate, settings.tls_key)
    return made


def show(made: ssl.SSLContext, certificate: str | Path, key: str | Path | None) -> None:
    """Have a context show a certificate; its key may be in another file.

    Raises:
        ConfigError: A file cannot be read or is not what it should be.
    """
    try:
        made.load_cert_chain(certificate, key or None, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(f"tls_certificate {certificate}: {_why(error)}.") from None


def _no_password() -> str:
    """Refuse instead of asking on the terminal, which would stop a service for good."""
    raise ValueError("the key is encrypted; only a key without a pass phrase can be used")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "not PEM, or key and certificate do not belong together"
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
