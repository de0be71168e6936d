"""The four ways in. One that is not configured is not imported, nor is the library it stands on."""

from importlib import import_module
from pathlib import Path

from otp.errors import MissingExtra
from otp.pi.inputs.base import Input, InputStatus, RoadLostError, Take
from otp.pi.settings import Amqp, Broker, Mqtt, Redis, WebSocket

__all__ = ["Input", "InputStatus", "RoadLostError", "Take", "open_input"]

_MODULES: dict[type[Broker], str] = {WebSocket: "ws", Amqp: "amqp", Redis: "redis", Mqtt: "mqtt"}


def open_input(name: str, settings: Broker, take: Take, *, data_dir: Path) -> Input:
    """Return the way in for these settings. Nothing is connected yet.

    Args:
        name: What the journal and the log will call it.
        settings: Of one of the four kinds.
        take: Stores a command.
        data_dir: Directory for what has to be kept, such as the identity of an MQTT session.

    Raises:
        ConfigError: A TLS file cannot be used, or a setting cannot be carried by that kind of server.
        MissingExtra: The library is not installed; the text has the command that installs it.
    """
    kind = _MODULES[type(settings)]
    try:
        module = import_module(f"{__name__}.{kind}")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"[[{kind}]] needs {error.name}: pip install 'wsmessagebroker[pi]'") from error
    made: Input = module.open_input(name, settings, take, data_dir)
    return made
