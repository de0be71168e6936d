"""Read settings from variables.

| variable                  | setting                                     |
|---------------------------|---------------------------------------------|
| ``OTP_PI_DATA_DIR``       | ``data_dir``                                |
| ``OTP_PI_REST_PORT``      | ``port`` in ``[rest]``                      |
| ``OTP_PI_WS_1_PASSWORD``  | ``password`` in the first ``[[ws]]``        |
| ``OTP_PI_WS_2_HOST``      | ``host`` in the second; one that the file does not have is added |
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from otp.pi.config.schema import REPEATED, TABLES, TOP, Path

PREFIX: Final = "OTP_PI_"
CONFIG_VARIABLE: Final = "OTP_PI_CONFIG"
"""Names the file where no option does."""

_ITEM = re.compile(rf"({'|'.join(sorted(REPEATED))})_([1-9][0-9]{{0,2}})_(\w+)")
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


def _single() -> dict[str, Path]:
    """Return variable to path, of all that needs no index."""
    paths: list[Path] = [(name,) for name in TOP]
    paths += [(table, key) for table, kind in TABLES.items() if table not in REPEATED for key in kind.model_fields]
    return {PREFIX + "_".join(map(str, path)).upper(): path for path in paths}


_SINGLE: Final = _single()
_EXAMPLES: Final = [
    *(name.removeprefix(PREFIX) for name in _SINGLE),
    *(f"{table}_1_{key}".upper() for table in sorted(REPEATED) for key in TABLES[table].model_fields),
]


def variables(environment: Mapping[str, str], warnings: list[str]) -> Iterator[tuple[str, Path, str]]:
    """Yield (variable, path, value) for each setting, items of tables in order; warn of what is none.

    Args:
        environment: All variables.
        warnings: Gets a sentence for each variable that begins like ours and is none.
    """
    for name in sorted(environment, key=_order):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        path = _path(name)
        if path is None:
            warnings.append(f"variable {name} is not a setting and is ignored{_nearest(name)}")
        elif path[-1] == "port" and _SERVICE_LINK.match(environment[name]):
            warnings.append(
                f"variable {name} is ignored: Kubernetes made it for a Service; "
                "enableServiceLinks: false in the Pod stops that"
            )
        else:
            yield name, path, environment[name]


def _order(name: str) -> list[str | int]:
    """Sort item 10 after item 2."""
    return [int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", name))]


def _path(name: str) -> Path | None:
    if name in _SINGLE:
        return _SINGLE[name]
    item = _ITEM.fullmatch(name.removeprefix(PREFIX).lower())
    if item is None or item[3] not in TABLES[item[1]].model_fields:
        return None
    return item[1], int(item[2]) - 1, item[3]


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name.removeprefix(PREFIX), _EXAMPLES, n=1, cutoff=0.8)
    return f"; did you mean {PREFIX}{close[0]}?" if close else ""
