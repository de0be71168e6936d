"""Say what the settings are made of: keys at the top, tables, and tables that may come several times."""

from typing import Any, Final, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from otp.pi.settings import Settings, Table

Path = tuple[str | int, ...]
"""Where a value stands: ``("rest", "port")``, or ``("modem", 0, "port")`` in the first ``[[modem]]``."""


def _table(field: FieldInfo) -> type[Table] | None:
    """Return the class of a table, whether it comes once or several times."""
    kind: Any = get_args(field.annotation)[0] if get_origin(field.annotation) is tuple else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Table) else None


_KINDS = {name: _table(field) for name, field in Settings.model_fields.items()}

TABLES: Final[dict[str, type[Table]]] = {name: kind for name, kind in _KINDS.items() if kind is not None}
"""Every table by name, those that may come several times too."""

REPEATED: Final = frozenset(name for name in TABLES if get_origin(Settings.model_fields[name].annotation) is tuple)
"""Names of the tables that may come several times."""

TOP: Final = tuple(name for name, kind in _KINDS.items() if kind is None)
"""Keys that stand before the first table."""

FILES: Final = frozenset({"data_dir", "password_file", "tls_certificate", "tls_key", "tls_ca", "webhook_ca"})
"""Keys that name a file or a directory."""

_UNSHOWN = frozenset({"webhook", "path"})
"""Keys that hold no secret by rule, but a password or a token in a URL now and then."""


def keys(table: str) -> list[str]:
    """Return the keys of a table; of the top of the file for an empty name."""
    return list(TABLES[table].model_fields) if table else [*TOP, *TABLES]


def setting(path: Path) -> FieldInfo | None:
    """Return the setting at a path; ``None`` when there is none, or a table."""
    names = [part for part in path if isinstance(part, str)]
    if len(names) == 1 and names[0] in TOP:
        return Settings.model_fields[names[0]]
    if len(names) == 2 and names[0] in TABLES:  # noqa: PLR2004 - a table and a key
        return TABLES[names[0]].model_fields.get(names[1])
    return None


def is_secret(path: Path) -> bool:
    """Tell whether a password or the like stands there."""
    found = setting(path)
    return found is not None and found.annotation is SecretStr


def may_be_shown(path: Path) -> bool:
    """Tell whether a value may be quoted; what no setting is known for may be a misspelt password."""
    return setting(path) is not None and not is_secret(path) and path[-1] not in _UNSHOWN


def heading(table: str) -> str:
    """Write a table's name as the file has it."""
    return f"[[{table}]]" if table in REPEATED else f"[{table}]"
