"""Write settings as TOML."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

Tables = Mapping[str, Any]
"""Keys of the top, tables by name, and lists of tables by name."""

_HEAD: Final = """\
# Settings of otp-pi, taken over from a Java OTP-Pi. What is not here has its default: see otp-pi default-config.
# This file holds passwords: keep it readable by nobody else. Check it with: otp-pi check-config
"""


def write(tables: Tables) -> str:
    """Return the text of a settings file."""
    top = {key: value for key, value in tables.items() if not _is_table(value) and not _is_list(value)}
    parts = [_HEAD, *([_keys(top)] if top else [])]
    for name, value in tables.items():
        if _is_table(value) and value:
            parts.append(f"[{name}]\n{_keys(value)}")
        elif _is_list(value):
            parts.extend(f"[[{name}]]\n{_keys(each)}" for each in value)
    return "\n".join(parts)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(map(_is_table, value))


def _keys(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def _value(value: object) -> str:
    # JSON is TOML for these types, but for DEL, which TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
