"""Write a settings file with every key at its default, and its explanation."""

import json
import textwrap
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from broker.units import format_duration, format_size
from otp.pi.config.schema import REPEATED, TABLES, TOP, heading
from otp.pi.settings import Settings

_HEAD: Final = """\
# Settings of otp-pi. Every key is shown with its default, so what is not changed may be left out.
# Durations: 500ms 25s 2m 1h 30d. Sizes: 64KiB 1MiB. Paths are relative to this file's directory.
# A variable wins over this file: OTP_PI_DATA_DIR, OTP_PI_REST_PORT, OTP_PI_WS_1_PASSWORD (the first [[ws]]).
# Check it with: otp-pi check-config. A file that holds passwords should be readable by nobody else: chmod 600.
"""

_REPEATED_HEAD: Final = """\
# What follows may come several times. To use one, remove the # in front of [[...]] and of the keys it needs.
"""

_EXAMPLES: Final = {
    ("modem", "name"): "first",
    ("modem", "port"): "/dev/serial/by-id/usb-YOUR_MODEM-if00-port0",
    ("mail", "name"): "first",
    ("mail", "host"): "smtp.example.org",
    ("mail", "sender"): "otp@example.org",
}
"""What stands in keys that have no default, or none that would do."""

_WIDTH: Final = 118


def default_config() -> str:
    """Return the text of the file; as it stands it loads, and is the defaults."""
    parts = [_HEAD, *(_key("", name, Settings.model_fields[name]) for name in TOP)]
    parts += [_table(name) for name in TABLES if name not in REPEATED]
    parts.append(_REPEATED_HEAD)
    parts += [_commented(_table(name)) for name in TABLES if name in REPEATED]
    return "\n".join(parts)


def _table(name: str) -> str:
    about = (
        (TABLES[name].__doc__ or "").partition("\n")[0] if name in REPEATED else Settings.model_fields[name].description
    )
    keys = [_key(name, key, field) for key, field in TABLES[name].model_fields.items()]
    return "\n".join([f"# {about}\n{heading(name)}\n", *keys])


def _key(table: str, name: str, field: FieldInfo) -> str:
    comment = "".join(f"# {line}\n" for line in textwrap.wrap(_sentence(field), _WIDTH))
    value = _EXAMPLES.get((table, name), field.default)
    return f"{comment}{name} = {_toml(value, _unit(field))}\n"


def _sentence(field: FieldInfo) -> str:
    text = str(field.description)
    if get_origin(field.annotation) is Literal:
        text += f" One of: {', '.join(map(str, get_args(field.annotation)))}."
    return f"{text} Unit: {unit}." if (unit := _unit(field)) else text


def _unit(field: FieldInfo) -> str:
    return str(field.json_schema_extra.get("unit", "")) if isinstance(field.json_schema_extra, dict) else ""


def _toml(value: Any, unit: str) -> str:
    """Write a value as TOML; what JSON writes of text, truth and lists is TOML as well."""
    if unit == "duration":
        value = format_duration(value)
    elif unit == "size":
        value = format_size(value)
    elif isinstance(value, SecretStr):
        value = value.get_secret_value()
    elif isinstance(value, Path):
        value = str(value)
    return json.dumps(value)


def _commented(text: str) -> str:
    """Put a # before what is no comment yet."""
    return "".join(line if line.startswith("#") or not line.strip() else f"#{line}" for line in text.splitlines(True))
