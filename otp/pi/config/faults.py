"""Put a fault that pydantic found into words: what is wrong, and what to write instead; never a secret."""

import difflib
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from otp.pi.config import schema
from otp.pi.config.schema import Path

_REWORDED = (
    ("Value error, ", ""),
    ("Input should have at least ", "must have at least "),
    ("Input should", "must"),
    ("String should", "must"),
    (", unable to parse string as an integer", ""),
    (", unable to interpret input", ""),
)


def explain(fault: Any, tree: Mapping[str, Any]) -> tuple[Path, str]:
    """Return the path of a fault, empty where it is the whole file, and a sentence.

    Args:
        fault: One of ``ValidationError.errors()``.
        tree: What was checked.
    """
    path: Path = tuple(fault["loc"])
    if not path:
        text = _reworded(fault["msg"])
        return _meant(text, tree), text
    if fault["type"] == "extra_forbidden":
        return path, _unknown(path)
    if fault["type"] == "missing":
        field = schema.setting(path)
        return path, f"{path[-1]} is missing in {schema.heading(str(path[0]))}: {field.description if field else ''}"
    if fault["type"] in {"model_type", "tuple_type"} and schema.setting(path) is None:
        return path, f"{path[0]} must be a table: write {schema.heading(str(path[0]))} and its keys below"
    return path, _wrong(path, fault)


def _wrong(path: Path, fault: Any) -> str:
    value = fault["input"]
    shown = ""
    if schema.may_be_shown(path) and isinstance(value, str | int | float):
        shown = f" = {textwrap.shorten(repr(value), 60, placeholder='...')}"
    name = ".".join(part for part in path if isinstance(part, str))
    text = "must be text: write it in quotes" if fault["type"] == "string_type" else _reworded(fault["msg"])
    return f"{name}{shown}: {text}"


def _reworded(text: str) -> str:
    for theirs, ours in _REWORDED:
        text = text.replace(theirs, ours)
    return text


def _unknown(path: Path) -> str:
    """Say that a key is unknown, and which one was probably meant, here or in another table."""
    key = str(path[-1])
    table = "" if len(path) == 1 else str(path[0])
    where = f" in {schema.heading(table)}" if table else ""
    return f"unknown key {key}{where}; {_advice(key, table)}"


def _advice(key: str, table: str) -> str:
    close = difflib.get_close_matches(key, schema.keys(table), n=1, cutoff=0.6)
    if close:
        shown = schema.heading(close[0]) if not table and close[0] in schema.TABLES else close[0]
        return f"did you mean {shown}?"
    if table and key in schema.TOP:
        return "it stands at the top of the file, before the first table"
    owners = [schema.heading(name) for name in schema.TABLES if key in schema.keys(name)]
    if owners:
        return f"it belongs into {' or '.join(owners)}"
    return "`otp-pi default-config` lists them all"


def _meant(text: str, tree: Mapping[str, Any]) -> Path:
    """Find what a sentence about several settings is about."""
    if repeated := re.search(r"\[\[([a-z]+)\]\]", text):
        return repeated[1], len(tree[repeated[1]]) - 1
    if modem := re.match(r"modem (\S+) needs", text):
        return "modem", [each["name"] for each in tree["modem"]].index(modem[1])
    if dotted := re.match(r"([a-z]+)\.([a-z_]+)\b", text):
        return dotted[1], dotted[2]
    return ()
