"""WSMessageBroker: every message a client sends goes to every other connection on its topic.

>>> from broker import WSMessageBroker
>>> async with WSMessageBroker(password_file=".htpasswd", port=0) as broker:
...     print(broker.url)
"""

from typing import TYPE_CHECKING, Any

from broker.version import __version__

if TYPE_CHECKING:
    from broker.server import WSMessageBroker

__all__ = ["WSMessageBroker", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: whoever wants one module of the package pays for that one (PEP 562)."""
    if name == "WSMessageBroker":
        from broker.server import WSMessageBroker  # noqa: PLC0415

        return WSMessageBroker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
