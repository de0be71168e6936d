"""The five roads. A road that is not chosen is not imported, nor is the library it stands on."""

from importlib import import_module

from otp.errors import MissingExtra
from otp.publisher.settings import Amqp, Mqtt, Redis, Rest, Road, Ws
from otp.publisher.transports import base

_MODULES: dict[type[Road], str] = {Ws: "ws", Rest: "rest", Amqp: "amqp", Redis: "redis", Mqtt: "mqtt"}


def open_road(settings: Road) -> base.Road:
    """Return the road for these settings. Nothing is connected yet.

    Raises:
        ConfigError: A TLS file cannot be used, or a setting cannot be carried by the road.
        MissingExtra: The road's library is not installed; the text has the command that installs it.
    """
    name = _MODULES[type(settings)]
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"Method {name.upper()} needs {error.name}: pip install 'wsmessagebroker[publisher]'"
        ) from error
    road: base.Road = module.open_road(settings)
    return road
