"""Gather settings: from an INI file, from the environment, from keyword arguments; the later ones win.

| from        | ``[GENERAL] method``      | ``[WS] host``                  | unknown names              |
|-------------|---------------------------|--------------------------------|----------------------------|
| a file      | ``method`` in its section | ``host`` in its section        | refused, nearest one named |
| environment | ``OTP_PUBLISHER_METHOD``  | ``OTP_PUBLISHER_WS_HOST``      | a warning                  |
| keywords    | ``method="WS"``           | ``host=...`` (the chosen road) | refused, nearest one named |

A misspelt ``tls`` in a file would send passwords in the clear, so it stops the start. In the environment
strangers meet: Kubernetes sets ``OTP_PUBLISHER_PORT`` itself when a service is called ``otp-publisher``.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from otp.publisher.errors import ConfigError
from otp.publisher.ini import Entry, parse
from otp.publisher.settings import SECTIONS, Broker, General, Method, Rest, Road, Settings, StoreKind

PREFIX = "OTP_PUBLISHER_"
"""How the names of our environment variables begin."""

CONFIG_VARIABLE = PREFIX + "CONFIG"
"""Names the configuration file for the command line; not a setting."""

DEFAULT_CACHE = "otp-cache"
"""Directory beside the configuration file, where ``cache_dir`` is not set or cannot exist here."""

_GENERAL = "GENERAL"
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_TLS_FILES = ("tls_ca", "tls_certificate", "tls_key")

S = TypeVar("S", General, Road)


@dataclass(slots=True)
class _Sources:
    """What was gathered: entries by section and key, and the sentences to warn with."""

    sections: dict[str, dict[str, Entry]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def put(self, section: str, key: str, entry: Entry) -> None:
        self.sections.setdefault(section, {})[key] = entry


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str],
    keywords: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings that file, environment and keywords make.

    Args:
        path: The INI file; ``None`` for none.
        environment: Usually ``os.environ``; an empty mapping leaves it out.
        keywords: Names of ``General`` and of the chosen road's section; ``username`` and ``password`` are the
            road's.

    Raises:
        ConfigError: The file cannot be read, a name is not known, or a value is not what it should be.
    """
    sources = _Sources()
    file = None if path is None else Path(path)
    if file is not None:
        _add_file(sources, file, environment)
    _add_environment(sources, environment)
    method = _method(sources, keywords or {})
    _add_keywords(sources, method, keywords or {})
    general = _build(General, _GENERAL, sources)
    road = _build(SECTIONS[method], method.value, sources)
    base = file.absolute().parent if file is not None else None
    if general.manage_otp:
        general = _with_places(general, file, sources)
    road = _with_files(_with_delay(road, sources), base)
    sources.warnings += _doubts(general, road)
    return Settings(general=general, road=road, warnings=tuple(sources.warnings))


def _add_file(sources: _Sources, file: Path, environment: Mapping[str, str]) -> None:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}.") from error
    ini = parse(text, file.name, environment)
    sources.warnings += ini.warnings
    for section, entries in ini.sections.items():
        known = _names(section)
        if known is None:
            sources.warnings += _stray_section(section, entries, file.name)
            continue
        for key, entry in entries.items():
            if key not in known:
                raise ConfigError(f"{entry.where}: [{section}] has no setting {key!r}{_nearest(key, known)}")
            sources.put(section, key, entry)


def _stray_section(section: str, entries: Mapping[str, Entry], file: str) -> Iterator[str]:
    if section or entries:
        hint = _nearest(section, [_GENERAL, *Method])
        yield f"{file}: section [{section}] is not known and was passed over{hint}"


def _add_environment(sources: _Sources, environment: Mapping[str, str]) -> None:
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        place = _place(variable.removeprefix(PREFIX))
        if place is None:
            sources.warnings.append(f"the environment variable {variable} is no setting and was passed over.")
        else:
            sources.put(*place, Entry(value, variable))


def _place(name: str) -> tuple[str, str] | None:
    """Return section and key of what follows the prefix: ``WS_HOST`` is ``host`` of ``[WS]``."""
    if name.lower() in (_names(_GENERAL) or ()):
        return _GENERAL, name.lower()
    section, _, key = name.partition("_")
    return (section, key.lower()) if key.lower() in (_names(section) or ()) else None


def _method(sources: _Sources, keywords: Mapping[str, Any]) -> Method:
    if keywords.get("method") is not None:
        sources.put(_GENERAL, "method", Entry(_as_text(keywords["method"]), "keyword arguments"))
    if "method" not in sources.sections.get(_GENERAL, {}):
        raise ConfigError(
            f"method is not set: choose {', '.join(Method)} in [{_GENERAL}], as {PREFIX}METHOD or as keyword."
        )
    return _build(General, _GENERAL, sources, only="method").method


def _add_keywords(sources: _Sources, method: Method, keywords: Mapping[str, Any]) -> None:
    general, road = _names(_GENERAL) or [], _names(method.value) or []
    for name, value in keywords.items():
        if name not in road and name not in general:
            hint = _nearest(name, [*general, *road])
            raise ConfigError(f"there is no setting {name!r} for {method}{hint}")
        if value is not None:
            section = method.value if name in road else _GENERAL
            sources.put(section, name, Entry(_as_text(value), f"keyword {name}"))


def _as_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return str(value)


def _names(section: str) -> list[str] | None:
    """Return the keys a section may have; ``None`` for a section that is not ours."""
    if section == _GENERAL:
        return [entry.name for entry in fields(General)]
    found = SECTIONS.get(section)  # type: ignore[call-overload]  # a StrEnum's key is found by its text
    return None if found is None else [entry.name for entry in fields(found)]


def _nearest(name: str, known: list[str]) -> str:
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f". Did you mean '{folded[close[0]]}'?" if close else "."


def _build(kind: type[S], section: str, sources: _Sources, only: str | None = None) -> S:
    entries = sources.sections.get(section, {})
    wanted = [entry for entry in fields(kind) if entry.name in entries and only in (None, entry.name)]
    return kind(**{entry.name: _read(entry, section, entries[entry.name]) for entry in wanted})


def _read(setting: Field[Any], section: str, entry: Entry) -> Any:
    if not entry.value and setting.default is None:
        return None
    try:
        return setting.metadata["read"](entry.value)
    except ValueError as error:
        raise ConfigError(f"{entry.where}: {setting.name} of [{section}] {error}.") from None


def _with_delay(road: Road, sources: _Sources) -> Road:
    """Take ``callback_delay`` from ``[AMQP]`` where the road has none: every road used to read that one."""
    shared = sources.sections.get(Method.AMQP.value, {}).get("callback_delay")
    if not isinstance(road, Broker) or road.callback_delay is not None or shared is None:
        return road
    [setting] = [entry for entry in fields(Broker) if entry.name == "callback_delay"]
    return replace(road, callback_delay=_read(setting, Method.AMQP.value, shared))


def _with_files(road: Road, base: Path | None) -> Road:
    """Read the paths of TLS files from where the configuration file is."""
    if base is None:
        return road
    named: dict[str, Any] = {name: str(base / getattr(road, name)) for name in _TLS_FILES if getattr(road, name)}
    return replace(road, **named)


def _with_places(general: General, file: Path | None, sources: _Sources) -> General:
    """Settle ``cache_dir`` and ``key_file``; relative ones start where the configuration file is."""
    base = file.absolute().parent if file is not None else None
    cache = _cache_dir(general.cache_dir, base, sources)
    if cache is None and general.store is StoreKind.SQLITE:
        raise ConfigError("cache_dir is not set: manage_otp needs a directory for its store.")
    key = general.key_file
    if key is not None:
        key = _place_of(key, base)
    elif file is not None:
        key = file.absolute().with_suffix(".key")
    elif cache is not None:
        key = cache.with_name(cache.name + ".key")
    if key is None and general.store is StoreKind.REDIS:
        raise ConfigError("key_file is not set: every application server needs a copy of the same key.")
    return replace(general, cache_dir=cache, key_file=key)


def _cache_dir(wanted: Path | None, base: Path | None, sources: _Sources) -> Path | None:
    fallback = None if base is None else base / DEFAULT_CACHE
    if wanted is None:
        return fallback
    if os.name == "nt" or not _WINDOWS_DRIVE.match(str(wanted)):
        return _place_of(wanted, base)
    if fallback is None:
        raise ConfigError(f"cache_dir {wanted} is a Windows path, which cannot exist here.")
    sources.warnings.append(
        f"cache_dir {wanted} is a Windows path, which cannot exist here; {fallback} is used. Set cache_dir."
    )
    return fallback


def _place_of(path: Path, base: Path | None) -> Path:
    """Return an absolute path; backslashes separate directories on every system, as they used to."""
    slashed = Path(str(path) if os.name == "nt" else str(path).replace("\\", "/"))
    return (base or Path.cwd()) / slashed.expanduser()


def _doubts(general: General, road: Road) -> Iterator[str]:
    """Say what can be set but is hardly meant."""
    if not general.manage_otp and isinstance(road, Broker):
        yield (
            f"manage_otp is off: over {general.method} the OTP-Pi makes and verifies codes, and only one that "
            "answers on callback topics can do that."
        )
    if general.test_receivers:
        yield f"{len(general.test_receivers)} test_receivers are set: they are never sent anything."
    host = _open_host(road)
    if host is not None:
        yield f"the connection to {host} is not encrypted; others can read codes. Use TLS."


def _open_host(road: Road) -> str | None:
    """Return the host that is spoken to in the clear over a network; ``None`` when there is none."""
    if isinstance(road, Rest):
        parts = urlsplit(road.url)
        host, clear = parts.hostname or "", parts.scheme == "http"
    else:
        host, clear = (road.host, not road.tls) if isinstance(road, Broker) else ("", False)
    return host if clear and not _is_loopback(host) else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
