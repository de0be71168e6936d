"""Say why a connection could not be opened or broke, in words for a human and without secrets."""

import os
import socket
import ssl

from otp.roads.errors import RoadError


def not_connected(error: BaseException, server: str) -> RoadError:
    """Return what a failed attempt to connect becomes.

    Args:
        error: What the attempt raised.
        server: ``host:port``.
    """
    causes = [cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)]
    if causes:
        return RoadError("tls_failed", f"TLS with {server} failed: {_tls_reason(causes[-1])}.")
    if isinstance(error, TimeoutError):
        return RoadError("unreachable", f"{server} did not accept a connection in time.")
    return RoadError("unreachable", f"{server} cannot be reached: {reason(error)}.")


def broken(error: BaseException, server: str) -> RoadError:
    """Return what a connection becomes that broke while the server's word was awaited."""
    text = f"The connection to {server} broke before the message was confirmed: {reason(error)}."
    return RoadError("connection_lost", text)


def lost(error: BaseException, server: str) -> RoadError:
    """Return what a connection becomes that broke while nothing in particular was awaited."""
    return RoadError("connection_lost", f"The connection to {server} broke: {reason(error)}.")


def reason(error: BaseException) -> str:
    """Return the operating system's words for an error, else the name of its kind; never its own text."""
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "its name is not known"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            return os.strerror(cause.errno).lower()
    return f"{type(error).__name__}"


def _tls_reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's words; libraries' own kinds of ``SSLError`` have no such attributes."""
    refusal = getattr(error, "verify_message", None)
    if refusal:
        return f"its certificate is not accepted ({refusal})"
    return str(getattr(error, "reason", None) or "handshake failed").replace("_", " ").lower()


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what it was raised from."""
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found
