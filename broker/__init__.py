"""WSMessageBroker: every message a client sends goes to every other connection on its topic.

>>> from broker import WSMessageBroker
>>> async with WSMessageBroker(password_file=".htpasswd", port=0) as broker:
...     print(broker.url)
"""

from broker.server import WSMessageBroker
from broker.version import __version__

__all__ = ["WSMessageBroker", "__version__"]
